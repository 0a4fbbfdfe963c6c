"""The scheduler: commands are handled when their time has come, once, in order, in batches like events.

What waits is a row in the component's own database, written in the transaction that asked for it. The holder of its
partition's lease takes it in the transaction that handles it. A calendar is a command that asks for its own next
moment. Due times are business time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from preterite import envelope as envelopes
from preterite.clock import Clock, DerivedIds
from preterite.contracts import Tick, partition_of
from preterite.envelope import Envelope
from preterite.handling.batch import NOTHING_DONE, BatchProcessor, BatchResult, ParkingFull
from preterite.handling.sources import DueCommands
from preterite.leases import Tenure
from preterite.log.contract import Record, Stream
from preterite.printing.logger import logger
from preterite.receiving.careful import CAREFUL_EVENTS
from preterite.store.contract import Store
from preterite.store.rows import SCHEDULED, TICK, DbConnection, ScheduledRow, StoreIdentity, tick_name
from preterite.topology import BoundHandler, Subscriptions

DUE_COMMANDS = 500
"""Due commands that one step reads at most."""
DUE_COMMANDS_MIN = 50
"""Due commands that one step reads at least; else twice as many as the last one had time for."""

_logger = logger()


class CommandScheduler:
    """Handles the due commands of one component. Used by the thread that holds the leases."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        identity: StoreIdentity,
        store: Store,
        connection: DbConnection,
        batches: BatchProcessor,
        clock: Clock,
        first_names: Mapping[str, str],
    ) -> None:
        self._first_names = first_names
        self._subscriptions = subscriptions
        self._identity = identity
        self._store = store
        self._connection = connection
        self._batches = batches
        self._clock = clock
        self._full = False
        self._limit = DUE_COMMANDS
        self._next_due_at: float | None = None

    def may_be_due(self) -> bool:
        """Whether something may be due: it is known, from the last look, that nothing is before its time."""
        return self._next_due_at is None or self._next_due_at <= self._clock.now().timestamp()

    def run_due(self, tenure: Tenure, *, careful: bool = False, raising: bool = False) -> BatchResult:
        """Handle what is due in the partitions held, oldest first, at most a batch.

        With `careful` each is parked first and runs from its row. Raises `Fenced` or `StoreUnavailable`.
        """
        now = self._clock.now().timestamp()
        limit = CAREFUL_EVENTS if careful else self._limit
        due = self._store.due_scheduled(self._connection, tenure.partitions, now, limit)
        if not due:
            return NOTHING_DONE
        self._next_due_at = None
        records = [
            Record(Stream(SCHEDULED, row.partition), "command", 0, row.id, row.token, row.envelope) for row in due
        ]
        times = {row.id: row.due_at for row in due}
        source = DueCommands(self._store, tenure, now, times, self._next_tick)
        try:
            if careful:
                result = self._batches.park_all(records, source)
            else:
                result = self._batches.handle(records, source, raising=raising)
        except ParkingFull as error:
            if not self._full:
                _logger.error("%s: what is due waits: %s", self._subscriptions.component.name, error)
            self._full = True
            return NOTHING_DONE
        self._full = False
        # What a batch has no time for is read and decoded again in the next one: take about as much as can be done.
        self._limit = min(max(2 * result.records, DUE_COMMANDS_MIN), DUE_COMMANDS)
        return result

    def seconds_to_next(self) -> float | None:
        """How long it is, in business time, until a command is due; nothing if none waits."""
        next_due_at = self._store.next_due(self._connection)
        self._next_due_at = float("inf") if next_due_at is None else next_due_at
        return None if next_due_at is None else max(next_due_at - self._clock.now().timestamp(), 0.0)

    def _next_tick(self, bound: BoundHandler, tick: Tick) -> ScheduledRow:
        assert bound.handler.schedule is not None, "a tick is handled by a calendar's handler"
        return tick_row(self._identity, bound.name, self._first_names, bound.handler.schedule.next_after(tick.at))


def tick_row(identity: StoreIdentity, calendar: str, first_names: Mapping[str, str], at: datetime) -> ScheduledRow:
    """A moment of a calendar that is to come; its identifier follows from the calendar's first name and the moment."""
    name = tick_name(calendar)
    token = DerivedIds(identity.component_id, identity.component, first_names.get(calendar, calendar)).of(
        "tick", at.isoformat()
    )
    envelope = Envelope(
        id=token,
        source=f"/{identity.system}/{identity.component}",
        type=name,
        time=at,
        subject=name,
        data=msgspec.Raw(msgspec.json.encode(Tick(calendar=calendar, at=at))),
    )
    partition = partition_of(name, identity.partitions)
    return ScheduledRow(token.bytes, partition, at.timestamp(), None, name, TICK, envelopes.to_bytes(envelope))


def keep_calendars(
    store: Store, connection: DbConnection, identity: StoreIdentity, subscriptions: Subscriptions, now: datetime
) -> None:
    """Let the declared calendars go on, or begin: their next moment waits. A moment that is due already stays."""
    kept = store.calendars(connection)
    first_names = store.first_names(connection)
    former = {present: past for past, present in subscriptions.renamed.items()}
    for name, schedule in subscriptions.calendars.items():
        before = name if name in kept else former.get(name, name)
        if kept.get(name) == str(schedule):
            continue
        due = store.drop_ticks(connection, tick_name(before))
        late = [moment for moment in due if moment <= now.timestamp() or kept.get(before) == str(schedule)]
        moments = [datetime.fromtimestamp(moment, UTC) for moment in late] or [schedule.next_after(now)]
        store.add_scheduled(connection, [tick_row(identity, name, first_names, moment) for moment in moments])
        store.keep_calendar(connection, name, str(schedule), before)
