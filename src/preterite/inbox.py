"""One batch in: handlers' effects, what they publish, what failed, and the cursors, in one transaction.

    1. open    decode every record; what cannot be decoded or has no type known here is set aside or counted
    2. sort    which handlers run on which event; behind a parked lane nothing runs, it parks
    3. run     in order; a failing handler rolls everything back and names its pair (event, handler)
    4. settle  flush, outbox, parked rows, counts, and last of all the batch's source: its cursors, under the fence

A batch comes from the live streams, from commands whose time has come, or from history: its `Source` says what runs
and what "done" means.

A culprit is parked, due by its recoverability, in the transaction that moves the cursor, and the rest is
run again without it. If it is unknown who failed, or after several culprits, every pair of the batch is
parked as due now and runs from its row: there is one way to run something alone, `parking.py`.
Where another transaction was in the way, half of the batch is run again; that is nobody's failure (protocol rule 10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, PreteriteError, StoreUnavailable, TransactionConflict
from preterite.failures import failure_of
from preterite.handling import HandlerRaised, Handling
from preterite.instances import waited_for
from preterite.items import Item, opened
from preterite.log import Record, Stream
from preterite.recoverability import DeadLetter, RetryLater
from preterite.rows import Activity, DbConnection, Fence, Parked, Replaying
from preterite.store import Store, reaching
from preterite.topology import BoundHandler, Subscriptions
from preterite.workplace import Batch, Workplace

BATCH_EVENTS = 1000
BATCH_SECONDS = 0.05
CULPRITS_MAX = 3
CONFLICTS_MAX = 20
PARKED_MAX = 100_000
PARKED_PER_LANE_MAX = 20_000
NO_HANDLER = ""


class ParkingFull(PreteriteError):
    """So much is parked that nothing more may be; streams stand still until a person has looked.

    All of them, or only the one whose lane is full.
    """

    def __init__(self, reason: str, only: Stream | None = None) -> None:
        self.only = only
        super().__init__(reason)


class Pair(NamedTuple):
    """An event, by its place in the batch, and a handler."""

    item: int
    handler: str


class Handled(NamedTuple):
    """How far a batch came: the number of records, from its start, that are settled."""

    records: int


class Source(Protocol):
    """Where a batch comes from. It decides what of it runs, and writes last how far it is done."""

    @property
    def fence(self) -> Fence:
        """What must still hold when the batch commits."""
        ...

    @property
    def mode(self) -> Replaying | None:
        """How the handlers run, if on history."""
        ...

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """The handlers that run on this item."""
        ...

    def due_at(self, item: Item) -> float:
        """When the item is due if it is parked to run alone: its place among what is due."""
        ...

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """Take this item for this transaction; false if it is no longer there to be run."""
        ...

    def settle(self, connection: DbConnection, items: Sequence[Item], activity: Activity | None) -> None:
        """Write that these items are done and how many were handled, and check everything; raises `Fenced`."""
        ...


@dataclass
class _Plan:
    """Which handlers run on which item, what is parked instead, and which lanes are held up."""

    runs: list[Sequence[BoundHandler]]
    parked: list[tuple[int, Parked]]
    blocked: set[tuple[str, str, str]]


class Inbox:
    """Applies batches for one component. Used by one thread."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        store: Store,
        workplace: Workplace,
        handling: Handling,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._subscriptions = subscriptions
        self._store = store
        self._workplace = workplace
        self._handling = handling
        self._clock = clock
        self._randomness = randomness
        self.raising = False
        self.has_parked = False
        """Whether anything was parked since somebody last looked."""

    def handle(self, records: Sequence[Record], source: Source) -> Handled:
        """Apply the batch, or its beginning, exactly once.

        Raises `Fenced` or `StoreUnavailable`; then nothing was written.
        """
        items = [opened(self._subscriptions, record) for record in records]
        culprits: dict[Pair, Parked] = {}
        singly: set[str] = set()
        conflicts = 0
        while len(culprits) <= CULPRITS_MAX:
            try:
                return self._transact(partial(self._attempt, items, culprits, singly, source))
            except HandlerRaised as raised:
                if self.raising:
                    raise raised.error from None
                if not raised.certain:
                    break
                if raised.index is None:
                    singly.add(raised.handler.name)
                    continue
                culprits[Pair(raised.index, raised.handler.name)] = self._culprit(items[raised.index], raised, source)
            except TransactionConflict:
                conflicts += 1
                if conflicts > CONFLICTS_MAX:
                    raise
                items = items[: max(len(items) // 2, 1)]
            except (Fenced, StoreUnavailable, ParkingFull):
                raise
            except Exception:
                # It came from the flush or the commit, where nobody can tell whose rows it was.
                break
        return self.park_all(records, source)

    def park_all(self, records: Sequence[Record], source: Source) -> Handled:
        """Park every pair of the batch as due now, and note that it is done.

        Each then runs alone, its attempt counted before it starts.
        """
        items = [opened(self._subscriptions, record) for record in records]

        def settle(batch: Batch) -> Handled:
            connection = batch.work.connection
            self._store.verify_fence(connection, source.fence)
            pairs = [(index, row) for index, item in enumerate(items) for row in self._rows(item, source)]
            fitting = items[: self._fitting(connection, pairs, len(items))]
            rows = [row for item in fitting if source.claim(connection, item) for row in self._rows(item, source)]
            self._settle(batch, fitting, rows, 0, source)
            return Handled(len(fitting))

        return self._transact(settle)

    def _transact(self, act: Callable[[Batch], Handled]) -> Handled:
        with reaching(self._store, self._subscriptions.component.name):
            return self._workplace.transact(act)

    def _attempt(
        self,
        items: Sequence[Item],
        culprits: Mapping[Pair, Parked],
        singly: set[str],
        source: Source,
        batch: Batch,
    ) -> Handled:
        connection = batch.work.connection
        any_parked = self._store.verify_fence(connection, source.fence)
        plan = self._plan(batch, items, culprits, source, any_parked=any_parked)
        items = items[: self._fitting(connection, plan.parked, len(items))]
        until = self._clock.monotonic() + BATCH_SECONDS
        gone: set[int] = set()
        done = handled = 0
        for start, end in self._segments(items):
            if source.claim(connection, items[start]):
                handled += self._run(batch, items, plan, start, end, singly, source.mode)
            else:
                gone.add(start)
            done = end
            if self._clock.monotonic() >= until:
                break
        parked = [row for index, row in plan.parked if index < done and index not in gone]
        self._settle(batch, items[:done], parked, handled, source)
        return Handled(done)

    def _run(
        self,
        batch: Batch,
        items: Sequence[Item],
        plan: _Plan,
        start: int,
        end: int,
        singly: set[str],
        mode: Replaying | None,
    ) -> int:
        """Run the handlers of a segment: one item, or a run of items of a type with a batch handler."""
        if end == start + 1:
            runs = plan.runs[start]
            for bound in runs:
                self._handling.call(batch, bound, [items[start]], start, mode)
            return 1 if runs else 0
        subscription = items[start].subscription
        assert subscription is not None, "only items of a known type stand in a run"
        for bound in subscription.handlers:
            members = [index for index in range(start, end) if bound in plan.runs[index]]
            if bound.call.batch and bound.name not in singly:
                if members:
                    only = members[0] if len(members) == 1 else None
                    self._handling.call(batch, bound, [items[index] for index in members], only, mode)
            else:
                for index in members:
                    self._handling.call(batch, bound, [items[index]], index, mode)
        return sum(map(bool, plan.runs[start:end]))

    def _segments(self, items: Sequence[Item]) -> Iterator[tuple[int, int]]:
        """The batch cut into single items and runs, in order.

        A run ends before a key comes again if the type has another handler: later events of a lane wait
        for all handlers of the earlier ones.
        """
        start = 0
        while start < len(items):
            end = start + 1
            subscription = items[start].subscription
            if subscription is not None and subscription.in_runs:
                alone = len(subscription.handlers) == 1
                keys = {items[start].key}
                while end < len(items) and items[end].subscription is subscription:
                    if not alone:
                        if items[end].key in keys:
                            break
                        keys.add(items[end].key)
                    end += 1
            yield start, end
            start = end

    def _plan(
        self, batch: Batch, items: Sequence[Item], culprits: Mapping[Pair, Parked], source: Source, *, any_parked: bool
    ) -> _Plan:
        """Decide what runs and what parks: culprits, and everything behind a parked lane, in the batch or before it."""
        keys = (
            (item.record.stream.publisher, item.key)
            for item in items
            if item.key is not None and item.subscription is not None
        )
        plan = _Plan([], [], self._store.parked_lanes(batch.work.connection, keys) if any_parked else set())
        for index, item in enumerate(items):
            if item.fault is not None:
                self._set_aside(plan, index, item, source)
            elif plan.blocked or culprits:
                self._sort(plan, index, item, culprits, source)
            else:
                plan.runs.append(source.handlers(item))
        return plan

    def _set_aside(self, plan: _Plan, index: int, item: Item, source: Source) -> None:
        """What cannot be read runs for nobody, and holds up its lane if that is known."""
        rows = self._rows(item, source)
        plan.parked += [(index, row) for row in rows]
        plan.blocked |= {(row.lane_group, item.record.stream.publisher, row.key) for row in rows if row.key is not None}
        plan.runs.append(())

    def _sort(self, plan: _Plan, index: int, item: Item, culprits: Mapping[Pair, Parked], source: Source) -> None:
        """Per handler: behind a parked lane it parks, a culprit parks and holds up its lane from here on."""
        running: list[BoundHandler] = []
        failed: set[tuple[str, str, str]] = set()
        for bound in source.handlers(item):
            culprit = culprits.get(Pair(index, bound.name))
            lane = (bound.handler.lane_group, item.record.stream.publisher, item.key or "")
            if item.key is not None and lane in plan.blocked:
                plan.parked.append((index, self._row(item, bound, source)))
            elif culprit is not None:
                plan.parked.append((index, culprit))
                if item.key is not None:
                    failed.add(lane)
            else:
                running.append(bound)
        plan.blocked |= failed
        plan.runs.append(running)

    def _settle(
        self,
        batch: Batch,
        items: Sequence[Item],
        parked: Sequence[Parked],
        handled: int,
        source: Source,
    ) -> None:
        """Write what goes with the handlers' effects; the source comes last and checks everything."""
        self._handling.write_outbox(batch)
        connection = batch.work.connection
        if parked:
            self._store.park(connection, parked)
            self.has_parked = True
        wall = self._clock.wall()
        for (publisher, what), count in _passed_over(items).items() if source.mode is None else ():
            self._store.count_passed_over(connection, publisher, what, count, wall)
        source.settle(connection, items, Activity(int(wall // 60), handled) if handled else None)

    def _fitting(self, connection: DbConnection, parked: Sequence[tuple[int, Parked]], items: int) -> int:
        """How many items, from the first on, can be settled before too much is parked; raises `ParkingFull` if none."""
        if not parked:
            return items
        total = self._store.parked_count(connection)
        lanes: dict[tuple[str, Stream, str], int] = {}
        for index, row in parked:
            total += 1
            if total > PARKED_MAX:
                return self._or_full(index, None, f"{PARKED_MAX:,} events are parked; the streams stand still")
            if row.key is None:
                continue
            lane = (row.lane_group, row.record.stream, row.key)
            if lane not in lanes:
                lanes[lane] = self._store.parked_in_lane(connection, lane[0], lane[1].publisher, lane[2])
            lanes[lane] += 1
            if lanes[lane] > PARKED_PER_LANE_MAX:
                waiting = f"{PARKED_PER_LANE_MAX:,} events of {lane[1]} wait behind one another for key {row.key}"
                return self._or_full(index, lane[1], f"{waiting}; the stream stands still")
        return items

    def _or_full(self, fitting: int, only: Stream | None, reason: str) -> int:
        if fitting == 0:
            raise ParkingFull(f"{reason} until some are redriven or discarded.", only)
        return fitting

    def _rows(self, item: Item, source: Source) -> list[Parked]:
        """The item parked for each of its handlers; an unreadable one once, for nobody."""
        if item.subscription is not None:
            rows = [self._row(item, bound, source) for bound in source.handlers(item)]
            if item.fault is None:
                return rows
            return [
                replace(row, state="undecodable", failure=item.fault, failed_at=self._clock.now().timestamp())
                for row in rows
            ]
        if item.fault is None or source.mode is not None:
            # What is for nobody was set aside when it was read live; history does not bring it back.
            return []
        row = Parked(handler=NO_HANDLER, lane_group="", record=item.record, key=None, type=item.record.kind)
        return [replace(row, state="dead", failure=item.fault, failed_at=self._clock.now().timestamp())]

    def _row(self, item: Item, bound: BoundHandler, source: Source) -> Parked:
        assert item.subscription is not None, "only a known type has handlers"
        return Parked(
            handler=bound.name,
            lane_group=bound.handler.lane_group,
            record=item.record,
            key=item.key,
            type=item.subscription.wire_name,
            due_at=source.due_at(item),
            saga=waited_for(bound, item),
            replay=source.mode,
        )

    def _culprit(self, item: Item, raised: HandlerRaised, source: Source) -> Parked:
        now = self._clock.now().timestamp()
        row = replace(
            self._row(item, raised.handler, source), attempts=1, failure=failure_of(raised.error), failed_at=now
        )
        decision = raised.handler.recoverability.decide(1, self._randomness.fraction(), error=raised.error)
        if isinstance(decision, DeadLetter):
            return replace(row, state="dead")
        return replace(row, due_at=now + (decision.seconds if isinstance(decision, RetryLater) else 0.0))


def _passed_over(items: Sequence[Item]) -> Mapping[tuple[str, str], int]:
    return Counter(
        (item.record.stream.publisher, item.envelope.type) for item in items if item.unknown and item.envelope
    )
