"""The replayer: history is fed to handlers beside live reading, in batches, throttled.

A handler that is behind has its own cursor in each stream and gets no live events there. The holder of the leases feeds
it from the log; once both cursors are at the same number it joins, in the transaction that moves it (protocol rule 7).
So nothing is handled twice, and what came in meanwhile comes after what came before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preterite.clock import Clock
from preterite.errors import Fenced
from preterite.inbox import BATCH_EVENTS, Inbox, ParkingFull
from preterite.log import Cursor, Log, LogReader, Record, Stream, Verdict, accept
from preterite.rows import DbConnection, Fence, Renewal, Replay, ReplayCursor
from preterite.sources import History
from preterite.store import Store

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
            self._feeds.append(_Feed(replay, mine, allowed_at=now))
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
        if not records:
            return 0
        source = History(self._store, fence, feed.replay, feed.cursors, self._starts, live, renewal)
        try:
            done = records[: self._inbox.handle(records, source).records]
        except ParkingFull as error:
            feed.waiting = records + feed.waiting
            self._pause(feed, str(error))
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
            cursor = feed.read.get(record.stream)
            if cursor is None or record.stream not in feed.cursors:
                continue
            verdict = accept(cursor, cursor.epoch, record)
            if verdict is Verdict.APPLY:
                feed.read[record.stream] = cursor.at(record)
                accepted.append(record)
            elif verdict in (Verdict.GAP, Verdict.GONE_BACK):
                wanted = f"number {cursor.number + 1} of {record.stream}"
                self._pause(feed, f"{wanted} is not in the log as it was; there is {record.number}")
                break
        return accepted

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
        self._store.begin(self._connection)
        try:
            self._store.check_fence(self._connection, fence, renewal())
            for stream, one in jumps.items():
                jump = one
                if one.cursor.number < one.live_number and self._handled_the_rest(feed.replay, one):
                    jump = one._replace(cursor=Cursor(one.live_number, b"", one.cursor.epoch))
                    self._store.move_replay(self._connection, one, jump.cursor, 0)
                feed.cursors[stream] = jump
                if jump.cursor.number == live[stream].number and not self._store.join_replay(self._connection, jump):
                    raise Fenced(f"Live reading of {stream} has moved on; nothing was written.")
            self._connection.commit()
        except BaseException:
            if self._store.in_transaction(self._connection):
                self._connection.rollback()
            raise
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
        if joined:
            self._note_behind()

    def _note_behind(self) -> None:
        behind: dict[Stream, frozenset[str]] = {}
        for feed in self._feeds:
            for stream in feed.cursors:
                behind[stream] = behind.get(stream, frozenset()) | frozenset(feed.replay.handlers)
        self.behind = behind

    def _pause(self, feed: _Feed, reason: str) -> None:
        _logger.error("replay %s is paused: %s", feed.replay.id, reason)
        self._store.begin(self._connection)
        self._store.set_replay_state(self._connection, feed.replay.id, "paused", reason)
        self._connection.commit()
        feed.replay = feed.replay._replace(state="paused", reason=reason)
