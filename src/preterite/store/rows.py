"""What a component's database holds, as values; and the part of DB-API that is needed to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from preterite.log.contract import Cursor, Record, Stream

RELAY = "relay"
SCHEDULED = "@scheduled"
"""In place of a publisher for commands, which have none: no component can have this name."""
TICK = "tick"
ParkedState = Literal["parked", "dead", "undecodable"]


class DbCursor(Protocol):
    """The part of a DB-API cursor that is used."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class DbConnection(Protocol):
    """The part of a DB-API connection that is used."""

    def cursor(self) -> Any: ...
    def commit(self) -> Any: ...
    def rollback(self) -> Any: ...


@dataclass(frozen=True)
class StoreIdentity:
    """Whose database this is; made once, then compared at every start and by every unit of work."""

    component: str
    component_id: UUID
    system: str
    system_id: UUID
    partitions: int


class Script(NamedTuple):
    """A numbered script that brings a database from one version of Preterite's tables to the next."""

    number: int
    name: str
    text: str


class OutboxRow(NamedTuple):
    """A committed event that has no number yet."""

    partition: int
    event_id: bytes
    envelope: bytes


Numbered = tuple[int, int, bytes, bytes]
"""A committed event with its number: partition, number, identifier, envelope."""


class Suppressed(NamedTuple):
    """An event in the outbox whose identifier was published before the database was restored, and that envelope."""

    outbox_id: int
    row: OutboxRow
    published: bytes


class ScheduledRow(NamedTuple):
    """A scheduled command; `saga_id` and `key` where it belongs to a saga's instance or a calendar."""

    token: bytes
    partition: int
    due_at: float
    saga_id: int | None
    key: str | None
    type: str
    envelope: bytes


class DueRow(NamedTuple):
    """A scheduled command that is due."""

    id: int
    token: bytes
    partition: int
    due_at: float
    envelope: bytes


class SagaRow(NamedTuple):
    """An instance of a saga as stored; `revision` grows with every change."""

    id: int
    saga: str
    correlation: str
    revision: int
    version: int
    state: bytes


class Lease(NamedTuple):
    """The right to do one piece of work alone: held while owner and epoch in the database are these."""

    name: str
    owner: str
    epoch: int
    clean: bool


class LeaseState(NamedTuple):
    """A lease as stored."""

    name: str
    owner: str | None
    epoch: int
    expires_at: float
    renewals: int


class RunningHandler(NamedTuple):
    """A handler that a worker was still running at its last heartbeat, and for how long."""

    owner: str
    handler: str
    seconds: float


class Move(NamedTuple):
    """One stream's cursor, from what was read to where the batch ends."""

    stream: Stream
    read: Cursor
    new: Cursor


class Fence(NamedTuple):
    """What must still hold when a batch commits (protocol rules 1 and 6)."""

    leases: Mapping[int, Lease]
    handlers_version: int


class Activity(NamedTuple):
    """How many events a transaction has handled, in which minute of machine time."""

    minute: int
    handled: int


@dataclass(frozen=True)
class Failure:
    """One failed attempt, as it is reported to operators."""

    error: str
    text: str
    place: str
    trace: str


@dataclass(frozen=True, kw_only=True)
class Parked:
    """An event parked for one handler: it waits for a retry, behind its lane's head, or for an operator's decision."""

    id: int = 0
    handler: str
    lane: str
    record: Record
    key: str | None
    type: str
    state: ParkedState = "parked"
    attempts: int = 0
    running: bool = False
    due_at: float = 0.0
    failure: Failure | None = None
    failed_at: float | None = None
    replay: ReplayMode | None = None
    original: bytes | None = None
    """The envelope as it was received, where an operator has changed it."""
    saga: str | None = None
    """The saga's instance that it waits for, as `saga_key` names it."""


class Fingerprint(NamedTuple):
    """The identity of a failure group: the handler, the kind of error, and the first line of the user's own code."""

    handler: str
    error: str
    place: str


class Note(NamedTuple):
    """What an operator has written about failures of one fingerprint; it is kept for when they recur."""

    text: str
    by: str
    at: float


class FailureGroup(NamedTuple):
    """Dead letters of one fingerprint."""

    fingerprint: Fingerprint
    dead_letters: int
    first_at: float
    last_at: float
    text: str
    """The error text of the newest of them."""
    note: Note | None


class ReplayMode(NamedTuple):
    """How a handler runs on history: under which replay's own identifiers, and whether it publishes nothing."""

    id: int
    again: bool
    quiet: bool


class Replay(NamedTuple):
    """History that is replayed to handlers."""

    id: int
    handlers: tuple[str, ...]
    again: bool
    publishes: bool
    rate: float | None
    from_time: float | None
    state: str
    reason: str
    replayed: int
    started_at: float
    cancelled: bool = False
    """Whether the rest of the history is left out; it then runs until it has caught up with live reading."""

    @property
    def mode(self) -> ReplayMode:
        """How its handlers run."""
        return ReplayMode(self.id, self.again, self.again and not self.publishes)


class ReplayCursor(NamedTuple):
    """The cursor of a replay in a stream, and the live number when it began."""

    replay_id: int
    stream: Stream
    cursor: Cursor
    live_number: int


class AuditLine(NamedTuple):
    """What an operator did to a component's dead letters, replays or streams."""

    at: float
    operator: str
    action: str
    target: str
    reason: str
    before: str
    after: str


class StreamNumbers(NamedTuple):
    """One partition of a publisher: last number given, the id under it, last number the log has confirmed, epoch."""

    partition: int
    last_number: int
    last_id: bytes
    confirmed: int
    epoch: int


class HandlerRegistration(NamedTuple):
    """A handler as registered: active, or retired."""

    name: str
    event_type: str
    lane: str
    retired: bool = False


class CursorState(NamedTuple):
    """A cursor with the reason why its stream is stalled, if it is."""

    cursor: Cursor
    stall: str | None


class Counts(NamedTuple):
    """How much work a component has, for status and for `settle`."""

    unnumbered: int
    parked: int
    due: int
    dead: int
    discarded: int
    voids: int
    skipped: int
    handled: int
    handled_last_minute: int
    next_due_at: float | None
    relay_halt: str | None
    scheduled: int
    sagas: int
    replaying: int


class Ages(NamedTuple):
    """Seconds by the database's clock, for status; nothing where there is none. What is due: by the business clock."""

    outbox: float | None
    """Since the oldest event of the outbox that has no number was committed."""
    confirmed: float | None
    """Since the log has confirmed more than before."""
    moved: float | None
    """Since a cursor was moved."""
    handled: float | None
    """Since the end of the last minute in which an event was handled."""
    due: float | None
    """Since the earliest of what is due was due."""


def saga_key(saga: str, correlation: str) -> str:
    """The name of one instance of a saga, in every row that waits for it."""
    return f"{saga}/{correlation}"


def tick_name(calendar: str) -> str:
    """The key under which the moments of a calendar are scheduled."""
    return f"{TICK} {calendar}"
