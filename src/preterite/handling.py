"""Calling a handler: fill its parameters, run it, and say exactly what failed.

What handlers publish waits here until the batch is settled, so that outbox rows are written last.
"""

from __future__ import annotations

from asyncio import CancelledError, iscoroutine
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from preterite import envelope as envelopes
from preterite.clock import Clock, DerivedIds
from preterite.component import Given
from preterite.contracts import Event
from preterite.envelope import Envelope
from preterite.errors import HandlerEndedTransaction, StoreUnavailable, Undecodable
from preterite.failures import failure_of
from preterite.log import Record
from preterite.rows import Failure, StoreIdentity
from preterite.store import Store
from preterite.topology import BoundHandler, Subscription, Subscriptions
from preterite.unit_of_work import Cause, Outgoing, UnitOfWork
from preterite.workplace import Batch

UNAVAILABLE_TIMES_MAX = 3


class HandlerRaised(Exception):
    """A handler raised, on the item at `index`; without index, on a run of which the culprit is unknown.

    It is not `certain` that the handler is to blame where rows of others were being flushed.
    """

    def __init__(self, handler: BoundHandler, index: int | None, error: BaseException, *, certain: bool = True) -> None:
        self.certain = certain
        self.handler = handler
        self.index = index
        self.error = error
        super().__init__(handler.name)


class Item(NamedTuple):
    """A record made ready: decoded and matched with what this component hears, or the reason why it is not."""

    record: Record
    envelope: Envelope | None
    subscription: Subscription | None
    event: Event | None
    fault: Failure | None
    unknown: bool = False

    @property
    def key(self) -> str | None:
        """The key that orders this item within its stream."""
        return self.envelope.subject if self.envelope is not None else None


def opened(subscriptions: Subscriptions, record: Record) -> Item:
    """Decode a record and match it with what this component hears; never raises."""
    if record.kind == "void":
        return Item(record, None, None, None, Failure("Void", record.body.decode(errors="replace"), "", ""))
    try:
        envelope = envelopes.from_bytes(record.body)
    except Undecodable as error:
        return Item(record, None, None, None, failure_of(error))
    subscription = subscriptions.by_wire_name.get(envelope.type)
    if subscription is None:
        return Item(record, envelope, None, None, None, unknown=envelope.type not in subscriptions.declared)
    try:
        event = subscription.checked.decode(envelope.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Item(
            record,
            envelope,
            subscription,
            None,
            failure_of(Undecodable(f"{envelope.type} version {envelope.version}: {error}")),
        )
    return Item(record, envelope, subscription, event, None)


class Running(NamedTuple):
    """What is being run, for whoever watches the time limit."""

    handler: str
    since: float


class Handling:
    """Calls handlers for one component. Used by one thread; `running` may be read by another."""

    def __init__(self, subscriptions: Subscriptions, store: Store, identity: StoreIdentity, clock: Clock) -> None:
        self._component = subscriptions.component
        self._store = store
        self._identity = identity
        self._clock = clock
        self._believed: tuple[tuple[str, bytes] | None, int] = (None, 0)
        self.running: Running | None = None

    def call(self, batch: Batch, bound: BoundHandler, items: Sequence[Item], index: int | None) -> None:
        """Run one handler on one item, or a batch handler on several; raises `HandlerRaised` if it fails."""
        outgoing: Outgoing | None = None
        self.running = Running(bound.name, self._clock.monotonic())
        try:
            given = bound.call.given
            arguments: list[Any] = [[item.event for item in items] if bound.call.batch else items[0].event]
            for wanted in given[1:]:
                if wanted is Given.UNIT_OF_WORK:
                    outgoing = Outgoing(batch.work)
                    batch.outgoing.append(outgoing)
                    arguments.append(self._unit_of_work(outgoing, bound, items))
                elif wanted is Given.ENVELOPE:
                    arguments.append(items[0].envelope)
                else:
                    arguments.append(batch.give(wanted))
            outcome = bound.handler.function(*arguments)
            if iscoroutine(outcome):
                batch.run(outcome)
            if not self._store.in_transaction(batch.work.connection):
                raise HandlerEndedTransaction(
                    "The transaction ended inside the handler (by INSERT OR ROLLBACK, or RAISE(ROLLBACK)?), "
                    "and with it the whole batch's; all of it was rolled back. Use a savepoint to undo a part."
                )
        except (Exception, SystemExit, CancelledError) as error:
            if self._store.is_unavailable(error) and self._again_because_unavailable(bound, items[0]):
                raise StoreUnavailable(
                    f"The database of {self._component.name!r} cannot be used just now: {error}."
                ) from error
            certain = not batch.flush_failed
            raise HandlerRaised(bound, index, self._explained(batch, error), certain=certain) from error
        finally:
            if outgoing is not None:
                outgoing.sealed = True
            self.running = None

    def _again_because_unavailable(self, bound: BoundHandler, item: Item) -> bool:
        """Whether the component's own database is to blame, rather than another one that the handler uses.

        Nobody can tell from the error. The same handler on the same event is believed a few times, no more.
        """
        pair = (bound.name, item.record.event_id)
        self._believed = (pair, self._believed[1] + 1 if self._believed[0] == pair else 1)
        return self._believed[1] <= UNAVAILABLE_TIMES_MAX

    def write_outbox(self, batch: Batch) -> None:
        """Flush, then write what the handlers have published and no savepoint has taken back."""
        batch.work.flush()
        rows = [row for outgoing in batch.outgoing for row in outgoing.seal()]
        if rows:
            self._store.add_to_outbox(batch.work.connection, rows)

    def _unit_of_work(self, outgoing: Outgoing, bound: BoundHandler, items: Sequence[Item]) -> UnitOfWork:
        causes = {id(item.event): self._cause(bound, item.envelope) for item in items if item.envelope is not None}
        single = None if bound.call.batch else next(iter(causes.values()))
        return UnitOfWork(
            outgoing, self._identity, self._component.published, single, causes if bound.call.batch else None
        )

    def _cause(self, bound: BoundHandler, message: Envelope) -> Cause:
        return Cause(message, DerivedIds(message.id, self._component.name, bound.name).of)

    def _explained(self, batch: Batch, error: BaseException) -> BaseException:
        """SQLite says only 'not authorized' where a handler tried to end the transaction in SQL; say it in words."""
        if isinstance(error, HandlerEndedTransaction) or "not authorized" not in str(error):
            return error
        return HandlerEndedTransaction(
            f"A handler tried to begin, commit or roll back ({error}); the transaction belongs to the batch. "
            "Use a savepoint to undo a part."
        )
