"""The receiver: reads the streams that a component subscribes to, has them handled in batches, and runs what is due.

It holds the leases of the partitions it reads and keeps the order of each stream by number. A stream is stalled,
visibly, where it has a gap or its publisher has gone back. A step does one round and never waits:

    1. leases     renew what is held; after a change take stock: handlers, cursors, interrupted rows
    2. due        parked rows and scheduled commands whose time has come
    3. live       the next records of the streams, as one batch
    4. history    one batch of each replay that runs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from preterite.clock import Clock, Randomness
from preterite.errors import ConnectionLost, DatabaseWentBack, Fenced
from preterite.handling.batch import BATCH_EVENTS, BatchProcessor, BatchResult, ParkingFull
from preterite.handling.failure import FailureLog
from preterite.handling.invoker import HandlerInvoker, Running
from preterite.handling.sources import LiveStreams, StreamProgress
from preterite.handling.transaction import runner_for
from preterite.leases import Leases, Tenure, new_owner, partition_leases
from preterite.log.contract import Cursor, Log, Record, Stream, Verdict, stream_of
from preterite.log.gaps import ResendRequests, StalledStream
from preterite.loop import Progress
from preterite.printing.logger import logger
from preterite.publishing.transaction import SessionContext
from preterite.receiving.careful import CAREFUL_EVENTS, Careful
from preterite.receiving.parking import Parking
from preterite.receiving.replayer import Replayer
from preterite.receiving.scheduler import CommandScheduler
from preterite.receiving.streams import Refused, StreamPosition, StreamReader
from preterite.store.contract import Database, run_in_transaction, translating_errors
from preterite.store.rows import HandlerRegistration, StoreIdentity
from preterite.topology import Subscriptions

BATCH_EVENTS_MIN = 50
"""Records read for a batch at first; then twice as many as the last batch had time for, up to `BATCH_EVENTS`."""
FULL_SECONDS = 1.0
"""How long a stream of which too much is parked is left alone before it is read again."""

_logger = logger()


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
        context: SessionContext,
        failures: FailureLog,
        handlers_version: int = 0,
        owner: str | None = None,
    ) -> None:
        self.component = subscriptions.component.name
        self._subscriptions = subscriptions
        self._identity = identity
        self._store = database.store
        self._log = log
        self._clock = clock
        self.owner = owner or new_owner(randomness)
        self._connection = database.connect()
        self._connection.context = context = replace(context, owner=self.owner)
        self._handlers_version = handlers_version
        self._refuse_older(self._store.handlers(self._connection)[0])
        first_names = self._store.first_names(self._connection)
        self._leases = Leases(self._store, clock, self.owner, partition_leases(identity.partitions), shared=True)
        self._tenure = Tenure(self._store, self._leases, 0)
        isolated = subscriptions.component.isolation == "repeatable read"
        self._transactions = runner_for(subscriptions.given, database, context, isolated=isolated)
        self._invoker = HandlerInvoker(subscriptions, database, identity, clock, first_names)
        self._failures = failures
        parts = (self._transactions, self._invoker, clock, randomness, failures.report)
        self._batches = BatchProcessor(subscriptions, self._store, *parts)
        self._parking = Parking(subscriptions, self._store, self._connection, *parts)
        here = (self._store, self._connection, self._batches, clock)
        self._scheduler = CommandScheduler(subscriptions, identity, *here, first_names)
        self._replayer = Replayer(self._store, self._connection, log, self._batches, clock)
        self._know_nothing()

    def _know_nothing(self) -> None:
        """The state before anything was taken over or read."""
        self._resends = ResendRequests(self._log, self._clock)
        self._streams: dict[Stream, StreamProgress] = {}
        self._reader: StreamReader | None = None
        self._read_ahead: list[Record] = []
        self._batch_events = BATCH_EVENTS_MIN
        self._others_wait = False
        self._careful = Careful(lambda: self._invoker.seconds)
        self._handled = 0
        """Events handled since parked rows were last run: they earn retries."""
        self._parked = self._published = False
        self.superseded: str | None = None
        """Why this program leaves the work to a newer one, if it does."""

    @property
    def is_broken(self) -> bool:
        """Whether a connection was lost, so that only another receiver can go on."""
        return not (self._store.is_open(self._connection) and self._store.may_write(self._connection))

    @property
    def time_limit_seconds(self) -> float:
        """How long a handler may run before its process is replaced."""
        return self._subscriptions.component.time_limit_seconds

    @property
    def running(self) -> Running | None:
        """The handler that is running, and since when by the monotonic clock."""
        return self._invoker.running

    def seconds_to_next(self) -> float | None:
        """How long it is, in business time, until a command is due or a replay goes on; None if nothing waits."""
        if not self._leases.held:
            return None
        with translating_errors(self._store, self.component):
            known = (self._scheduler.seconds_to_next(), self._replayer.seconds_to_next())
        return min((seconds for seconds in known if seconds is not None), default=None)

    def close(self) -> None:
        """Give the leases back, clean, and close. What was read and not applied is read again by the next holder."""
        try:
            self._stop_reading()
            self._leases.release(self._connection)
        finally:
            self._transactions.close()
            self._connection.close()

    def step(self, *, raising: bool = False) -> Progress:
        """Do one round; true if there was something to do. With `raising` a handler's exception passes through.

        Raises `StoreUnavailable` or a `LogError` while database or log are out of reach; call again later.
        """
        with translating_errors(self._store, self.component):
            busy = self._step(raising)
        published, self._published = self._published, False
        return Progress(busy, published)

    def _step(self, raising: bool) -> bool:
        changed = self._leases.keep(self._connection)
        if not self._leases.held:
            return False
        try:
            if changed or self._reader is None or self._full_streams_are_due():
                self._start_reading()
            if self.superseded is not None:
                return False
            self._request_resends()
            return self._round(raising)
        except Fenced:
            self._step_back()
            return False
        except BaseException as error:
            if isinstance(error, ConnectionLost):
                self._careful.begin()
            # What was read and not applied is gone from memory: read again from the cursors. What was committed
            # before the fault may have published.
            self._published = True
            self._stop_reading()
            raise

    def _round(self, raising: bool) -> bool:
        """What is due, what comes in, history; whether there was anything."""
        self._failures.report_left_out()
        if self._parked:
            self._parked = False
            self._parking.look_again()
        # What is due goes before what comes in; where nothing is known to be due, it is looked for afterwards.
        first = self._scheduler.may_be_due()
        run = self._run_due(raising) if first else 0
        self._others_wait = self._apply(self._next_records(), raising)
        run += 0 if first else self._run_due(raising)
        run += self._note(self._replayer.step(self._tenure, self._streams, raising=raising))
        busy = self._others_wait or run > 0
        if not busy and self._store.handlers(self._connection)[0] != self._tenure.handlers_version:
            raise Fenced("Other handlers are registered by now, or a replay has begun.")
        return busy

    def _note(self, result: BatchResult) -> int:
        """Remember until the step ends what came of a part of it; return how many events that were."""
        self._published |= result.published
        self._parked |= result.parked
        return result.records

    def _run_due(self, raising: bool) -> int:
        """Run parked rows and scheduled commands whose time has come; return how many that were."""
        tenure, handled, self._handled = self._tenure, self._handled, 0
        run = self._note(self._parking.run_due(tenure, handled=handled, raising=raising, others_wait=self._others_wait))
        if self._has_caught_up():
            due = self._note(self._scheduler.run_due(tenure, careful=bool(self._careful), raising=raising))
            self._careful.passed(due)
            run += due
        return run

    def _has_caught_up(self) -> bool:
        """Whether every stream has been read as far as it reached when the work was taken over (protocol rule 21).

        Only then are commands handled: what happened before their time, and was not read yet, comes first.
        """
        for progress in self._streams.values():
            if progress.stalled is not None or progress.applied.number >= progress.backlog_end:
                progress.backlog_end = 0
        return not any(progress.backlog_end for progress in self._streams.values())

    def _apply(self, records: Sequence[Record], raising: bool) -> bool:
        """Handle the next records as a batch, and advance; false if there are none."""
        if not records:
            return False
        live = LiveStreams(self._store, self._tenure, self._streams, self._replayer.replaying)
        try:
            if self._careful:
                result = self._batches.park_all(records, live)
            else:
                result = self._batches.handle(records, live, raising=raising)
        except ParkingFull as error:
            self._stall_full_streams(records, error)
            return False
        self._leases.committed()
        self._handled += self._note(result)
        self._careful.passed(result.records)
        done, self._read_ahead = records[: result.records], list(records[result.records :])
        # What a batch has no time for is decoded again in the next one: take about as much as can be done.
        self._batch_events = min(max(2 * result.records, BATCH_EVENTS_MIN), BATCH_EVENTS)
        for stream, run in groupby(done, key=stream_of):
            *_, record = run
            progress = self._streams[stream]
            progress.applied = progress.applied.at(record)
            if progress.stalled is not None and record.number >= progress.stalled.before:
                progress.stalled = None
                self._resends.clear(stream)
                _logger.info("%s: %s has recovered", self.component, stream)
        return True

    def _next_records(self) -> list[Record]:
        """Up to one batch of records that come next in their streams."""
        assert self._reader is not None, "reading has started"
        records, self._read_ahead = self._read_ahead, []
        limit = CAREFUL_EVENTS if self._careful else self._batch_events
        while (wanted := limit - len(records)) > 0:
            taken, refused, read = self._reader.read(wanted)
            records += taken
            for one in refused:
                self._report(one)
            if read < wanted:
                break
        return records

    @property
    def _positions(self) -> Mapping[Stream, StreamPosition]:
        assert self._reader is not None, "reading has started"
        return self._reader.positions

    def _report(self, refused: Refused) -> None:
        """Record where operators see it why a record is not applied."""
        verdict, record, cursor = refused
        stream = record.stream
        if verdict is Verdict.GAP:
            self._stall(stream, cursor, self._gap_reason(record, cursor))
        elif verdict is Verdict.GONE_BACK:
            other = f"{record.number} is not what was read here up to {cursor.number}"
            reason = f"{stream} has gone back: {other}. The stream is stalled until an operator acts."
            self._stall(stream, cursor, reason)

    def _gap_reason(self, record: Record, cursor: Cursor) -> str:
        position = self._positions[record.stream]
        missing = f"number {cursor.number + 1} of {record.stream} is missing"
        if position.is_gone:
            gone = f"neither the log nor the publisher's journal, which begins at {position.journal_start}, has it"
            return f"{missing}; {gone}. The stream is stalled until an operator decides: preterite recover plan."
        beyond = "the log should hold" if record.kind == "head" else "there is"
        return f"{missing}; {beyond} {record.number}. The stream is stalled until its publisher sends it again."

    def _stall(self, stream: Stream, cursor: Cursor, reason: str) -> None:
        """Record visibly why a stream is stalled behind this cursor."""
        stalled = StalledStream(reason, cursor.number + 1)
        if self._streams[stream].stalled != stalled:
            self._streams[stream].stalled = stalled
            _logger.error("%s: %s", self.component, reason)
            with self._tenure.transaction(self._connection):
                self._store.set_stream_stall(self._connection, stream, reason)

    def _stall_full_streams(self, records: Sequence[Record], full: ParkingFull) -> None:
        """Too much is parked: stall the streams of a batch, or the one that is full; the others go on."""
        for stream in {record.stream for record in records} if full.only is None else [full.only]:
            self._stall(stream, self._streams[stream].applied, str(full))
        if full.only is not None:
            self._streams[full.only].full_until = self._clock.monotonic() + FULL_SECONDS
        self._stop_reading()

    def _full_streams_are_due(self) -> bool:
        """Whether streams of which too much was parked are to be read again."""
        now = self._clock.monotonic()
        due = [progress for progress in self._streams.values() if progress.full_until and progress.full_until <= now]
        for progress in due:
            progress.full_until = 0.0
        return bool(due)

    def _request_resends(self) -> None:
        """Ask publishers to send again what is missing here."""
        for stream, progress in self._streams.items():
            position = self._positions[stream]
            if position.gone_back:
                continue
            if progress.stalled is None and position.stale is not None:
                self._wait_for_epoch(stream, position.cursor)
            elif progress.stalled is not None and not position.is_gone:
                self._resends.request(stream, progress.applied.number + 1)

    def _wait_for_epoch(self, stream: Stream, cursor: Cursor) -> None:
        """A publisher that sends again what was lost soon comes to what is stale; else the stream is stalled."""
        number = cursor.number + 1
        if self._resends.request(stream, number, at_once=False):
            stale = f"number {number} of {stream} is in the log under an older epoch than what comes before it"
            self._stall(stream, cursor, f"{stale}. The stream is stalled until its publisher sends it again.")

    def _start_reading(self) -> None:
        """Take stock under the leases just taken: handlers, cursors, interrupted rows, and a reader from there."""
        self._stop_reading()
        version, registered = self._store.handlers(self._connection)
        self._refuse_older(version)
        self._tenure = Tenure(self._store, self._leases, version)
        if self._is_superseded(registered):
            self._leases.release(self._connection)
            return
        self._store_first_read()
        if any(not lease.clean for lease in self._leases.held.values()):
            self._careful.begin()
        self._parking.settle_interrupted(self._tenure)
        self._replayer.take_over(self._tenure)
        full = {stream: progress.full_until for stream, progress in self._streams.items() if progress.full_until}
        self._streams = {
            stream: StreamProgress(
                state.cursor,
                None if state.stall is None else StalledStream(state.stall, state.cursor.number + 1),
                full_until=full.get(stream, 0.0),
            )
            for stream, state in self._store.cursors(self._connection).items()
            if stream.partition in self._tenure and stream.publisher in self._subscriptions.publishers
        }
        for stream, end in self._log.ends(list(self._streams)).items():
            self._streams[stream].backlog_end = end.number
        applied = {stream: progress.applied for stream, progress in self._streams.items()}
        self._reader = StreamReader(self._log, applied, without=full)

    def _refuse_older(self, version: int) -> None:
        """A database that knows less than this program has registered there was restored meanwhile."""
        if version < self._handlers_version:
            self._connection.close()
            raise DatabaseWentBack(f"The database of {self.component!r} was restored while this program ran.")

    def _is_superseded(self, registered: Sequence[HandlerRegistration]) -> bool:
        """Whether handlers are active that this program lacks: it then leaves the work to newer code (rule 6)."""
        mine = set(self._subscriptions.registrations)
        lacking = sorted(handler.name for handler in registered if not handler.retired and handler not in mine)
        before, self.superseded = self.superseded, None
        if lacking:
            self.superseded = (
                f"{self.component!r} has active handlers that this program does not declare: {', '.join(lacking)}. "
                "It handles nothing. Deploy the code that has them, or retire them: preterite retire"
            )
            if self.superseded != before:
                _logger.warning("%s", self.superseded)
        return bool(lacking)

    def _store_first_read(self) -> None:
        """Store where every stream begins, all in one transaction; what is missing after that is a gap (rule 18)."""
        known = self._store.cursors(self._connection)
        streams = [
            Stream(publisher, number)
            for publisher in self._subscriptions.publishers
            for number in range(self._identity.partitions)
        ]
        starts = {stream: self._first_cursor(stream) for stream in streams if stream not in known}
        run_in_transaction(self._store, self._connection, lambda: self._store.start_cursors(self._connection, starts))

    def _first_cursor(self, stream: Stream) -> Cursor:
        """Where this component starts in a stream: before the earliest event there is, or after the latest."""
        if self._subscriptions.component.start_from == "latest":
            return Cursor(*self._log.end(stream))
        return Cursor(self._log.first_number(stream) - 1, b"", 0)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._read_ahead = None, []
        self._replayer.close()

    def _step_back(self) -> None:
        """Another worker has the work, or other handlers are registered: forget everything and look again."""
        self._stop_reading()
        self._parking.forget_unsettled()
        self._leases.lost()
