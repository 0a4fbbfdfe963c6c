"""Calling a handler: fill its parameters, run it, and say exactly what failed.

What handlers publish waits here until the batch is settled, so that outbox rows are written last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from preterite.clock import Clock, DerivedIds
from preterite.component import ParameterKind, ReplayStatus
from preterite.envelope import Envelope
from preterite.errors import (
    ConnectionLost,
    HandlerEndedTransaction,
    HandlerFailed,
    StoreUnavailable,
    TransactionConflict,
)
from preterite.handling.delivery import Delivery
from preterite.handling.failure import ends_the_process, text_of
from preterite.handling.outcome import run_to_its_end
from preterite.handling.sagas import SagaInstance, SagaPersister
from preterite.handling.transaction import Batch
from preterite.printing.raised import is_a
from preterite.printing.text import clause
from preterite.publishing.pending import PendingMessages
from preterite.publishing.transaction import Transaction
from preterite.publishing.unit_of_work import Cause, UnitOfWork
from preterite.store.contract import Database, translating_errors
from preterite.store.rows import ReplayMode, StoreIdentity
from preterite.topology import BoundHandler, Subscriptions

UNAVAILABLE_TIMES_MAX = 3
"""Times in a row, without a committed batch, that a handler's error counts as an unavailable own database."""


class HandlerRaised(Exception):
    """A handler raised, on the delivery at `index`; without index, on a run of which the culprit is unknown.

    It is not `certain` that the handler is to blame where rows of several were being written together.
    """

    def __init__(self, handler: BoundHandler, index: int | None, error: BaseException, *, certain: bool) -> None:
        self.certain = certain
        self.handler = handler
        self.index = index
        self.error = error
        super().__init__(handler.name)


class Running(NamedTuple):
    """What is being run, for the watch over the time limit."""

    handler: str
    since: float


class HandlerInvoker:
    """Calls handlers for one component. Used by one thread; `running` may be read by another.

    `first_names` are those that identifiers are derived from (`Store.first_names`). `rehearsing`, in a rehearsal: what
    each call runs in, given the handler's name.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        database: Database,
        identity: StoreIdentity,
        clock: Clock,
        first_names: Mapping[str, str],
        rehearsing: Callable[[str], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._component = subscriptions.component
        self._database = database
        self._store = database.store
        self._identity = identity
        self._clock = clock
        self._first_names = first_names
        self._rehearsing = rehearsing
        self._sagas = SagaPersister(database.store, clock)
        self._unavailable_times = 0
        self.running: Running | None = None
        self.seconds = 0.0
        """For how long handlers have run."""

    def call(
        self,
        batch: Batch,
        bound: BoundHandler,
        deliveries: Sequence[Delivery],
        index: int | None,
        mode: ReplayMode | None = None,
    ) -> None:
        """Run one handler on one delivery, or a batch handler on several; raises `HandlerRaised` if it fails.

        `mode` says how, where the deliveries are history.
        """
        before = len(batch.pending)
        since = self._clock.monotonic()
        self.running = Running(bound.name, since)
        try:
            if bound.handler.saga is None:
                self._run(batch, bound, deliveries, None, mode)
            else:
                self._run_in_saga(batch, bound, deliveries, mode)
        except TransactionConflict:
            raise
        except BaseException as error:
            if ends_the_process(error):
                raise
            raise self._what_failed(batch, bound, index, error) from error
        finally:
            for pending in batch.pending[before:]:
                pending.refuse_more()
            self.seconds += self._clock.monotonic() - since
            self.running = None

    def _what_failed(
        self, batch: Batch, bound: BoundHandler, index: int | None, error: BaseException
    ) -> TransactionConflict | StoreUnavailable | HandlerRaised:
        """What an exception out of a handler's call means for the batch."""
        name = self._component.name
        if self._store.is_conflict(error):
            return TransactionConflict(f"Handler {bound.name} met another transaction: {clause(error)}.")
        if not self._store.is_open(batch.transaction.connection):
            return ConnectionLost(
                f"The connection to the database of {name!r} ended while {bound.name} ran: {clause(error)}."
            )
        if self._store.is_unavailable(error) and self._may_be_own(batch, error):
            return StoreUnavailable(f"The database of {name!r} is not available: {clause(error)}.")
        return HandlerRaised(bound, index, self._explained(batch, error), certain=not batch.failed_together)

    def _run_in_saga(
        self, batch: Batch, bound: BoundHandler, deliveries: Sequence[Delivery], mode: ReplayMode | None
    ) -> None:
        """Run a saga's function in the instance that the message is for, if it has one."""
        instance = self._sagas.load(batch.transaction.connection, bound, deliveries[0])
        if instance is not None:
            self._run(batch, bound, deliveries, instance, mode)
            self._sagas.save(batch.transaction.connection, instance)

    def _run(
        self,
        batch: Batch,
        bound: BoundHandler,
        deliveries: Sequence[Delivery],
        instance: SagaInstance | None,
        mode: ReplayMode | None,
    ) -> None:
        before = len(batch.pending)
        with batch.calling() as transaction:
            arguments: list[Any] = [] if instance is None else [instance.saga]
            arguments.append([delivery.event for delivery in deliveries] if bound.call.batch else deliveries[0].event)
            for wanted in bound.call.given[1:]:
                if wanted is ParameterKind.UNIT_OF_WORK:
                    unit_of_work, pending = self._unit_of_work(transaction, bound, deliveries, instance, mode)
                    batch.pending.append(pending)
                    arguments.append(unit_of_work)
                elif wanted is ParameterKind.ENVELOPE:
                    arguments.append(deliveries[0].envelope)
                elif wanted is ParameterKind.REPLAY_STATUS:
                    arguments.append(self._replay_status(mode))
                else:
                    arguments.append(batch.argument(wanted))
            try:
                if self._rehearsing is None:
                    _execute(batch, bound, arguments)
                else:
                    with self._rehearsing(bound.name):
                        _execute(batch, bound, arguments)
            except TransactionConflict as error:
                # It comes from another unit of work that the handler opened, not from this transaction.
                raise HandlerFailed(bound.name, clause(text_of(error))) from error
            self._require_transaction(batch)
        for pending in batch.pending[before:]:
            # At once, so that a command which was cancelled does not run later in this batch.
            pending.refuse_more()
            pending.write_deferred()

    def _replay_status(self, mode: ReplayMode | None) -> ReplayStatus:
        if mode is None:
            return ReplayStatus.LIVE
        return ReplayStatus.REPLAY if self._rehearsing is None else ReplayStatus.REHEARSAL

    def _require_transaction(self, batch: Batch) -> None:
        if not self._store.in_transaction(batch.transaction.connection):
            raise HandlerEndedTransaction(
                "The transaction ended inside the handler (by INSERT OR ROLLBACK, or RAISE(ROLLBACK)?), "
                "and with it the whole batch's; all of it was rolled back. Use a savepoint to undo a part."
            )

    @contextmanager
    def translating(self) -> Generator[None]:
        """Raise `StoreUnavailable` where the component's database is out of reach, `ConnectionLost` where it answers.

        Then something has ended the connection of this batch alone: a handler, a time limit, or an administrator.
        """
        try:
            with translating_errors(self._store, self._component.name):
                yield
        except (ConnectionLost, TransactionConflict):
            raise
        except StoreUnavailable as error:
            if self._database.answers():
                raise ConnectionLost(
                    f"{clause(error)}. It was the connection of a batch; the database answers."
                ) from error
            raise

    def committed(self) -> None:
        """A batch was committed: the component's own database is available."""
        self._unavailable_times = 0

    def _may_be_own(self, batch: Batch, error: BaseException) -> bool:
        """Whether the component's own database is unavailable, rather than another one that the handler uses.

        Where the error does not say, the database is asked; where it cannot be, the error counts a few times in a row,
        whatever handler and event it comes from.
        """
        if not self._store.may_have_raised(batch.transaction.connection, error):
            return False
        self._unavailable_times += 1
        return self._unavailable_times <= UNAVAILABLE_TIMES_MAX and not self._database.answers()

    def write_outbox(self, batch: Batch) -> bool:
        """Flush, then write what handlers have published and no savepoint has taken back.

        Returns whether handlers were given a unit of work at all.
        """
        batch.transaction.flush()
        rows = [row for pending in batch.pending for row in pending.seal()]
        if rows:
            self._store.add_to_outbox(batch.transaction.connection, rows)
        places = [place for pending in batch.pending for place in pending.places]
        if places:
            self._store.place_last(batch.transaction.connection, places)
        return bool(batch.pending)

    def _unit_of_work(
        self,
        transaction: Transaction,
        bound: BoundHandler,
        deliveries: Sequence[Delivery],
        instance: SagaInstance | None,
        mode: ReplayMode | None,
    ) -> tuple[UnitOfWork, PendingMessages]:
        pending = PendingMessages(transaction, quiet=mode is not None and mode.quiet)
        # What is handled again publishes anew, under other identifiers (protocol rule 15).
        name = self._first_names.get(bound.name, bound.name)
        name = name if mode is None or not mode.again else f"{name} replay {mode.id}"
        causes = {
            id(delivery.event): self._cause(name, delivery.envelope)
            for delivery in deliveries
            if delivery.envelope is not None
        }
        single = None if bound.call.batch else next(iter(causes.values()))
        unit_of_work = UnitOfWork(
            pending,
            self._identity,
            self._component.published,
            self._component.commands,
            single,
            causes if bound.call.batch else None,
            None if instance is None else instance.reference,
        )
        return unit_of_work, pending

    def _cause(self, handler: str, message: Envelope) -> Cause:
        return Cause(message, DerivedIds(message.id, self._component.name, handler).of)

    def _explained(self, batch: Batch, error: BaseException) -> BaseException:
        """SQLite says only 'not authorized' to what SQL of a handler must not do; say it in words."""
        if is_a(error, HandlerEndedTransaction) or "not authorized" not in text_of(error):
            return error
        return HandlerEndedTransaction(
            f"A handler tried to begin, commit or roll back, or to change a setting by PRAGMA ({error}); "
            "the transaction belongs to the batch, and so does the connection. Use a savepoint to undo a part."
        )


def _execute(batch: Batch, bound: BoundHandler, arguments: Sequence[Any]) -> None:
    outcome = bound.handler.function(*arguments)
    if outcome is not None:
        run_to_its_end(bound.name, outcome, batch.run)
