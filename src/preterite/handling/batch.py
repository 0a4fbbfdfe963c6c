"""One batch in: handlers' effects, what they publish, what failed, and the cursors, in one transaction.

    1. decode  every record; what cannot be decoded or has no known type is set aside or counted
    2. plan    which handlers run on which event; behind a parked event of the same key nothing runs, it parks
    3. run     in order; a failing handler rolls everything back and names its call (event, handler)
    4. settle  flush, outbox, parked rows, counts, and last of all the batch's source: its cursors, under the tenure

A batch comes from the live streams, from commands that are due, or from history: its `Source` says what runs and what
"done" means.

A failed call is parked, due by its recoverability, in the transaction that moves the cursor, and the rest runs again
without it. If it is unknown which call failed because rows of several were written together, all runs again and each
writes its own. If it still is, or after several failures, every call of the batch is parked as due now and runs from
its row: there is one way to run a delivery alone, `receiving/parking.py`.
Where another transaction was in the way, half of the batch runs again; that is no handler's failure (protocol rule 10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, PreteriteError, StoreUnavailable, TransactionConflict
from preterite.handling.delivery import Delivery, decode
from preterite.handling.failure import ends_the_process
from preterite.handling.invoker import HandlerInvoker, HandlerRaised
from preterite.handling.plan import HandlerCall, LaneKey, Plan, failed_row, parked_rows, plan_batch, segments, skipped
from preterite.handling.sources import Source
from preterite.handling.transaction import Batch, TransactionRunner
from preterite.log.contract import Record, Stream
from preterite.store.contract import Store
from preterite.store.rows import Activity, DbConnection, Parked
from preterite.topology import Subscriptions

BATCH_EVENTS = 1000
"""Events in one batch."""
BATCH_SECONDS = 0.05
"""How long a batch takes further events; the one that runs is finished."""
FAILED_CALLS_MAX = 3
"""Handler calls that may fail in a batch; beyond it all its events are parked and each runs alone."""
CONFLICTS_MAX = 20
"""Conflicts after which a batch is not run again at once; each one halves it."""
PARKED_MAX = 100_000
"""Parked events of a component; beyond it no further ones are parked, and the streams are stalled."""
PARKED_PER_LANE_MAX = 20_000
"""Parked events of one key in one lane; beyond it the stream is stalled."""


class ParkingFull(PreteriteError):
    """So much is parked that nothing more may be; streams are stalled until an operator acts.

    All of them, or `only` the one whose key has too much parked.
    """

    def __init__(self, reason: str, only: Stream | None = None) -> None:
        self.only = only
        super().__init__(reason)


class BatchResult(NamedTuple):
    """What came of a batch."""

    records: int
    """How many records, from its start, are settled."""
    published: bool
    """Whether handlers may have published or scheduled something."""
    parked: bool
    """Whether something was parked."""
    failed: Sequence[Parked] = ()
    """Of a batch: what of that has failed, or cannot be read."""


NOTHING_DONE = BatchResult(0, published=False, parked=False)


class BatchProcessor:
    """Applies batches for one component. Used by one thread. `report` gets what has failed, once it is stored."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        store: Store,
        transactions: TransactionRunner,
        invoker: HandlerInvoker,
        clock: Clock,
        randomness: Randomness,
        report: Callable[[Sequence[Parked]], None],
    ) -> None:
        self._report = report
        self._subscriptions = subscriptions
        self._store = store
        self._transactions = transactions
        self._invoker = invoker
        self._clock = clock
        self._randomness = randomness

    def handle(self, records: Sequence[Record], source: Source, *, raising: bool = False) -> BatchResult:
        """Apply the batch, or its beginning, exactly once; with `raising` a handler's exception passes through.

        Raises `Fenced`, `StoreUnavailable` or `ParkingFull`; then nothing was written.
        """
        deliveries = [decode(self._subscriptions, record) for record in records]
        failed: dict[HandlerCall, Parked] = {}
        singly: set[str] = set()
        conflicts = 0
        together = True
        while len(failed) <= FAILED_CALLS_MAX:
            try:
                result = self._transact(partial(self._attempt, deliveries, failed, singly, source, together))
                self._invoker.committed()
                return result
            except HandlerRaised as raised:
                if not raised.certain:
                    together = False
                    continue
                if raising:
                    raise raised.error from None
                if raised.index is None:
                    singly.add(raised.handler.name)
                else:
                    call = HandlerCall(raised.index, raised.handler.name)
                    failed[call] = self._failed_row(deliveries[raised.index], raised, source)
            except TransactionConflict:
                conflicts += 1
                if conflicts > CONFLICTS_MAX:
                    break
                deliveries = deliveries[: max(len(deliveries) // 2, 1)]
            except BaseException as error:
                if isinstance(error, (Fenced, StoreUnavailable, ParkingFull)) or ends_the_process(error):
                    raise
                if not together:
                    break  # it came from the commit
                together = False  # so that each handler writes its own rows
        self._transactions.renew()
        return self.park_all(records, source)

    def park_all(self, records: Sequence[Record], source: Source) -> BatchResult:
        """Park every call of the batch as due now, and note that the batch is done.

        Each then runs alone, its attempt counted before it starts.
        """
        deliveries = [decode(self._subscriptions, record) for record in records]
        now = self._clock.now().timestamp()

        def settle(batch: Batch) -> BatchResult:
            connection = batch.transaction.connection
            source.tenure.peek(connection)
            rows = [parked_rows(delivery, source, now) for delivery in deliveries]
            every = [(index, row) for index, those in enumerate(rows) for row in those]
            fitting = deliveries[: self._fitting(connection, every, len(deliveries))]
            parked: list[Parked] = []
            for delivery, those in zip(fitting, rows, strict=False):
                if source.claim(connection, delivery):
                    parked += those
            return self._settle(batch, fitting, parked, 0, source)

        return self._transact(settle)

    def _transact(self, act: Callable[[Batch], BatchResult]) -> BatchResult:
        with self._invoker.translating():
            result = self._transactions.transact(act)
        self._report(result.failed)
        return result

    def _attempt(
        self,
        deliveries: Sequence[Delivery],
        failed: Mapping[HandlerCall, Parked],
        singly: set[str],
        source: Source,
        together: bool,
        batch: Batch,
    ) -> BatchResult:
        batch.together = together
        connection = batch.transaction.connection
        blocked = self._parked_lanes(connection, deliveries) if source.tenure.peek(connection) else set[LaneKey]()
        plan = plan_batch(deliveries, failed, blocked, source, self._clock.now().timestamp())
        deliveries = deliveries[: self._fitting(connection, plan.parked, len(deliveries))]
        until = self._clock.monotonic() + BATCH_SECONDS
        gone: set[int] = set()
        done = handled = 0
        for start, end in segments(deliveries):
            if source.claim(connection, deliveries[start]):
                handled += self._run(batch, deliveries, plan, start, end, singly, source)
            else:
                gone.add(start)
            done = end
            if batch.changed or self._clock.monotonic() >= until:
                break
        parked = [row for index, row in plan.parked if index < done and index not in gone]
        return self._settle(batch, deliveries[:done], parked, handled, source)

    def _run(
        self,
        batch: Batch,
        deliveries: Sequence[Delivery],
        plan: Plan,
        start: int,
        end: int,
        singly: set[str],
        source: Source,
    ) -> int:
        """Run the handlers of a segment: one delivery, or a run of deliveries of a type with a batch handler."""
        if end == start + 1:
            runs = plan.runs[start]
            for bound in runs:
                self._invoker.call(batch, bound, [deliveries[start]], start, source.mode(deliveries[start]))
            return 1 if runs else 0
        subscription = deliveries[start].subscription
        assert subscription is not None, "only deliveries of a known type stand in a run"
        for bound in subscription.handlers:
            members = [index for index in range(start, end) if bound in plan.runs[index]]
            if bound.call.batch and bound.name not in singly:
                for mode, alike in groupby(members, key=lambda index: source.mode(deliveries[index])):
                    those = list(alike)
                    only = those[0] if len(those) == 1 else None
                    self._invoker.call(batch, bound, [deliveries[index] for index in those], only, mode)
            else:
                for index in members:
                    self._invoker.call(batch, bound, [deliveries[index]], index, source.mode(deliveries[index]))
                    if batch.changed and index != members[-1]:
                        raise TransactionConflict(f"What {bound.name} has set on its connection meets other events.")
        return sum(map(bool, plan.runs[start:end]))

    def _settle(
        self,
        batch: Batch,
        deliveries: Sequence[Delivery],
        parked: Sequence[Parked],
        handled: int,
        source: Source,
    ) -> BatchResult:
        """Write what goes with the handlers' effects; the source comes last and checks everything."""
        published = self._invoker.write_outbox(batch)
        connection = batch.transaction.connection
        if parked:
            self._store.park(connection, parked)
        wall = self._clock.wall()
        for (publisher, what), count in () if source.is_replay else skipped(deliveries).items():
            self._store.count_skipped(connection, publisher, what, count, wall)
        source.settle(connection, deliveries, Activity(int(wall // 60), handled) if handled else None)
        failed = [row for row in parked if row.failure is not None]
        return BatchResult(len(deliveries), published, bool(parked), failed)

    def _parked_lanes(self, connection: DbConnection, deliveries: Sequence[Delivery]) -> set[LaneKey]:
        """The lanes of these deliveries' keys that hold parked rows."""
        keys = (
            (delivery.record.stream.publisher, delivery.key)
            for delivery in deliveries
            if delivery.key is not None and delivery.subscription is not None
        )
        return self._store.parked_lanes(connection, keys)

    def _failed_row(self, delivery: Delivery, raised: HandlerRaised, source: Source) -> Parked:
        now, fraction = self._clock.now().timestamp(), self._randomness.fraction()
        return failed_row(delivery, raised.handler, raised.error, source, now, fraction)

    def _fitting(self, connection: DbConnection, parked: Sequence[tuple[int, Parked]], deliveries: int) -> int:
        """How many deliveries, from the first on, fit before too much is parked; raises `ParkingFull` if none does."""
        if not parked:
            return deliveries
        total = self._store.parked_count(connection)
        lanes: dict[tuple[str, Stream, str], int] = {}
        for index, row in parked:
            total += 1
            if total > PARKED_MAX:
                return self._or_full(index, None, f"{PARKED_MAX:,} events are parked; the streams are stalled")
            if row.key is None:
                continue
            lane_key = (row.lane, row.record.stream, row.key)
            if lane_key not in lanes:
                lanes[lane_key] = self._store.parked_in_lane(
                    connection, lane_key[0], lane_key[1].publisher, lane_key[2]
                )
            lanes[lane_key] += 1
            if lanes[lane_key] > PARKED_PER_LANE_MAX:
                waiting = f"{PARKED_PER_LANE_MAX:,} events of {lane_key[1]} wait behind one another for key {row.key}"
                return self._or_full(index, lane_key[1], f"{waiting}; the stream is stalled")
        return deliveries

    def _or_full(self, fitting: int, only: Stream | None, reason: str) -> int:
        if fitting == 0:
            raise ParkingFull(f"{reason} until some are redriven or discarded.", only)
        return fitting
