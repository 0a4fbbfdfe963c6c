"""The unit of work: a component's own rows, the events about them, and the commands that it schedules,
in one transaction.

Events are encoded when published and written to the outbox last, after the flush and right before the
commit. On a bare connection they are written at once, so that any savepoint takes them along, and are placed
last before the commit. After the end the unit is sealed: a late publish raises. The transaction that the
`with` has opened is the one that it ends; if user code ends it inside, the unit keeps nothing (`UnitOfWorkBroken`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec

from preterite import envelope as envelopes
from preterite.contracts import Checked, Command, Event, partition_of
from preterite.drivers.transaction_watch import is_in_unit
from preterite.envelope import Envelope
from preterite.errors import (
    ForeignEvent,
    StoreUnavailable,
    UnitOfWorkNested,
    UsageError,
    WrongDatabase,
)
from preterite.printing.raised import original_of
from preterite.printing.text import clause
from preterite.publishing.pending import PendingMessages
from preterite.publishing.transaction import (
    SessionTransaction,
    Transaction,
    inner_session,
    is_async_session,
    transaction_on,
    unwrapped,
)
from preterite.store import is_unavailable
from preterite.store.rows import OutboxRow, ScheduledRow, StoreIdentity

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class EventType:
    """An event type that a component owns: its name on the wire and its check."""

    wire_name: str
    checked: Checked


@dataclass(frozen=True)
class CommandType:
    """A command type that a component handles: its name, its check, and the saga whose timeout it is, if one's."""

    wire_name: str
    checked: Checked
    saga: str | None = None


@dataclass(frozen=True)
class SagaReference:
    """The instance of a saga on whose behalf a handler runs: what it schedules goes with it."""

    saga: str
    id: int
    key: str


@dataclass(frozen=True)
class Cause:
    """Why a handler's events are published: the message it handles, and identifiers that follow from it."""

    message: Envelope
    new_id: Callable[[str, str | None], UUID]


class UnitOfWork:
    """The way out of a transaction: what is published here leaves with the commit, or not at all."""

    def __init__(
        self,
        pending: PendingMessages,
        identity: StoreIdentity,
        publishes: Mapping[type[Event], EventType],
        commands: Mapping[type[Command], CommandType],
        cause: Cause | None = None,
        causes: Mapping[int, Cause] | None = None,
        reference: SagaReference | None = None,
    ) -> None:
        self._pending = pending
        self._context = pending.transaction.context
        self._identity = identity
        self._source = f"/{identity.system}/{identity.component}"
        self._publishes = publishes
        self._commands = commands
        self._cause = cause
        self._causes = causes
        self._reference = reference

    @property
    def now(self) -> datetime:
        """The business time, with zone: the machine's, except in a demo or a test, where it can be moved."""
        return self._context.clock.now()

    def publish(self, event: Event, *, caused_by: Event | None = None) -> None:
        """Publish an event when this transaction commits.

        A batch handler names the event that is the cause, so that a re-run makes the same id.
        Checks types, times and size at once, and raises before anything is written: `InvalidEvent`,
        `EventTooLarge`, `ForeignEvent` for another component's event, `UnitOfWorkSealed` after the end.
        """
        what = f"{type(event).__name__} was published"
        self._pending.require_open(what)
        published = self._publishes.get(type(event))
        if published is None:
            raise ForeignEvent(
                f"Component {self._identity.component!r} does not own {type(event).__name__} and cannot publish it; "
                "nothing was written. Name it in the component's publishes=[…], or publish from its owner."
            )
        self._pending.add(self._row(event, published, self._cause_of(caused_by)), what)

    def schedule(
        self,
        command: Command,
        *,
        at: datetime | None = None,
        after: timedelta | None = None,
        caused_by: Event | None = None,
    ) -> UUID:
        """Schedule a command of this component at an instant, or after a while; takes effect with the commit.

        It is handled once, not early by the system's business clock. Returns the token for `cancel` and `reschedule`.
        Inside a saga the command is the instance's own timeout, cancelled when that completes. Raises `UsageError`
        where nothing here handles the command or the time has no zone; then nothing was written.
        """
        what = f"{type(command).__name__} was scheduled"
        self._pending.require_open(what)
        declared = self._commands.get(type(command))
        if declared is None:
            raise UsageError(
                f"Nothing in component {self._identity.component!r} handles {type(command).__name__}; nothing was "
                "written. Only the component that handles a command can schedule it."
            )
        if declared.saga is not None and (self._reference is None or self._reference.saga != declared.saga):
            raise UsageError(
                f"{type(command).__name__} is a timeout of saga {declared.saga}; only that saga can schedule it. "
                "Nothing was written."
            )
        row = self._scheduled_row(command, declared, self._due(at, after), self._cause_of(caused_by))
        self._pending.defer(lambda store, connection: store.add_scheduled(connection, [row]), what)
        return UUID(bytes=row.token)

    def cancel(self, token: UUID) -> None:
        """Cancel a scheduled command when this transaction commits; nothing if it was handled already."""
        what = f"The command {token} was cancelled"
        self._pending.defer(lambda store, connection: store.cancel_scheduled(connection, token.bytes), what)

    def reschedule(self, token: UUID, *, at: datetime | None = None, after: timedelta | None = None) -> None:
        """Reschedule a command when this transaction commits; nothing if it was handled already."""
        what = f"The command {token} was rescheduled"
        self._pending.require_open(what)
        due_at = self._due(at, after).timestamp()
        self._pending.defer(lambda store, connection: store.reschedule(connection, token.bytes, due_at), what)

    def new_id(self, *, caused_by: Event | None = None) -> UUID:
        """A new identifier; inside a handler one that a re-run makes again."""
        cause = self._cause_of(caused_by)
        return self._context.randomness.uuid() if cause is None else cause.new_id("new_id", None)

    def _cause_of(self, caused_by: Event | None) -> Cause | None:
        if self._causes is None:
            return self._cause
        cause = self._causes.get(id(caused_by))
        if cause is None:
            raise UsageError(
                "A batch handler must name the event that is the cause: "
                "publish(event, caused_by=one_of_the_events). Nothing was published."
            )
        return cause

    def _due(self, at: datetime | None, after: timedelta | None) -> datetime:
        if (at is None) == (after is None):
            raise UsageError("Pass either at= or after=. Nothing was written.")
        if at is None:
            assert after is not None, "one of the two is given"
            return self._context.clock.now() + after
        if at.utcoffset() is None:
            raise UsageError(f"{at} is a time without zone; give it one, as in datetime.now(UTC). Nothing was written.")
        return at

    def _scheduled_row(
        self, command: Command, declared: CommandType, due: datetime, cause: Cause | None
    ) -> ScheduledRow:
        reference = self._reference
        body = declared.checked.encode(command)
        token = self._context.randomness.uuid() if cause is None else cause.new_id(f"later {declared.wire_name}", None)
        key = None if reference is None else reference.key
        envelope = Envelope(
            id=token,
            source=self._source,
            type=declared.wire_name,
            time=self._context.clock.now(),
            subject=key,
            saga=None if reference is None else reference.id,
            correlationid=None if cause is None else cause.message.correlation,
            causationid=None if cause is None else cause.message.id,
            traceparent=None if cause is None else cause.message.traceparent,
            data=msgspec.Raw(body),
        )
        partition = partition_of(key or str(token), self._identity.partitions)
        saga_id = None if reference is None else reference.id
        return ScheduledRow(
            token.bytes, partition, due.timestamp(), saga_id, key, declared.wire_name, envelopes.to_bytes(envelope)
        )

    def _row(self, event: Event, published: EventType, cause: Cause | None) -> OutboxRow:
        body = published.checked.encode(event)
        key = published.checked.key_of(event)
        event_id = self._context.randomness.uuid() if cause is None else cause.new_id(published.wire_name, key)
        envelope = Envelope(
            id=event_id,
            source=self._source,
            type=published.wire_name,
            time=self._context.clock.now(),
            subject=key,
            version=published.checked.message_type.__contract__.version,
            correlationid=None if cause is None else cause.message.correlation,
            causationid=None if cause is None else cause.message.id,
            traceparent=None if cause is None else cause.message.traceparent,
            data=msgspec.Raw(body),
        )
        partition = partition_of(str(event_id) if key is None else key, self._identity.partitions)
        return OutboxRow(partition, event_id.bytes, envelopes.to_bytes(envelope))


class UnitOfWorkContext:
    """What `component.unit_of_work(session)` returns, for `with` or `async with`.

    It commits at exit; on an exception it rolls back and lets it pass.
    """

    def __init__(
        self,
        component: str,
        publishes: Mapping[type[Event], EventType],
        commands: Mapping[type[Command], CommandType],
        given: Any,
        in_use: set[int],
    ) -> None:
        self._component = component
        self._publishes = publishes
        self._commands = commands
        self._given = given
        self._in_use = in_use
        self._key: int | None = None
        self._pending: PendingMessages | None = None

    def __del__(self) -> None:
        # It was entered and dropped: the session may be used again.
        if self._key is not None:
            self._in_use.discard(self._key)
        if self._key is not None and self._pending is not None:
            self._pending.refuse_more()
            self._pending.transaction.release()

    def __enter__(self) -> UnitOfWork:
        self._refuse_nesting()
        with self._beginning():
            return self._open(transaction_on(self._given))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aenter__(self) -> UnitOfWork:
        self._refuse_nesting()
        with self._beginning():
            if not is_async_session(self._given):
                return self._open(transaction_on(self._given))
            session = cast("AsyncSession", self._given)
            return await session.run_sync(lambda plain: self._open(SessionTransaction(plain, refused=True)))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not is_async_session(self._given):
            self._end(error)
            return
        # A cancelled COMMIT has usually committed: let it end before the cancellation goes on, however often it comes.
        session = cast("AsyncSession", self._given)
        ending = asyncio.ensure_future(session.run_sync(lambda _session: self._end(error)))
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.wait({ending})
            except asyncio.CancelledError as again:
                cancelled = again
        self._leave()
        ending.result()
        if cancelled is not None:
            raise cancelled

    @contextmanager
    def _beginning(self) -> Generator[None]:
        """Raise `StoreUnavailable` where the database keeps the unit of work from beginning."""
        try:
            yield
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise StoreUnavailable(
                f"The database of {self._component!r} is not available: {clause(original_of(error))}. The unit of work "
                "has not begun: nothing was written, and nothing is published. Begin another one later."
            ) from error

    def _refuse_nesting(self) -> None:
        self._given = unwrapped(self._given)
        session = inner_session(self._given) if is_async_session(self._given) else self._given
        if id(session) in self._in_use:
            raise UnitOfWorkNested.of(self._component)

    def _leave(self) -> None:
        if self._key is not None:
            self._in_use.discard(self._key)
        self._key = None

    def _open(self, transaction: Transaction) -> UnitOfWork:
        if is_in_unit(transaction.connection):
            raise UnitOfWorkNested.of(self._component)
        try:
            transaction.begin()
            identity = transaction.store.identity(transaction.connection)
            if identity is None or identity.component != self._component:
                owner = "no component yet" if identity is None else repr(identity.component)
                raise WrongDatabase(
                    f"This database belongs to {owner}, not to {self._component!r}; nothing was written. "
                    "Open the component's own database."
                )
        except BaseException:
            transaction.rollback()
            raise
        # While this context lives, so does what was given, and no other has its id.
        self._key = id(transaction.session if isinstance(transaction, SessionTransaction) else self._given)
        self._in_use.add(self._key)
        self._pending = PendingMessages(transaction)
        return UnitOfWork(self._pending, identity, self._publishes, self._commands)

    def _end(self, error: BaseException | None) -> None:
        assert self._pending is not None, "a unit of work ends after it was entered"
        self._leave()
        pending, transaction = self._pending, self._pending.transaction
        if error is not None:
            pending.seal()
            transaction.rollback()
            if transaction.broken is not None and "not authorized" in str(error):
                raise transaction.broken from error
            return
        try:
            transaction.require_unbroken()
            transaction.flush()
            transaction.verify()
            with transaction.writing_own_tables():
                self._write(pending)
            upkeep = transaction.store.upkeep(transaction.connection)
            pending.is_committing = True
            transaction.commit()
        except BaseException:
            pending.seal()
            transaction.rollback()
            raise
        finally:
            pending.is_committing = False
        if upkeep is not None:
            upkeep()
        transaction.context.wake()

    def _write(self, pending: PendingMessages) -> None:
        """Write what was kept for the end; outbox rows take their places now, after every lock has been taken."""
        transaction, rows = pending.transaction, pending.seal()
        if rows:
            transaction.store.add_to_outbox(transaction.connection, rows)
        if pending.places:
            transaction.store.place_last(transaction.connection, pending.places)
        pending.write_deferred()
