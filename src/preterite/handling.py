"""Calling a handler: fill its parameters, run it, and say exactly what failed.

What handlers publish waits here until the batch is settled, so that outbox rows are written last.
"""

from __future__ import annotations

from asyncio import CancelledError, iscoroutine
from collections.abc import Sequence
from typing import Any, NamedTuple

from preterite.clock import Clock, DerivedIds
from preterite.component import Given
from preterite.envelope import Envelope
from preterite.errors import HandlerEndedTransaction, StoreUnavailable, TransactionConflict
from preterite.instances import Instance, Instances
from preterite.items import Item
from preterite.rows import Replaying, StoreIdentity
from preterite.store import Store
from preterite.topology import BoundHandler, Subscriptions
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
        self._instances = Instances(store, clock)
        self._believed: tuple[tuple[str, bytes] | None, int] = (None, 0)
        self.running: Running | None = None
        self.may_have_published = False
        """Whether handlers were given anything to publish with since somebody last looked."""

    def call(
        self,
        batch: Batch,
        bound: BoundHandler,
        items: Sequence[Item],
        index: int | None,
        mode: Replaying | None = None,
    ) -> None:
        """Run one handler on one item, or a batch handler on several; raises `HandlerRaised` if it fails.

        `mode` says how, where the items are history.
        """
        before = len(batch.outgoing)
        self.running = Running(bound.name, self._clock.monotonic())
        try:
            if bound.handler.saga is None:
                self._run(batch, bound, items, None, mode)
            else:
                self._run_in_saga(batch, bound, items, mode)
        except TransactionConflict:
            raise
        except (Exception, SystemExit, CancelledError) as error:
            if self._store.is_conflict(error):
                raise TransactionConflict(f"Handler {bound.name} met another transaction: {error}.") from error
            if self._store.is_unavailable(error) and self._again_because_unavailable(bound, items[0]):
                raise StoreUnavailable(
                    f"The database of {self._component.name!r} cannot be used just now: {error}."
                ) from error
            certain = not batch.flush_failed
            raise HandlerRaised(bound, index, self._explained(batch, error), certain=certain) from error
        finally:
            for outgoing in batch.outgoing[before:]:
                outgoing.sealed = True
            self.running = None

    def _run_in_saga(self, batch: Batch, bound: BoundHandler, items: Sequence[Item], mode: Replaying | None) -> None:
        """Run a saga's function in the instance that the message is for, if it has one."""
        instance = self._instances.enter(batch.work.connection, bound, items[0])
        if instance is not None:
            self._run(batch, bound, items, instance, mode)
            self._instances.leave(batch.work.connection, instance)

    def _run(
        self,
        batch: Batch,
        bound: BoundHandler,
        items: Sequence[Item],
        instance: Instance | None,
        mode: Replaying | None,
    ) -> None:
        given = bound.call.given
        arguments: list[Any] = [] if instance is None else [instance.saga]
        arguments.append([item.event for item in items] if bound.call.batch else items[0].event)
        for wanted in given[1:]:
            if wanted is Given.UNIT_OF_WORK:
                arguments.append(self._unit_of_work(batch, bound, items, instance, mode))
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

    def _again_because_unavailable(self, bound: BoundHandler, item: Item) -> bool:
        """Whether the component's own database is to blame, rather than another one that the handler uses.

        Nobody can tell from the error. The same handler on the same event is believed a few times, no more.
        """
        pair = (bound.name, item.record.event_id)
        self._believed = (pair, self._believed[1] + 1 if self._believed[0] == pair else 1)
        return self._believed[1] <= UNAVAILABLE_TIMES_MAX

    def write_outbox(self, batch: Batch) -> None:
        """Flush, then write what the handlers have published or asked for, and no savepoint has taken back."""
        batch.work.flush()
        rows = [row for outgoing in batch.outgoing for row in outgoing.seal()]
        if rows:
            self._store.add_to_outbox(batch.work.connection, rows)
        self.may_have_published |= bool(batch.outgoing)
        for outgoing in batch.outgoing:
            outgoing.write_deferred()

    def _unit_of_work(
        self,
        batch: Batch,
        bound: BoundHandler,
        items: Sequence[Item],
        instance: Instance | None,
        mode: Replaying | None,
    ) -> UnitOfWork:
        outgoing = Outgoing(batch.work, quiet=mode is not None and mode.quiet)
        batch.outgoing.append(outgoing)
        # What is handled again and announces anything announces it anew, under other identifiers (protocol rule 15).
        name = bound.name if mode is None or not mode.again else f"{bound.name} replay {mode.id}"
        causes = {id(item.event): self._cause(name, item.envelope) for item in items if item.envelope is not None}
        single = None if bound.call.batch else next(iter(causes.values()))
        return UnitOfWork(
            outgoing,
            self._identity,
            self._component.published,
            self._component.commands,
            single,
            causes if bound.call.batch else None,
            None if instance is None else instance.tie,
        )

    def _cause(self, handler: str, message: Envelope) -> Cause:
        return Cause(message, DerivedIds(message.id, self._component.name, handler).of)

    def _explained(self, batch: Batch, error: BaseException) -> BaseException:
        """SQLite says only 'not authorized' where a handler tried to end the transaction in SQL; say it in words."""
        if isinstance(error, HandlerEndedTransaction) or "not authorized" not in str(error):
            return error
        return HandlerEndedTransaction(
            f"A handler tried to begin, commit or roll back ({error}); the transaction belongs to the batch. "
            "Use a savepoint to undo a part."
        )
