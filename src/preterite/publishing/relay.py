"""The relay: what a component has committed is numbered, kept in the journal, and appended to the log.

One relay per component is active, by lease. Its step:

1. number: move the next outbox rows to the journal under the next numbers, durable before anything is sent;
2. append what the journal holds beyond the last confirmed number, and wait for the confirmation;
3. remember what is confirmed, once a second.

After a crash the same rows go again under the same numbers. Numbering by "id greater than the last" is
forbidden: ids are taken before commit, and become visible out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter

from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, LogAhead, LogConflict, LogError, LogFenced, RecordRefused, StoreUnavailable
from preterite.leases import Leases, new_owner
from preterite.log.contract import Log, Record, Stream, StreamEnd, head
from preterite.loop import Progress
from preterite.printing.logger import logger
from preterite.publishing.forgotten import published_otherwise
from preterite.publishing.log_ahead import log_ahead_fault
from preterite.publishing.transaction import SessionContext
from preterite.store.contract import Database, translating_errors
from preterite.store.rows import RELAY, Lease, Parked, StreamNumbers

NUMBER_EVENTS = 2000
"""Outbox rows that the relay numbers in one transaction."""
APPEND_EVENTS_PER_PARTITION = 500
"""Records of one partition that the relay appends to the log at a time."""
HEAD_SECONDS = 60.0
"""How often the relay appends the numbers of its last records, so that readers notice a missing end."""
HEAL_SECONDS = 1.0
"""How often the relay looks for requests to resend records."""
SAVE_SECONDS = 1.0
"""How often the relay stores which records the log has confirmed."""
MAINTAIN_SECONDS = 0.1
"""How often the relay lets database and log do their maintenance."""
PRUNE_SECONDS = 60.0
"""How often the relay prunes its journal; at once while more is old."""
PRUNE_EVENTS = 5000
"""Records that are pruned from the journal in one transaction."""
JOURNAL_SECONDS = 7 * 24 * 3600.0
"""How long a record stays in the journal, from which it can be resent, and it is known that a saga has ended."""

Fresh = dict[int, list[Record]]
"""What has just been numbered, by partition."""

_logger = logger()


class Relay:
    """Publishes one component's events. Used by one thread; `step` does one round and never waits."""

    def __init__(
        self,
        component: str,
        database: Database,
        log: Log,
        clock: Clock,
        randomness: Randomness,
        on_append: Callable[[], None],
        owner: str | None = None,
        report: Callable[[Sequence[Parked]], None] = lambda rows: None,
    ) -> None:
        self.component = component
        self._database = database
        self._store = database.store
        self._log = log
        self._clock = clock
        self._randomness = randomness
        self._on_append = on_append
        self._report = report
        self.journal_seconds = JOURNAL_SECONDS
        """How long a record stays in the journal."""
        self._connection = database.connect()
        owner = owner or new_owner(randomness)
        self._connection.context = SessionContext(clock, randomness, owner=owner)
        self._leases = Leases(self._store, clock, owner, [RELAY])
        self._streams: dict[int, StreamNumbers] = {}
        self._journal_starts: Mapping[int, int] = {}
        """From which number on each partition can be sent again; nothing before it is ever asked of the log."""
        self._epoch = 0
        self._unsaved = self._forgets = False
        self._healed_at = self._head_at = self._pruned_at = self._saved_at = float("-inf")
        self._maintained_at = self._log_maintained_at = float("-inf")

    def step(self) -> Progress:
        """Do one round; true if there was something to do.

        Raises `StoreUnavailable` or a `LogError` while database or log are out of reach; call again later.
        """
        with translating_errors(self._store, self.component):
            return self._step()

    def _step(self) -> Progress:
        changed = self._leases.keep(self._connection)
        lease = self._leases.held.get(RELAY)
        if lease is None:
            self._epoch = 0
            return Progress(busy=False)
        try:
            if changed or self._epoch == 0:
                self._take_over(lease)
            numbered, drained = self._number(lease)
            sent = self._send(lease, numbered)
            self._now_and_then(lease)
        except LogFenced:
            # Another writer has claimed a stream: claim again in the next step, before anything is written.
            self._epoch = 0
            return Progress(busy=False)
        except Fenced:
            self._leases.lost()
            self._epoch = 0
            return Progress(busy=False)
        except (LogError, StoreUnavailable):
            # No other loop maintains the database of a component that cannot publish.
            self._maintain_database()
            raise
        return Progress(busy=bool(numbered or sent), drained=drained)

    @property
    def is_broken(self) -> bool:
        """Whether a connection was lost, so that only another relay can go on."""
        return not (self._store.is_open(self._connection) and self._store.may_write(self._connection))

    def seconds_to_next(self) -> float | None:
        """Nothing here waits for a business time."""
        return None

    def close(self) -> None:
        """Give the lease back and close; what is not sent yet stays in outbox and journal."""
        try:
            self._leases.release(self._connection)
        finally:
            self._connection.close()

    def _take_over(self, lease: Lease) -> None:
        """Make sure that no number is ever given twice (protocol rule 3, steps a to e).

        Confirmed is the lower of what was stored here and what the log has: what was to be sent again still is.
        """
        numbers = {row.partition: row for row in self._store.stream_numbers(self._connection)}
        streams = [self._stream(partition) for partition in numbers]
        own = max(row.epoch for row in numbers.values())
        found = self._log.ends(streams)
        # Looked at before the claim too: a copy of a database that is behind must not fence the one in use.
        self._refuse_log_ahead(numbers, found)
        epoch = max([own + 1, int(self._clock.wall() * 1000), *(end.epoch + 1 for end in found.values())])
        with self._transaction():
            self._store.set_stream_epoch(self._connection, lease, epoch)
        starts = self._journal_starts = self._store.journal_starts(self._connection)
        after = {stream: starts[stream.partition] - 1 for stream in streams}
        ends = self._log.take_over(after, epoch, self._randomness.uuid().bytes)
        self._refuse_log_ahead(numbers, ends)
        confirmed = {
            stream.partition: max(after[stream], min(numbers[stream.partition].confirmed, end.number))
            for stream, end in ends.items()
        }
        for stream, end in found.items():
            self._held(stream, end.number)
        with self._transaction():
            self._store.confirm(self._connection, lease, confirmed)
            self._store.set_relay_halt(self._connection, None)
        self._epoch, self._unsaved = epoch, False
        self._forgets = self._store.has_forgotten(self._connection)
        self._streams = {row.partition: row for row in self._store.stream_numbers(self._connection)}
        self._append_heads()
        whole = all(row.confirmed == row.last_number for row in self._streams.values())
        self._head_at = self._clock.monotonic() if whole else float("-inf")  # the others once all is sent again

    def _refuse_log_ahead(self, numbers: Mapping[int, StreamNumbers], ends: Mapping[Stream, StreamEnd]) -> None:
        fault = log_ahead_fault(numbers, ends, partial(self._store.journal_id, self._connection))
        if fault is not None:
            restored = "Was the database restored from a backup, or copied?"
            self._stop(f"{fault}. {restored} Nothing is published until an operator decides: preterite recover plan.")

    def _stop(self, reason: str) -> None:
        """Record why nothing is published; a relay that was overtaken has compared old numbers, and records nothing."""
        with self._fenced(self._leases.held[RELAY], verified=True):
            self._store.set_relay_halt(self._connection, reason)
        raise LogAhead(f"Relay of {self.component!r}: {reason}")

    def _number(self, lease: Lease) -> tuple[Fresh, bool]:
        """Give the next numbers; what has just got one need not be read from the journal. Also whether that was all."""
        epoch, self._epoch = self._epoch, 0  # whatever fails from here on: take over again, and read what was committed
        now = self._leases.server_time()
        if not self._forgets:
            numbered = self._store.number_alone(self._connection, lease, now, NUMBER_EVENTS)
        elif self._store.has_outbox(self._connection):
            with self._fenced(lease):
                aside = self._suppress(lease)
                numbered = self._store.number(self._connection, lease, now, NUMBER_EVENTS)
            self._report(aside)
        else:
            numbered = ()
        fresh: Fresh = {}
        for partition, run in groupby(numbered, key=itemgetter(0)):
            stream = self._stream(partition)
            fresh[partition] = [
                Record(stream, "event", epoch, number, event_id, envelope) for _, number, event_id, envelope in run
            ]
            last = fresh[partition][-1]
            self._streams[partition] = self._streams[partition]._replace(last_number=last.number, last_id=last.event_id)
        self._epoch = epoch
        return fresh, len(numbered) < NUMBER_EVENTS

    def _suppress(self, lease: Lease) -> list[Parked]:
        """Leave out what was published before this database was restored; another event under its id is set aside."""
        taken = self._store.take_forgotten(self._connection, lease)
        now = self._clock.now().timestamp()
        found = [published_otherwise(one, self._stream(one.row.partition), self._epoch, now) for one in taken]
        aside = [row for row in found if row is not None]
        if aside:
            self._store.park(self._connection, aside)
        return aside

    def _send(self, lease: Lease, fresh: Fresh) -> int:
        """Append everything that is journaled and not confirmed, in bounded chunks; return how many were confirmed."""
        sent = 0
        while unconfirmed := [row for row in self._streams.values() if row.confirmed < row.last_number]:
            if not self._leases.trusted():
                raise Fenced("The relay's lease may have run out; nothing more is sent under it.")
            if sent:
                self._save(lease)
            progress = self._append([record for row in unconfirmed for record in self._chunk(row, fresh)])
            fresh = {}  # what the log did not take is read from the journal, with what was noted there
            sent += progress
            if progress == 0:
                break
        return sent

    def _chunk(self, row: StreamNumbers, fresh: Fresh) -> list[Record]:
        known = fresh.get(row.partition)
        if known and known[0].number == row.confirmed + 1:
            return known
        stream = self._stream(row.partition)
        records = list(
            self._store.journal(self._connection, stream, row.confirmed, self._epoch, APPEND_EVENTS_PER_PARTITION)
        )
        if not records or records[0].number != row.confirmed + 1:
            missing = f"number {row.confirmed + 1} of {stream} is not in the journal, though it was never confirmed"
            self._stop(f"{missing}. Nothing is published: restore this database from a backup.")
        return records

    def _append(self, records: list[Record]) -> int:
        try:
            confirmed = self._log.append(records)
        except RecordRefused as refused:
            self._void(records, refused)
            return 1
        except LogConflict as conflict:
            self._stop(str(conflict))
            return 0
        progress = 0
        for stream, end in confirmed.items():
            row = self._streams[stream.partition]
            # Lower than before where the log has lost its end: everything from there that can goes again.
            number = self._held(stream, end)
            progress += abs(number - row.confirmed)
            self._streams[stream.partition] = row._replace(confirmed=number)
        if progress:
            self._unsaved = True
            self._on_append()
        return progress

    def _void(self, records: list[Record], refused: RecordRefused) -> None:
        """Fill the number of an event that the log refuses for ever, visibly (protocol rule 17)."""
        record = next(
            record for record in records if record.number == refused.number and record.stream == refused.stream
        )
        with self._fenced(self._leases.held[RELAY], verified=True):
            self._store.void(self._connection, record.stream.partition, record.number, refused.reason)

    def _now_and_then(self, lease: Lease) -> None:
        now = self._clock.monotonic()
        if now - self._head_at >= HEAD_SECONDS:
            self._head_at = now
            ends = self._log.ends([self._stream(partition) for partition in self._streams])
            self._heal(lease, {stream: self._held(stream, end.number) + 1 for stream, end in ends.items()})
            self._append_heads()
        if now - self._healed_at >= HEAL_SECONDS:
            self._healed_at = now
            self._answer(lease, self._log.resend_requests(self.component))
        self._maintain_database()
        if now - self._log_maintained_at >= MAINTAIN_SECONDS:
            self._log_maintained_at = now
            self._log.maintain()
        if self._unsaved and now - self._saved_at >= SAVE_SECONDS:
            self._save(lease)
        if now - self._pruned_at >= PRUNE_SECONDS and self._prune(lease) < PRUNE_EVENTS:
            # While there is more, every round takes some: it must keep up with what is published.
            self._pruned_at = now

    def _maintain_database(self) -> None:
        """Let the database do its periodic work, now and then."""
        if (now := self._clock.monotonic()) - self._maintained_at >= MAINTAIN_SECONDS:
            self._maintained_at = now
            self._database.maintain(self._connection)

    def _prune(self, lease: Lease) -> int:
        """Drop from the journal what is old and confirmed; return how many records. Forget old ends of sagas, too."""
        if self._unsaved:
            self._save(lease)
        epoch, self._epoch = self._epoch, 0  # if the answer is lost: take over again, and read where the journal starts
        before = self._leases.server_time() - self.journal_seconds
        with self._transaction():
            pruned = self._store.prune_journal(self._connection, before, PRUNE_EVENTS)
            self._store.forget_ended(self._connection, before, PRUNE_EVENTS)
        if pruned:
            self._journal_starts = self._store.journal_starts(self._connection)
        self._epoch = epoch
        return pruned

    def _answer(self, lease: Lease, requested: Mapping[Stream, int]) -> None:
        """Send again what readers miss. A head states from where on the journal holds it (rule 5)."""
        known = {stream: number for stream, number in requested.items() if stream.partition in self._streams}
        gone = {stream: number for stream, number in known.items() if number < self._start(stream)}
        for stream, number in gone.items():
            start = self._start(stream)
            _logger.error("a reader misses number %d of %s; the journal begins at %d", number, stream, start)
        self._heal(lease, {stream: number for stream, number in known.items() if stream not in gone})
        if gone:
            self._append_heads()

    def _heal(self, lease: Lease, missing: Mapping[Stream, int]) -> None:
        """Go back to the first number that the log lost: the ordinary step sends everything from there (rule 5).

        That is stored first, so that the next relay goes on where this one may end, and nothing of it is pruned.
        """
        lowered = False
        for stream, number in missing.items():
            row = self._streams[stream.partition]
            if number <= row.confirmed:
                _logger.warning("the log has lost %s from number %d on; it is sent again", stream, number)
                self._streams[stream.partition] = row._replace(confirmed=number - 1)
                lowered = True
        if lowered:
            self._save(lease)

    def _held(self, stream: Stream, end: int) -> int:
        """Up to which number nothing has to be sent again: where the log ends, or the journal's beginning, if later."""
        start = self._start(stream)
        if end < start - 1:
            lost = f"the log has lost {stream} from number {end + 1} to {start - 1}, and the journal begins at {start}"
            _logger.error("%s. Nothing can send them again: preterite recover fill %s", lost, self.component)
        return max(end, start - 1)

    def _start(self, stream: Stream) -> int:
        return self._journal_starts[stream.partition]

    def _append_heads(self) -> None:
        """Append how far each stream reaches, so that a lost end is noticed without a later event (rule 4)."""
        rows = [row for row in self._streams.values() if row.confirmed == row.last_number and row.last_number > 0]
        if rows:
            self._log.append([self._head(self._stream(row.partition), row) for row in rows])

    def _head(self, stream: Stream, row: StreamNumbers) -> Record:
        return head(stream, self._epoch, row.last_number, row.last_id, self._start(stream))

    def _stream(self, partition: int) -> Stream:
        return Stream(self.component, partition)

    def _save(self, lease: Lease) -> None:
        """Remember what is confirmed; a relay that takes over asks the log itself."""
        with self._fenced(lease):
            confirmed = {partition: row.confirmed for partition, row in self._streams.items()}
            self._store.confirm(self._connection, lease, confirmed)
        self._unsaved, self._saved_at = False, self._clock.monotonic()

    @contextmanager
    def _fenced(self, lease: Lease, *, verified: bool = False) -> Generator[None]:
        """A transaction that also renews the lease, if it is time to or if it has to be certain that it is held."""
        with self._transaction():
            yield
            expires_at = self._leases.renewal()
            if verified:
                expires_at = self._leases.expires_at()
            if expires_at is not None and self._store.renew(self._connection, [lease], expires_at) != 1:
                raise Fenced("Another relay holds the lease; nothing was written.")
        self._leases.committed()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._store.begin(self._connection)
        try:
            yield
            self._connection.commit()
        except BaseException:
            if self._store.in_transaction(self._connection):
                self._connection.rollback()
            raise
