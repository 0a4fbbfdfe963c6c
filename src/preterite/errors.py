"""The exceptions of Preterite, one tree.

    PreteriteError
    ├── UsageError                     the call is not allowed; nothing was written
    │   ├── InvalidEvent               a field is missing, of the wrong type, or a time without zone
    │   ├── EventTooLarge              an event over the size limit
    │   ├── ForeignEvent               a component published what it does not own
    │   ├── UnitOfWorkSealed           publish after the unit of work has ended
    │   ├── UnitOfWorkNested           a unit of work inside a unit of work
    │   ├── UnitOfWorkBroken           its transaction ended, or was to be ended, inside it
    │   ├── HandlerEndedTransaction    a handler called commit, rollback or begin
    │   ├── OwnTableRefused            a handler or unit of work wrote to one of Preterite's own tables
    │   └── SystemRefused              the declaration contradicts itself; all faults listed
    ├── ConfigurationError             a setting, URL or project cannot be read
    │   ├── ExtraMissing               a package that comes with an extra is not installed
    │   └── UnknownName                there is nothing of this name; those that there are, listed
    ├── Undecodable                    bytes that are not the message they claim to be
    ├── HandlerFailed                  a handler raised; carries event and handler
    ├── OutsideCallRefused             a rehearsed handler reached outside of its database
    ├── SagaMissing                    an event for an instance of a saga that does not exist, or not yet
    ├── Fenced                         another worker holds the lease now; nothing was written
    ├── StoreError                     a component's database
    │   ├── WrongDatabase              the database of another component or system
    │   ├── NotMigrated                tables of an older version of Preterite
    │   ├── TablesMissing              the component's own tables are missing, or cannot be created
    │   ├── DatabaseWentBack           an older copy took its place while it was in use
    │   ├── NotDurable                 settings under which a commit may be lost
    │   └── StoreUnavailable           locked, full, read-only or unreachable
    │       ├── ConnectionLost         the connection of a batch ended
    │       ├── FileReplaced           a SQLite file was replaced while it was in use
    │       ├── SchemaTooNew           tables of a newer version of Preterite, of a component or the log
    │       └── TransactionConflict    another transaction changed the same rows; it is run again
    │           └── SagaChanged        the same instance of a saga
    └── LogError                       the log
        ├── WrongLog                   the log of another system, or another number of partitions
        ├── LogConflict                another event has this number
        ├── LogFenced                  a newer writer claimed the stream
        ├── LogAhead                   the log holds numbers that the journal does not know
        └── RecordRefused              the log never accepts this record

Every message says what happened and to which component, in what state it is, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "ConnectionLost",
    "DatabaseWentBack",
    "EventTooLarge",
    "ExtraMissing",
    "Fenced",
    "FileReplaced",
    "ForeignEvent",
    "HandlerEndedTransaction",
    "HandlerFailed",
    "InvalidEvent",
    "LogAhead",
    "LogConflict",
    "LogError",
    "LogFenced",
    "NotDurable",
    "NotMigrated",
    "OutsideCallRefused",
    "PreteriteError",
    "RecordRefused",
    "SagaChanged",
    "SagaMissing",
    "SchemaTooNew",
    "StoreError",
    "StoreUnavailable",
    "SystemRefused",
    "TablesMissing",
    "TransactionConflict",
    "Undecodable",
    "UnitOfWorkBroken",
    "UnitOfWorkNested",
    "UnitOfWorkSealed",
    "UnknownName",
    "UsageError",
    "WrongDatabase",
    "WrongLog",
]


class PreteriteError(Exception):
    """The base class of every exception that Preterite raises."""


class UsageError(PreteriteError):
    """The call is not allowed; nothing was written."""


class InvalidEvent(UsageError):
    """An event does not fit its own declaration; nothing was written."""


class EventTooLarge(UsageError):
    """An event is larger than the size limit; nothing was written."""


class ForeignEvent(UsageError):
    """A component tried to publish an event that it does not own; nothing was written."""


class UnitOfWorkSealed(UsageError):
    """An event was published after the unit of work had ended; it was not published."""


class UnitOfWorkNested(UsageError):
    """A unit of work was opened inside another one; the outer one is not affected."""

    @classmethod
    def of(cls, component: str) -> UnitOfWorkNested:
        """One is open on what was given, or on the connection that it works on."""
        return cls(
            f"A unit of work of {component!r} is open on this session or connection already; the outer one goes on. "
            "Pass the outer unit of work on, or use a savepoint."
        )


class UnitOfWorkBroken(UsageError):
    """The transaction of a unit of work ended, or was to be ended, inside its `with`; the unit keeps nothing."""

    @classmethod
    def refused(cls, what: str) -> UnitOfWorkBroken:
        """The error for an attempt to do this; the attempt changed nothing."""
        return cls(
            f"Inside a unit of work something tried to {what}; the transaction is the unit's and ends with its 'with'. "
            "The attempt changed nothing, and the unit rolls back: neither rows nor events are kept. Leave the 'with' "
            "to commit, raise to roll back, use a savepoint to undo a part."
        )

    @classmethod
    def ended(cls, how: str) -> UnitOfWorkBroken:
        """The error where the transaction is not the one that the unit of work began."""
        return cls(
            f"The transaction of a unit of work has ended inside its 'with': {how}. Nothing more is written or "
            "published in it, and what it has not committed is rolled back. Leave the 'with' and begin another unit of "
            "work; use a savepoint for what may fail."
        )


class HandlerEndedTransaction(UsageError):
    """A handler tried to begin, commit or roll back the batch's transaction; it was refused."""

    @classmethod
    def refused(cls, what: str) -> HandlerEndedTransaction:
        """The error for an attempt to do this; the attempt changed nothing."""
        return cls(
            f"A handler tried to {what}; the transaction belongs to the batch and commits after the handler. "
            "Nothing was changed by the attempt. Use a savepoint to undo a part."
        )


class OwnTableRefused(UsageError):
    """A handler or a unit of work tried to write to one of Preterite's own tables; it was refused."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            f"A handler or a unit of work tried to write to {table}, which is Preterite's own: events could be lost or "
            "handled twice. Nothing was changed by the attempt. Reading is allowed; to write, use the unit of work and "
            "the operators' commands."
        )


class SystemRefused(UsageError):
    """The declaration of the system contradicts itself; nothing was opened."""

    def __init__(self, system: str, faults: Sequence[str]) -> None:
        self.system = system
        self.faults = tuple(faults)
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"System {system!r} cannot start, nothing was opened:{lines}")


class ConfigurationError(PreteriteError):
    """A setting, a URL or the project cannot be read."""


class ExtraMissing(ConfigurationError, ImportError):
    """A package that comes with an extra is not installed; nothing was done."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'preterite[{extra}]'.")


class UnknownName(ConfigurationError, KeyError):
    """There is nothing of this name; the message lists the names that there are."""

    def __str__(self) -> str:
        # A KeyError would show its message as a key, in quotes.
        return Exception.__str__(self)


class Undecodable(PreteriteError):
    """Bytes are not the message that they claim to be; they were kept unchanged."""


class HandlerFailed(PreteriteError):
    """A handler raised; the cause is chained, the transaction was rolled back."""

    def __init__(self, handler: str, event: str) -> None:
        self.handler = handler
        self.event = event
        super().__init__(f"Handler {handler} failed on {event}; its effects were rolled back.")


class OutsideCallRefused(PreteriteError, PermissionError):
    """A rehearsed handler reached outside of its database; what it tried did not happen."""

    def __init__(self, handler: str, what: str) -> None:
        super().__init__(
            f"A rehearsal of {handler} refused {what}: it would have been for real. Allow it by --allow-outside-calls, "
            'or let the handler leave it out: on_replay="skip", or a parameter of type ReplayStatus.'
        )


class SagaMissing(PreteriteError):
    """An event joins an instance of a saga that does not exist; it waits for the instance, or for an operator."""

    def __init__(self, saga: str, correlation: str, *, has_ended: bool = False) -> None:
        if has_ended:
            what, until = f"The instance of saga {saga} for {correlation} has ended", "another one"
        else:
            what, until = f"There is no instance of saga {saga} for {correlation}", "one"
        super().__init__(f"{what}; the event waits until there is {until}.")


class Fenced(PreteriteError):
    """Another worker holds the lease, or newer code registered other handlers; nothing was written."""


class StoreError(PreteriteError):
    """A component's database cannot be used in its present state."""


class WrongDatabase(StoreError):
    """The database belongs to another component or system; nothing was written."""


class NotMigrated(StoreError):
    """The database has tables of an older version; nothing was written."""

    def __init__(self, component: str) -> None:
        super().__init__(
            f"The database of {component!r} has tables of an older version of Preterite; nothing was written. "
            "Run preterite migrate up, or preterite run."
        )


class TablesMissing(StoreError):
    """A component's own tables are missing in its database, or cannot be created; nothing was handled."""


class DatabaseWentBack(StoreError):
    """An older copy took a database's place while this program ran; its handlers are registered there once more."""


class NotDurable(StoreError):
    """The database's settings allow a committed transaction to be lost; nothing was written."""


class StoreUnavailable(StoreError):
    """The database is locked, full, read-only or unreachable; nothing was written, the work is retried."""


class ConnectionLost(StoreUnavailable):
    """The connection of a batch ended, but not with the database; it was rolled back and its events run one by one."""


class FileReplaced(StoreUnavailable):
    """A SQLite file was replaced while this process had it open; nothing was written. Only a new start opens it."""


class SchemaTooNew(StoreUnavailable):
    """A component's database, or the log, has tables of a newer version than this program's; nothing was written."""

    def __init__(self, place: str, found: int, known: int) -> None:
        super().__init__(
            f"{place} has tables of a newer version of Preterite ({found}; this program knows up to {known}); nothing "
            "was written. Run the newer version here, or restore a backup from before the tables were updated."
        )


class TransactionConflict(StoreUnavailable):
    """Two transactions conflicted; nothing of this one was written, it is run again."""


class SagaChanged(TransactionConflict):
    """Another transaction changed the same instance of a saga; nothing was written, it is run again."""


class LogError(PreteriteError):
    """The log cannot be used in its present state."""


class WrongLog(LogError):
    """The log belongs to another system or has another number of partitions; nothing was written."""


class LogConflict(LogError):
    """Another event already has this number in the log; the stream is stalled."""


class LogFenced(LogError):
    """A newer writer claimed the stream; this one must claim it again before it writes."""

    def __init__(self, stream: str, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(f"Stream {stream} was claimed under epoch {epoch}; nothing was appended.")


class LogAhead(LogError):
    """The log holds numbers that are not in this publisher's journal; nothing is numbered."""


class RecordRefused(LogError):
    """The log never accepts this record; a void record takes its number."""

    def __init__(self, stream: object, number: int, reason: str) -> None:
        self.stream = stream
        self.number = number
        self.reason = reason
        super().__init__(f"The log refuses number {number} of {stream}: {reason}")
