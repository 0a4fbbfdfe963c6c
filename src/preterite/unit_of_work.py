"""The unit of work: a component's own rows and the events that announce them, in one transaction.

Events are encoded when published and written to the outbox last, after the flush and right before the
commit. On a bare connection to SQLite, whose writers stand in line anyway, they are written at once, so
that a savepoint takes them along. After the end the unit is sealed: a late publish raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec

from preterite import envelope as envelopes
from preterite.contracts import Checked, Event, partition_of
from preterite.envelope import Envelope
from preterite.errors import ForeignEvent, UnitOfWorkNested, UnitOfWorkSealed, UsageError, WrongDatabase
from preterite.rows import OutboxRow, StoreIdentity
from preterite.sessions import SessionWork, Work, inner_session, is_async_session, work_on

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class Published:
    """An event type that a component owns: its word on the wire and its check."""

    wire_name: str
    checked: Checked


@dataclass(frozen=True)
class Cause:
    """Why a handler's events are published: the message it handles, and identifiers that follow from it."""

    message: Envelope
    new_id: Callable[[str, str | None], UUID]


class Outgoing:
    """What one unit of work has published: refused once sealed, written to the outbox last."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.sealed = False
        self._write = work.store.outbox_writer(work.connection)
        self._waiting: list[tuple[object, OutboxRow]] = []

    def add(self, row: OutboxRow) -> None:
        """Keep a row for the end of the transaction; where savepoints cannot be followed, write it at once."""
        if self.work.buffers:
            self._waiting.append((self.work.level(), row))
        else:
            self._write(row)

    def seal(self) -> list[OutboxRow]:
        """Take no more; return the rows to be written last, without those that a savepoint has taken back."""
        self.sealed = True
        return [row for level, row in self._waiting if self.work.survives(level)]


class UnitOfWork:
    """The way out of a transaction: what is published here leaves with the commit, or not at all."""

    def __init__(
        self,
        outgoing: Outgoing,
        identity: StoreIdentity,
        publishes: Mapping[type[Event], Published],
        cause: Cause | None = None,
        causes: Mapping[int, Cause] | None = None,
    ) -> None:
        self._outgoing = outgoing
        self._binding = outgoing.work.binding
        self._identity = identity
        self._source = f"/{identity.system}/{identity.component}"
        self._publishes = publishes
        self._cause = cause
        self._causes = causes

    def publish(self, event: Event, *, caused_by: Event | None = None) -> None:
        """Announce a fact when this transaction commits.

        A batch handler names the event that is the cause, so that a re-run makes the same id.
        Checks types, times and size at once, and raises before anything is written: `InvalidEvent`,
        `EventTooLarge`, `ForeignEvent` for somebody else's event, `UnitOfWorkSealed` after the end.
        """
        if self._outgoing.sealed:
            raise UnitOfWorkSealed(
                f"{type(event).__name__} was published after its unit of work had ended; it was not announced. "
                "Publish inside the 'with'."
            )
        published = self._publishes.get(type(event))
        if published is None:
            raise ForeignEvent(
                f"Component {self._identity.component!r} does not own {type(event).__name__} and cannot publish it; "
                "nothing was written. Name it in the component's publishes=[…], or publish from its owner."
            )
        self._outgoing.add(self._row(event, published, self._cause_of(caused_by)))

    def new_id(self, *, caused_by: Event | None = None) -> UUID:
        """A new identifier; inside a handler one that a re-run makes again."""
        cause = self._cause_of(caused_by)
        return self._binding.randomness.uuid() if cause is None else cause.new_id("new_id", None)

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

    def _row(self, event: Event, published: Published, cause: Cause | None) -> OutboxRow:
        body = published.checked.encode(event)
        key = published.checked.key_of(event)
        event_id = self._binding.randomness.uuid() if cause is None else cause.new_id(published.wire_name, key)
        envelope = Envelope(
            id=event_id,
            source=self._source,
            type=published.wire_name,
            time=self._binding.clock.now(),
            subject=key,
            version=published.checked.event_type.__contract__.version,
            correlationid=None if cause is None else cause.message.correlation,
            causationid=None if cause is None else cause.message.id,
            traceparent=None if cause is None else cause.message.traceparent,
            data=msgspec.Raw(body),
        )
        partition = partition_of(str(event_id) if key is None else key, self._identity.partitions)
        return OutboxRow(partition, event_id.bytes, envelopes.to_bytes(envelope))


class OwnUnitOfWork:
    """What `component.unit_of_work(session)` returns, for `with` or `async with`.

    It commits at exit; on an exception it rolls back and lets it pass.
    """

    def __init__(
        self, component: str, publishes: Mapping[type[Event], Published], given: Any, in_use: set[int]
    ) -> None:
        self._component = component
        self._publishes = publishes
        self._given = given
        self._in_use = in_use
        self._outgoing: Outgoing | None = None

    def __enter__(self) -> UnitOfWork:
        self._refuse_nesting()
        return self._open(work_on(self._given))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(failed=kind is not None)

    async def __aenter__(self) -> UnitOfWork:
        self._refuse_nesting()
        if not is_async_session(self._given):
            return self._open(work_on(self._given))
        return await cast("AsyncSession", self._given).run_sync(lambda session: self._open(SessionWork(session)))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not is_async_session(self._given):
            self._end(failed=kind is not None)
            return
        # A cancelled COMMIT has usually committed: let it end before the cancellation goes on.
        session = cast("AsyncSession", self._given)
        ending = asyncio.ensure_future(session.run_sync(lambda _session: self._end(failed=kind is not None)))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    def _refuse_nesting(self) -> None:
        session = inner_session(self._given) if is_async_session(self._given) else self._given
        if id(session) in self._in_use:
            raise UnitOfWorkNested(
                f"A unit of work of {self._component!r} is open on this {type(self._given).__name__} already; "
                "the outer one goes on. Pass the outer unit of work on, or use a savepoint."
            )
        self._key = id(session)

    def _open(self, work: Work) -> UnitOfWork:
        work.begin()
        try:
            identity = work.store.identity(work.connection)
            if identity is None or identity.component != self._component:
                owner = "nobody yet" if identity is None else repr(identity.component)
                raise WrongDatabase(
                    f"This database belongs to {owner}, not to {self._component!r}; nothing was written. "
                    "Open the component's own database."
                )
        except BaseException:
            work.rollback()
            raise
        self._in_use.add(self._key)
        self._outgoing = Outgoing(work)
        return UnitOfWork(self._outgoing, identity, self._publishes)

    def _end(self, *, failed: bool) -> None:
        assert self._outgoing is not None, "a unit of work ends after it was entered"
        self._in_use.discard(self._key)
        work = self._outgoing.work
        if failed:
            self._outgoing.seal()
            work.rollback()
            return
        try:
            work.flush()
            rows = self._outgoing.seal()
            if rows:
                work.store.add_to_outbox(work.connection, rows)
            work.commit()
        except BaseException:
            self._outgoing.seal()
            work.rollback()
            raise
        work.binding.wake()
