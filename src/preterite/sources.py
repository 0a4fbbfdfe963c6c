"""Where batches come from: the live streams, commands whose time has come, and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from preterite.contracts import Tick
from preterite.errors import Fenced
from preterite.items import Item
from preterite.log import Cursor, Stream, stream_of
from preterite.rows import Activity, DbConnection, Fence, LaterRow, Move, Renewal, Replay, ReplayCursor, Replaying
from preterite.standstills import Standstill
from preterite.store import Store
from preterite.topology import BoundHandler


@dataclass(frozen=True)
class LiveStreams:
    """The streams of a component from where it has read them: a batch is done when their cursors have moved."""

    store: Store
    fence: Fence
    cursors: Mapping[Stream, Cursor]
    renewal: Renewal
    behind: Mapping[Stream, frozenset[str]]
    """Handlers that are fed history in a stream: they get nothing live there (protocol rule 7)."""
    stopped: Mapping[Stream, Standstill]
    """What stands still, visibly; it moves again with the cursor that goes on."""
    mode: Replaying | None = None

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """All that there are, but those that are behind."""
        handlers = item.subscription.handlers if item.subscription is not None else ()
        if not self.behind:
            return handlers
        behind = self.behind.get(item.record.stream, frozenset())
        return [bound for bound in handlers if bound.name not in behind]

    def due_at(self, item: Item) -> float:
        """At once."""
        return 0.0

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """It is there: the cursor is checked at the end."""
        return True

    def settle(self, connection: DbConnection, items: Sequence[Item], activity: Activity | None) -> None:
        """Move the cursors from where they were read to the last record of each stream in the batch."""
        ends = dict(self.cursors)
        for stream, run in groupby([item.record for item in items], key=stream_of):
            records = list(run)
            assert records[-1].number == ends[stream].number + len(records), f"numbers of {stream} are left out"
            ends[stream] = ends[stream].at(records[-1])
        moves = [Move(stream, was, ends[stream]) for stream, was in self.cursors.items() if ends[stream] != was]
        for move in moves:
            if move.stream in self.stopped and move.new.number >= self.stopped[move.stream].before:
                self.store.stop_stream(connection, move.stream, None)
        self.store.move_cursors(connection, moves, self.fence, self.renewal(), activity)


@dataclass(frozen=True)
class DueCommands:
    """Commands whose time has come: each is taken from where it waits, in the transaction that handles it."""

    store: Store
    fence: Fence
    now: float
    due: Mapping[int, float]
    """When each was due, by its number."""
    next_tick: Callable[[BoundHandler, Tick], LaterRow]
    renewal: Renewal
    mode: Replaying | None = None

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """The one that there is."""
        return item.subscription.handlers if item.subscription is not None else ()

    def due_at(self, item: Item) -> float:
        """When it was due, so that what runs alone keeps its order."""
        return self.due[item.record.number]

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """Take it; false if it was cancelled or moved, or went with its saga, while the batch ran.

        A moment of a calendar makes the next one wait.
        """
        if not self.store.take_later(connection, item.record.number, self.now):
            return False
        if isinstance(item.event, Tick):
            self.store.add_later(connection, [self.next_tick(self.handlers(item)[0], item.event)])
        return True

    def settle(self, connection: DbConnection, items: Sequence[Item], activity: Activity | None) -> None:
        """Check that the work is still this worker's."""
        self.store.check_fence(connection, self.fence, self.renewal(), activity)


@dataclass(frozen=True)
class History:
    """Streams from where a replay has read them, up to where live reading stands."""

    store: Store
    fence: Fence
    replay: Replay
    cursors: Mapping[Stream, ReplayCursor]
    starts: Mapping[tuple[str, Stream], int]
    """From which number of each stream each handler has been in force."""
    live: Mapping[Stream, Cursor]
    renewal: Renewal

    @property
    def mode(self) -> Replaying:
        """How the handlers run."""
        return self.replay.mode

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """Those that are fed, but for what they have handled before."""
        handlers = item.subscription.handlers if item.subscription is not None else ()
        return [bound for bound in handlers if bound.name in self.replay.handlers and self._is_for(bound.name, item)]

    def due_at(self, item: Item) -> float:
        """At once."""
        return 0.0

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """It is there: the replay's cursor is checked at the end."""
        return True

    def settle(self, connection: DbConnection, items: Sequence[Item], activity: Activity | None) -> None:
        """Move the replay on, and join live reading where both stand at the same number."""
        ends = {item.record.stream: item.record for item in items}
        fed = sum(1 for item in items if self.handlers(item))
        for stream, record in ends.items():
            was = self.cursors[stream]
            new = was.cursor.at(record)
            if not self.store.move_replay(connection, was, new, fed):
                raise Fenced(f"Replay {self.replay.id} was changed; nothing was written.")
            fed = 0
            if new.number == self.live[stream].number:
                joined = self.store.join_replay(connection, was._replace(cursor=new))
                if not joined:
                    raise Fenced(f"Live reading of {stream} has moved on; nothing was written.")
        self.store.check_fence(connection, self.fence, self.renewal(), activity)

    def _is_for(self, handler: str, item: Item) -> bool:
        """Whether this is history that the handler wants, or came in since the replay began."""
        number = item.record.number
        if number > self.cursors[item.record.stream].live_number:
            return True
        if not self.replay.again and number >= self.starts.get((handler, item.record.stream), 0):
            return False
        since = self.replay.from_time
        return since is None or (item.envelope is not None and item.envelope.time.timestamp() >= since)
