"""The receiver: reads the streams a component listens to and hands them to the inbox in batches; lets what is due run.

It holds the leases of the partitions it reads, keeps the order of each stream by number, and stands still,
visibly, where a stream has a gap or its publisher has gone back. A step does one round and never waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from preterite.clock import Clock, Randomness
from preterite.errors import Fenced
from preterite.handling import Handling, Running
from preterite.inbox import BATCH_EVENTS, Inbox, ParkingFull
from preterite.leases import Leases
from preterite.log import Cursor, Log, LogReader, Record, Stream, Verdict, accept, applied_in_a_row, stream_of
from preterite.owners import new_owner
from preterite.parking import Parking
from preterite.replay import Replayer
from preterite.rows import Fence, HandlerRegistration, StoreIdentity
from preterite.sessions import Binding
from preterite.sources import LiveStreams
from preterite.standstills import Asking, Standstill
from preterite.store import Database, in_transaction, reaching, under
from preterite.timekeeper import Timekeeper
from preterite.topology import Subscriptions
from preterite.workplace import workplace_for

BATCH_EVENTS_MIN = 50
HELD_UP_SECONDS = 1.0

_logger = logging.getLogger("preterite")


class Receiver:
    """Handles one component's incoming events. Used by one thread; `running` may be read by another."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        identity: StoreIdentity,
        database: Database,
        log: Log,
        clock: Clock,
        randomness: Randomness,
        binding: Binding,
        owner: str | None = None,
    ) -> None:
        self.component = subscriptions.component.name
        self._subscriptions = subscriptions
        self._identity = identity
        self._store = database.store
        self._log = log
        self._clock = clock
        self.owner = owner or new_owner(randomness)
        binding = replace(binding, owner=self.owner)
        self._connection = database.connect()
        self._connection.binding = binding
        self._partitions = {f"partition/{number}": number for number in range(identity.partitions)}
        self._leases = Leases(self._store, clock, self.owner, list(self._partitions), shared=True)
        self._workplace = workplace_for(
            subscriptions.given,
            database,
            binding,
            isolated=subscriptions.component.isolation == "repeatable read",
        )
        self._handling = Handling(subscriptions, self._store, identity, clock)
        self._inbox = Inbox(subscriptions, self._store, self._workplace, self._handling, clock, randomness)
        self._parking = Parking(
            subscriptions, self._store, self._connection, self._workplace, self._handling, clock, randomness
        )
        self._timekeeper = Timekeeper(subscriptions, identity, self._store, self._connection, self._inbox, clock)
        self._replayer = Replayer(self._store, self._connection, log, self._inbox, clock)
        self.stands_back: str | None = None
        self.raising = False
        self._know_nothing()

    def _know_nothing(self) -> None:
        """The state before anything was taken over or read."""
        self._reader: LogReader | None = None
        self._fence = Fence({}, 0)
        self._committed: dict[Stream, Cursor] = {}
        self._read: dict[Stream, Cursor] = {}
        self._epochs: dict[Stream, int] = {}
        self._stopped: dict[Stream, Standstill] = {}
        self._gone_back: set[Stream] = set()
        self._asking = Asking(self._log, self._clock)
        self._held_up: dict[Stream, float] = {}
        self._others_wait = False
        self._waiting: list[Record] = []
        self._careful = 0
        self._backlog: dict[Stream, int] = {}
        self._batch_events = BATCH_EVENTS_MIN

    def seconds_to_next(self) -> float | None:
        """How long it is, in business time, until a command is due or more may be fed; nothing if nothing waits."""
        if not self._leases.held:
            return None
        with reaching(self._store, self.component):
            known = (self._timekeeper.seconds_to_next(), self._replayer.seconds_to_next())
        return min((seconds for seconds in known if seconds is not None), default=None)

    @property
    def is_broken(self) -> bool:
        """Whether a connection was lost, so that only another receiver can go on."""
        return not (self._store.is_open(self._connection) and self._workplace.is_open)

    @property
    def time_limit_seconds(self) -> float:
        """How long a handler may run before its process is replaced."""
        return self._subscriptions.component.time_limit_seconds

    @property
    def running(self) -> Running | None:
        """The handler that runs just now, and since when by the monotonic clock."""
        return self._handling.running

    def take_published(self) -> bool:
        """Whether handlers may have published anything since this was last asked."""
        found, self._handling.may_have_published = self._handling.may_have_published, False
        return found

    def step(self) -> bool:
        """Do one round; true if there was something to do.

        Raises `StoreUnavailable` or a `LogError` while database or log are out of reach; call again later.
        """
        with reaching(self._store, self.component):
            return self._step()

    def _step(self) -> bool:
        changed = self._leases.keep(self._connection)
        if not self._leases.held:
            return False
        try:
            if changed or self._reader is None:
                self._start_reading()
            if self.stands_back is not None:
                return False
            self._inbox.raising = self.raising
            self._read_held_up_again()
            self._ask_again()
            if self._inbox.has_parked:
                self._inbox.has_parked = False
                self._parking.look_again()
            # What is due goes before what comes in; where nothing is known to be due, its look goes after.
            first = self._timekeeper.may_be_due()
            run = self._run_due() if first else 0
            self._others_wait = self._apply(self._next_records())
            run += 0 if first else self._run_due()
            run += self._replayer.step(self._fence, self._committed, self._leases.renewal)
            busy = self._others_wait or run > 0
            if not busy and self._store.handlers(self._connection)[0] != self._fence.handlers_version:
                raise Fenced("Other handlers are registered by now, or history is to be fed to some.")
            return busy
        except Fenced:
            self._step_back()
            return False
        except BaseException:
            # What was read and not applied is gone from memory: read again from the cursors.
            self._stop_reading()
            raise

    def _run_due(self) -> int:
        """Run again what is due to be, and the commands whose time has come; how many that were."""
        fence, renewal = self._fence, self._leases.renewal
        run = self._parking.run_due(fence, renewal, raising=self.raising, others_wait=self._others_wait)
        if self._has_caught_up():
            due = self._timekeeper.run_due(fence, renewal, careful=self._careful > 0)
            self._careful = max(self._careful - due, 0)
            run += due
        return run

    def _has_caught_up(self) -> bool:
        """Whether every stream has been read as far as it reached when the work was taken over (protocol rule 21).

        Only then are commands handled: what happened before their time, and was not heard yet, comes first.
        """
        if self._backlog:
            moving = {stream: end for stream, end in self._backlog.items() if stream not in self._stopped}
            self._backlog = {stream: end for stream, end in moving.items() if self._committed[stream].number < end}
        return not self._backlog

    def _ask_again(self) -> None:
        """Ask publishers for what is missing here."""
        for stream in self._stopped:
            if stream in self._committed and stream not in self._gone_back:
                self._asking.ask(stream, self._committed[stream].number + 1)

    def _read_held_up_again(self) -> None:
        """Read on, after a while, where so much was parked that nothing more could be."""
        now = self._clock.monotonic()
        if any(until <= now for until in self._held_up.values()):
            self._held_up = {stream: until for stream, until in self._held_up.items() if until > now}
            self._start_reading()

    def close(self) -> None:
        """Give the leases back, clean, and close. What was read and not applied is read again by the next holder."""
        try:
            self._stop_reading()
            self._leases.release(self._connection)
        finally:
            self._workplace.close()
            self._connection.close()

    def _apply(self, records: Sequence[Record]) -> bool:
        """Hand the next records to the inbox and advance; false if there are none."""
        if not records:
            return False
        careful, self._careful = self._careful > 0, max(self._careful - len(records), 0)
        apply = self._inbox.park_all if careful else self._inbox.handle
        live, renewal = self._committed, self._leases.renewal
        try:
            handled = apply(
                records, LiveStreams(self._store, self._fence, live, renewal, self._replayer.behind, self._stopped)
            )
        except ParkingFull as error:
            for stream in {record.stream for record in records} if error.only is None else [error.only]:
                self._stop(stream, self._committed[stream], str(error))
            if error.only is not None:
                # The others go on; this one is read again after a while.
                self._held_up[error.only] = self._clock.monotonic() + HELD_UP_SECONDS
            self._stop_reading()
            return False
        self._leases.committed()
        self._parking.budget.earn(handled.records)
        done, self._waiting = records[: handled.records], list(records[handled.records :])
        # What a batch has no time for is decoded again in the next one: take about as much as can be done.
        self._batch_events = min(max(2 * handled.records, BATCH_EVENTS_MIN), BATCH_EVENTS)
        for stream, run in groupby(done, key=stream_of):
            *_, record = run
            self._committed[stream] = self._committed[stream].at(record)
            if stream in self._stopped and record.number >= self._stopped[stream].before:
                self._move_again(stream)
        return True

    def _next_records(self) -> list[Record]:
        """Up to one batch of records that come next in their streams."""
        assert self._reader is not None, "reading has started"
        records, self._waiting = self._waiting, []
        while (wanted := self._batch_events - len(records)) > 0:
            read = self._reader.read(wanted)
            for stream, run in groupby(read, key=stream_of):
                records += self._accepted(stream, list(run))
            if len(read) < wanted:
                break
        return records

    def _accepted(self, stream: Stream, run: list[Record]) -> list[Record]:
        """Those of these records of one stream that are applied next."""
        whole = 0
        if stream not in self._gone_back:
            whole = applied_in_a_row(self._read[stream], self._epochs[stream], run)
        if whole:
            last = run[whole - 1]
            self._read[stream] = self._read[stream].at(last)
            self._epochs[stream] = last.epoch
        return run if whole == len(run) else run[:whole] + [record for record in run[whole:] if self._accepts(record)]

    def _accepts(self, record: Record) -> bool:
        """Whether this record is applied next; what it means otherwise is noted where people see it."""
        stream = record.stream
        cursor = self._read[stream]
        verdict = accept(cursor, self._epochs[stream], record)
        if verdict is Verdict.STALE:
            self._note_passed_over(stream, "written under an older epoch")
            return False
        self._epochs[stream] = record.epoch
        if verdict is Verdict.APPLY and stream not in self._gone_back:
            self._read[stream] = cursor.at(record)
            return True
        if verdict is Verdict.GAP:
            beyond = "the log should hold" if record.kind == "head" else "there is"
            missing = f"number {cursor.number + 1} of {stream} is missing; {beyond} {record.number}"
            self._stop(stream, cursor, f"{missing}. The stream stands still until its publisher sends it again.")
        elif verdict is Verdict.GONE_BACK:
            self._gone_back.add(stream)
            other = f"{record.number} is not what was read here up to {cursor.number}"
            told = f"{stream} has gone back: {other}. The stream stands still until a person has looked."
            self._stop(stream, cursor, told)
        return False

    def _start_reading(self) -> None:
        """Take stock under the leases just taken: handlers, cursors, interrupted rows, and a reader from there."""
        self._stop_reading()
        version, registered = self._store.handlers(self._connection)
        self._fence = Fence({self._partitions[name]: lease for name, lease in self._leases.held.items()}, version)
        if self._stands_back_for(registered):
            self._leases.release(self._connection)
            return
        self._store_first_read()
        if any(not lease.clean for lease in self._leases.held.values()):
            self._careful = BATCH_EVENTS
        self._parking.settle_interrupted(self._fence, self._leases.renewal)
        self._replayer.take_over(self._fence)
        states = {
            stream: state
            for stream, state in self._store.cursors(self._connection).items()
            if stream.partition in self._fence.leases
        }
        heard = self._subscriptions.publishers
        self._committed = {stream: state.cursor for stream, state in states.items() if stream.publisher in heard}
        self._read = dict(self._committed)
        self._epochs = {stream: cursor.epoch for stream, cursor in self._committed.items()}
        self._backlog = {stream: end.number for stream, end in self._log.ends(list(self._committed)).items()}
        self._stopped = {
            stream: Standstill(state.stopped, state.cursor.number + 1)
            for stream, state in states.items()
            if state.stopped is not None
        }
        self._reader = self._log.reader(
            {stream: cursor.number for stream, cursor in self._committed.items() if stream not in self._held_up}
        )

    def _stands_back_for(self, registered: Sequence[HandlerRegistration]) -> bool:
        """Whether handlers are in force that this program lacks: it then leaves the work to newer code (rule 6)."""
        mine = set(self._subscriptions.registrations)
        lacking = sorted(handler.name for handler in registered if not handler.retired and handler not in mine)
        before, self.stands_back = self.stands_back, None
        if lacking:
            self.stands_back = (
                f"{self.component!r} has handlers in force that this program does not declare: {', '.join(lacking)}. "
                "It handles nothing. Deploy the code that has them, or take them out of force: preterite retire"
            )
            if self.stands_back != before:
                _logger.warning("%s", self.stands_back)
        return bool(lacking)

    def _store_first_read(self) -> None:
        """Store where every stream begins, all in one transaction; what is missing later is a gap (rule 18)."""
        known = self._store.cursors(self._connection)
        streams = [
            Stream(publisher, number)
            for publisher in self._subscriptions.publishers
            for number in range(self._identity.partitions)
        ]
        starts = {stream: self._beginning(stream) for stream in streams if stream not in known}
        in_transaction(self._store, self._connection, lambda: self._store.start_cursors(self._connection, starts))

    def _beginning(self, stream: Stream) -> Cursor:
        """Where this component begins with a stream: with the earliest event there is, or with the next one."""
        if self._subscriptions.component.begins == "now":
            return Cursor(*self._log.end(stream))
        return Cursor(self._log.first_number(stream) - 1, b"", 0)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._waiting = None, []
        self._epochs, self._gone_back = {}, set()
        self._replayer.close()

    def _step_back(self) -> None:
        """Somebody else has the work, or other handlers are registered: forget everything and look again."""
        self._stop_reading()
        self._parking.forget_unsettled()
        self._leases.lost()

    def _stop(self, stream: Stream, cursor: Cursor, reason: str) -> None:
        """Say visibly why a stream stands still behind this cursor."""
        standstill = Standstill(reason, cursor.number + 1)
        if self._stopped.get(stream) != standstill:
            self._stopped[stream] = standstill
            _logger.error("%s: %s", self.component, reason)
            self._write(lambda: self._store.stop_stream(self._connection, stream, reason))

    def _move_again(self, stream: Stream) -> None:
        del self._stopped[stream]
        self._asking.is_over(stream)
        _logger.info("%s: %s moves again", self.component, stream)

    def _note_passed_over(self, stream: Stream, what: str) -> None:
        self._write(
            lambda: self._store.count_passed_over(self._connection, stream.publisher, what, 1, self._clock.wall())
        )

    def _write(self, act: Callable[[], None]) -> None:
        under(self._store, self._connection, self._fence, self._leases.renewal, act)
