"""The replayer: history is replayed to handlers beside live reading, in batches, throttled.

A handler that is replaying has its own cursor in each stream and gets no live events there. The holder of the leases
feeds it from the log; once both cursors are at the same number it joins, in the transaction that moves it (protocol
rule 7). So nothing is handled twice, and what came in meanwhile comes after what came before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preterite.clock import Clock
from preterite.errors import Fenced
from preterite.handling.batch import BATCH_EVENTS, NOTHING_DONE, BatchProcessor, BatchResult, ParkingFull
from preterite.handling.sources import History, StreamProgress
from preterite.leases import Tenure
from preterite.log.contract import Cursor, Log, Record, Stream, Verdict
from preterite.log.gaps import ResendRequests
from preterite.printing.logger import logger
from preterite.receiving.streams import Refused, StreamReader
from preterite.store.contract import Store
from preterite.store.rows import DbConnection, Replay, ReplayCursor

FEED_SECONDS = 0.05
"""How often a replay takes further events; each time its rate's share."""
BURST_SECONDS = 0.1
"""How much of its rate a replay that was held up may make up for at once."""
AHEAD_RECORDS = 20 * BATCH_EVENTS
"""Records that a replay reads ahead and keeps in memory."""

_logger = logger()


@dataclass
class _Feed:
    """One replay as it is fed here: where it stands, and what was read ahead."""

    replay: Replay
    cursors: dict[Stream, ReplayCursor]
    reader: StreamReader | None = None
    waiting: list[Record] = field(default_factory=list[Record])
    missing: dict[Stream, int] = field(default_factory=dict[Stream, int])
    """What the log has lost, by stream; their publishers send it again."""
    blocked: str | None = None
    """Why it cannot go on, whatever its publishers send again."""
    says_why: bool = False
    """Whether the reason why it is stalled is in the database."""
    allowed: float = 1.0
    allowed_at: float = 0.0


class Replayer:
    """Feeds the replays of one component. Used by the thread that holds the leases."""

    def __init__(self, store: Store, connection: DbConnection, log: Log, batches: BatchProcessor, clock: Clock) -> None:
        self._store = store
        self._connection = connection
        self._log = log
        self._batches = batches
        self._clock = clock
        self._feeds: list[_Feed] = []
        self._resends = ResendRequests(log, clock)
        self._starts: Mapping[tuple[str, Stream], int] = {}
        self.replaying: Mapping[Stream, frozenset[str]] = {}
        """Handlers that get nothing live, by stream."""

    def take_over(self, tenure: Tenure) -> None:
        """Take stock of the replays in the partitions held."""
        self.close()
        active = self._store.replays(self._connection, active=True)
        if not active:
            return
        self._starts = self._store.handler_starts(self._connection)
        cursors = [one for one in self._store.replay_cursors(self._connection) if one.stream.partition in tenure]
        now = self._clock.monotonic()
        for replay in active:
            mine = {one.stream: one for one in cursors if one.replay_id == replay.id}
            self._feeds.append(_Feed(replay, mine, says_why=replay.reason != "", allowed_at=now))
        self._note_replaying()

    def step(self, tenure: Tenure, live: Mapping[Stream, StreamProgress], *, raising: bool = False) -> BatchResult:
        """Handle one batch of each replay that runs.

        Raises `Fenced` or `StoreUnavailable`; then nothing was written.
        """
        results = [
            self._feed(feed, tenure, live, raising)
            for feed in self._feeds
            if feed.replay.state == "running" and feed.cursors
        ]
        return BatchResult(
            sum(one.records for one in results),
            any(one.published for one in results),
            any(one.parked for one in results),
        )

    def seconds_to_next(self) -> float | None:
        """How long it is until more may be fed; nothing if nothing is fed here."""
        running = any(feed.replay.state == "running" and feed.cursors for feed in self._feeds)
        return FEED_SECONDS if running else None

    def close(self) -> None:
        """Forget what was read ahead."""
        for feed in self._feeds:
            if feed.reader is not None:
                feed.reader.close()
        self._feeds = []
        self.replaying = {}

    def _feed(self, feed: _Feed, tenure: Tenure, live: Mapping[Stream, StreamProgress], raising: bool) -> BatchResult:
        self._skip_what_was_handled(feed, tenure, live)
        limit = self._allowance(feed)
        records = self._next_records(feed, live, limit) if limit > 0 else []
        if feed.blocked is not None:
            self._pause(feed, feed.blocked, tenure)
            return NOTHING_DONE
        self._request_missing(feed, tenure)
        if not records:
            return NOTHING_DONE
        source = History(self._store, tenure, feed.replay, feed.cursors, self._starts, live)
        try:
            result = self._batches.handle(records, source, raising=raising)
        except ParkingFull as error:
            feed.waiting = records + feed.waiting
            self._pause(feed, str(error), tenure)
            return NOTHING_DONE
        done = records[: result.records]
        feed.waiting = records[len(done) :] + feed.waiting
        feed.allowed -= len(done)
        for record in done:
            was = feed.cursors[record.stream]
            feed.cursors[record.stream] = was._replace(cursor=was.cursor.at(record))
        self._leave_out_joined(feed, live)
        return result

    def _allowance(self, feed: _Feed) -> int:
        """How many events may be fed now: what the rate has allowed since, in bursts no longer than a moment."""
        rate = feed.replay.rate
        if rate is None:
            return BATCH_EVENTS
        now = self._clock.monotonic()
        feed.allowed = min(feed.allowed + rate * (now - feed.allowed_at), max(rate * BURST_SECONDS, 1.0))
        feed.allowed_at = now
        return min(int(feed.allowed), max(int(rate * FEED_SECONDS), 1), BATCH_EVENTS)

    def _next_records(self, feed: _Feed, live: Mapping[Stream, StreamProgress], limit: int) -> list[Record]:
        """The next records of the replay's streams, none beyond where live reading stands."""
        if feed.reader is None:
            feed.reader = StreamReader(self._log, {stream: one.cursor for stream, one in feed.cursors.items()})
        usable = sum(record.number <= live[record.stream].applied.number for record in feed.waiting)
        if usable < limit and len(feed.waiting) < AHEAD_RECORDS:
            taken, refused, _ = feed.reader.read(limit - usable)
            feed.waiting += [record for record in taken if self._is_wanted(feed, record)]
            self._note_refused(feed, feed.reader, refused)
        due: list[Record] = []
        kept: list[Record] = []
        beyond: set[Stream] = set()
        for record in feed.waiting:
            stream = record.stream
            if stream in beyond or record.number > live[stream].applied.number or len(due) == limit:
                beyond.add(stream)
                kept.append(record)
            else:
                due.append(record)
        feed.waiting = kept
        return due

    def _is_wanted(self, feed: _Feed, record: Record) -> bool:
        """Whether the record's stream is still replayed; what was missing before it is there again."""
        if record.stream not in feed.cursors:
            return False
        if feed.missing.pop(record.stream, None) is not None:
            self._resends.clear(record.stream)
        return True

    def _note_refused(self, feed: _Feed, reader: StreamReader, refused: Sequence[Refused]) -> None:
        """What is missing is asked for again; where the log holds another history the replay is paused."""
        for verdict, record, cursor in refused:
            stream = record.stream
            if stream not in feed.cursors:
                continue
            if reader.positions[stream].is_gone:
                number = cursor.number + 1
                feed.blocked = f"number {number} of {stream} is neither in the log nor in its publisher's journal"
            elif verdict is Verdict.GAP or (verdict is Verdict.STALE and record.number > cursor.number):
                feed.missing[stream] = cursor.number + 1
            elif verdict is Verdict.GONE_BACK:
                feed.blocked = f"{stream} is not in the log as it was: {record.number} is another event by now"

    def _request_missing(self, feed: _Feed, tenure: Tenure) -> None:
        """Ask publishers for what the log has lost, and note it in the database; other streams go on meanwhile."""
        asked = [stream for stream, number in feed.missing.items() if self._resends.request(stream, number)]
        if asked:
            number, stream = feed.missing[asked[0]], asked[0]
            message = (
                f"number {number} of {stream} is not in the log; it is replayed once its publisher has sent it again"
            )
            _logger.error("replay %s: %s", feed.replay.id, message)
        elif feed.says_why and not feed.missing:
            message = ""
        else:
            return
        with tenure.transaction(self._connection):
            self._store.note_replay(self._connection, feed.replay.id, message)
        feed.says_why = message != ""

    def _skip_what_was_handled(self, feed: _Feed, tenure: Tenure, live: Mapping[Stream, StreamProgress]) -> None:
        """Go on to where live reading stood at the start, where all handlers have handled what lies between."""
        jumps = {
            stream: one
            for stream, one in feed.cursors.items()
            if one.cursor.number == live[stream].applied.number or self._handled_the_rest(feed.replay, one)
        }
        if not jumps:
            return

        with tenure.transaction(self._connection):
            for stream, one in jumps.items():
                jump = one
                if one.cursor.number < one.live_number and self._handled_the_rest(feed.replay, one):
                    jump = one._replace(cursor=Cursor(one.live_number, b"", one.cursor.epoch))
                    self._store.move_replay(self._connection, one, jump.cursor, 0)
                feed.cursors[stream] = jump
                if jump.cursor.number == live[stream].applied.number and not self._store.join_replay(
                    self._connection, jump
                ):
                    raise Fenced(f"Live reading of {stream} has moved on; nothing was written.")
        self._leave_out_joined(feed, live)
        if feed.reader is not None:
            feed.reader.close()
        feed.reader, feed.waiting = None, []

    def _handled_the_rest(self, replay: Replay, one: ReplayCursor) -> bool:
        if replay.again or one.cursor.number >= one.live_number:
            return False
        starts = [self._starts.get((handler, one.stream), 0) for handler in replay.handlers]
        return all(start <= one.cursor.number + 1 for start in starts)

    def _leave_out_joined(self, feed: _Feed, live: Mapping[Stream, StreamProgress]) -> None:
        joined = [stream for stream, one in feed.cursors.items() if one.cursor.number == live[stream].applied.number]
        for stream in joined:
            del feed.cursors[stream]
            feed.missing.pop(stream, None)
        if joined:
            # What was read of them beyond where they joined came in since, and is handled live.
            feed.waiting = [record for record in feed.waiting if record.stream in feed.cursors]
            self._note_replaying()

    def _note_replaying(self) -> None:
        replaying: dict[Stream, frozenset[str]] = {}
        for feed in self._feeds:
            for stream in feed.cursors:
                replaying[stream] = replaying.get(stream, frozenset()) | frozenset(feed.replay.handlers)
        self.replaying = replaying

    def _pause(self, feed: _Feed, reason: str, tenure: Tenure) -> None:
        _logger.error("replay %s is paused: %s", feed.replay.id, reason)
        with tenure.transaction(self._connection):
            self._store.set_replay_state(self._connection, feed.replay.id, "paused", reason)
        feed.replay = feed.replay._replace(state="paused", reason=reason)
