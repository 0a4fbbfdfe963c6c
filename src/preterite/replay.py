"""The replayer: history is fed to handlers beside live reading, in batches, throttled.

A handler that is behind has its own cursor in each stream and gets no live events there. The holder of the leases feeds
it from the log; once both cursors are at the same number it joins, in the transaction that moves it (protocol rule 7).
So nothing is handled twice, and what came in meanwhile comes after what came before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from preterite.clock import Clock
from preterite.errors import Fenced
from preterite.inbox import BATCH_EVENTS, Inbox, ParkingFull
from preterite.log import Cursor, Log, LogReader, Record, Stream, Verdict, accept
from preterite.rows import DbConnection, Fence, Renewal, Replay, ReplayCursor
from preterite.sources import History
from preterite.standstills import Asking
from preterite.store import Store, under

FEED_SECONDS = 0.05
BURST_SECONDS = 0.1
AHEAD_RECORDS = 20 * BATCH_EVENTS

_logger = logging.getLogger("preterite")


@dataclass
class _Feed:
    """One replay as it is fed here: where it stands, and what was read ahead."""

    replay: Replay
    cursors: dict[Stream, ReplayCursor]
    reader: LogReader | None = None
    read: dict[Stream, Cursor] = field(default_factory=dict[Stream, Cursor])
    waiting: list[Record] = field(default_factory=list[Record])
    missing: dict[Stream, int] = field(default_factory=dict[Stream, int])
    """What the log has lost, by stream; their publishers send it again."""
    gone_back: str | None = None
    says_why: bool = False
    """Whether people may be told why it stands still."""
    allowed: float = 1.0
    allowed_at: float = 0.0


class Replayer:
    """Feeds the replays of one component. Used by the thread that holds the leases."""

    def __init__(self, store: Store, connection: DbConnection, log: Log, inbox: Inbox, clock: Clock) -> None:
        self._store = store
        self._connection = connection
        self._log = log
        self._inbox = inbox
        self._clock = clock
        self._feeds: list[_Feed] = []
        self._asking = Asking(log, clock)
        self._starts: Mapping[tuple[str, Stream], int] = {}
        self.behind: Mapping[Stream, frozenset[str]] = {}
        """Handlers that get nothing live, by stream."""

    def take_over(self, fence: Fence) -> None:
        """Take stock of the replays in the partitions held."""
        self.close()
        active = self._store.replays(self._connection, active=True)
        if not active:
            return
        self._starts = self._store.handler_starts(self._connection)
        cursors = [one for one in self._store.replay_cursors(self._connection) if one.stream.partition in fence.leases]
        now = self._clock.monotonic()
        for replay in active:
            mine = {one.stream: one for one in cursors if one.replay_id == replay.id}
            self._feeds.append(_Feed(replay, mine, says_why=replay.reason != "", allowed_at=now))
        self._note_behind()

    def step(self, fence: Fence, live: Mapping[Stream, Cursor], renewal: Renewal) -> int:
        """Feed one batch of each replay that runs; return how many events that were.

        Raises `Fenced` or `StoreUnavailable`; then nothing was written.
        """
        return sum(
            self._feed(feed, fence, live, renewal)
            for feed in self._feeds
            if feed.replay.state == "running" and feed.cursors
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
        self.behind = {}

    def _feed(self, feed: _Feed, fence: Fence, live: Mapping[Stream, Cursor], renewal: Renewal) -> int:
        self._skip_what_was_handled(feed, fence, live, renewal)
        limit = self._allowance(feed)
        records = self._next_records(feed, live, limit) if limit > 0 else []
        if feed.gone_back is not None:
            self._pause(feed, feed.gone_back, fence, renewal)
            return 0
        self._ask_for_missing(feed, fence, renewal)
        if not records:
            return 0
        source = History(self._store, fence, feed.replay, feed.cursors, self._starts, live, renewal)
        try:
            done = records[: self._inbox.handle(records, source).records]
        except ParkingFull as error:
            feed.waiting = records + feed.waiting
            self._pause(feed, str(error), fence, renewal)
            return 0
        feed.waiting = records[len(done) :] + feed.waiting
        feed.allowed -= len(done)
        for record in done:
            was = feed.cursors[record.stream]
            feed.cursors[record.stream] = was._replace(cursor=was.cursor.at(record))
        self._leave_out_joined(feed, live)
        return len(done)

    def _allowance(self, feed: _Feed) -> int:
        """How many events may be fed now: what the rate has allowed since, in bursts no longer than a moment."""
        rate = feed.replay.rate
        if rate is None:
            return BATCH_EVENTS
        now = self._clock.monotonic()
        feed.allowed = min(feed.allowed + rate * (now - feed.allowed_at), max(rate * BURST_SECONDS, 1.0))
        feed.allowed_at = now
        return min(int(feed.allowed), max(int(rate * FEED_SECONDS), 1), BATCH_EVENTS)

    def _next_records(self, feed: _Feed, live: Mapping[Stream, Cursor], limit: int) -> list[Record]:
        """The next records of the replay's streams, none beyond where live reading stands."""
        if feed.reader is None:
            feed.read = {stream: one.cursor for stream, one in feed.cursors.items()}
            feed.reader = self._log.reader({stream: cursor.number for stream, cursor in feed.read.items()})
        usable = sum(record.number <= live[record.stream].number for record in feed.waiting)
        if usable < limit and len(feed.waiting) < AHEAD_RECORDS:
            feed.waiting += self._accepted(feed, feed.reader.read(limit - usable))
        taken: list[Record] = []
        kept: list[Record] = []
        beyond: set[Stream] = set()
        for record in feed.waiting:
            stream = record.stream
            if stream in beyond or record.number > live[stream].number or len(taken) == limit:
                beyond.add(stream)
                kept.append(record)
            else:
                taken.append(record)
        feed.waiting = kept
        return taken

    def _accepted(self, feed: _Feed, records: Sequence[Record]) -> list[Record]:
        """Those of these records that come next; the same decision as in live reading."""
        accepted: list[Record] = []
        for record in records:
            stream, cursor = record.stream, feed.read.get(record.stream)
            if cursor is None or stream not in feed.cursors:
                continue
            verdict = accept(cursor, cursor.epoch, record)
            if verdict is Verdict.APPLY:
                feed.read[stream] = cursor.at(record)
                if feed.missing.pop(stream, None) is not None:
                    self._asking.is_over(stream)
                accepted.append(record)
            elif verdict is Verdict.GAP:
                feed.missing[stream] = cursor.number + 1
            elif verdict is Verdict.GONE_BACK:
                feed.gone_back = f"{stream} is not in the log as it was: {record.number} is another event by now"
        return accepted

    def _ask_for_missing(self, feed: _Feed, fence: Fence, renewal: Renewal) -> None:
        """Ask publishers for what the log has lost, and say so where people see it; other streams go on meanwhile."""
        asked = [stream for stream, number in feed.missing.items() if self._asking.ask(stream, number)]
        if asked:
            number, stream = feed.missing[asked[0]], asked[0]
            told = f"number {number} of {stream} is not in the log; it is fed once its publisher has sent it again"
            _logger.error("replay %s: %s", feed.replay.id, told)
        elif feed.says_why and not feed.missing:
            told = ""
        else:
            return
        self._write(fence, renewal, lambda: self._store.note_replay(self._connection, feed.replay.id, told))
        feed.says_why = told != ""

    def _skip_what_was_handled(
        self, feed: _Feed, fence: Fence, live: Mapping[Stream, Cursor], renewal: Renewal
    ) -> None:
        """Go on to where live reading stood at the start, where all handlers have handled what lies between."""
        jumps = {
            stream: one
            for stream, one in feed.cursors.items()
            if one.cursor.number == live[stream].number or self._handled_the_rest(feed.replay, one)
        }
        if not jumps:
            return

        def jump_all() -> None:
            for stream, one in jumps.items():
                jump = one
                if one.cursor.number < one.live_number and self._handled_the_rest(feed.replay, one):
                    jump = one._replace(cursor=Cursor(one.live_number, b"", one.cursor.epoch))
                    self._store.move_replay(self._connection, one, jump.cursor, 0)
                feed.cursors[stream] = jump
                if jump.cursor.number == live[stream].number and not self._store.join_replay(self._connection, jump):
                    raise Fenced(f"Live reading of {stream} has moved on; nothing was written.")

        self._write(fence, renewal, jump_all)
        self._leave_out_joined(feed, live)
        if feed.reader is not None:
            feed.reader.close()
        feed.reader, feed.waiting = None, []

    def _handled_the_rest(self, replay: Replay, one: ReplayCursor) -> bool:
        if replay.again or one.cursor.number >= one.live_number:
            return False
        starts = [self._starts.get((handler, one.stream), 0) for handler in replay.handlers]
        return all(start <= one.cursor.number + 1 for start in starts)

    def _leave_out_joined(self, feed: _Feed, live: Mapping[Stream, Cursor]) -> None:
        joined = [stream for stream, one in feed.cursors.items() if one.cursor.number == live[stream].number]
        for stream in joined:
            del feed.cursors[stream]
            feed.missing.pop(stream, None)
        if joined:
            # What was read of them beyond where they joined came in since, and is handled live.
            feed.waiting = [record for record in feed.waiting if record.stream in feed.cursors]
            self._note_behind()

    def _note_behind(self) -> None:
        behind: dict[Stream, frozenset[str]] = {}
        for feed in self._feeds:
            for stream in feed.cursors:
                behind[stream] = behind.get(stream, frozenset()) | frozenset(feed.replay.handlers)
        self.behind = behind

    def _pause(self, feed: _Feed, reason: str, fence: Fence, renewal: Renewal) -> None:
        _logger.error("replay %s is paused: %s", feed.replay.id, reason)
        self._write(
            fence,
            renewal,
            lambda: self._store.set_replay_state(self._connection, feed.replay.id, "paused", reason),
        )
        feed.replay = feed.replay._replace(state="paused", reason=reason)

    def _write(self, fence: Fence, renewal: Renewal, act: Callable[[], object]) -> None:
        under(self._store, self._connection, fence, renewal, act)
