"""Where batches come from: the live streams, and commands whose time has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from preterite.contracts import Tick
from preterite.items import Item
from preterite.log import Cursor, Stream
from preterite.rows import DbConnection, Fence, LaterRow, Move
from preterite.store import Store
from preterite.topology import BoundHandler


@dataclass(frozen=True)
class LiveStreams:
    """The streams of a component from where it has read them: a batch is done when their cursors have moved."""

    store: Store
    fence: Fence
    cursors: Mapping[Stream, Cursor]
    expires_at: Callable[[], float]

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """All that there are."""
        return item.subscription.handlers if item.subscription is not None else ()

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """It is there: the cursor is checked at the end."""
        return True

    def settle(self, connection: DbConnection, items: Sequence[Item]) -> None:
        """Move the cursors from where they were read to the last record of each stream in the batch."""
        counts = Counter([item.record.stream for item in items])
        ends = {item.record.stream: item.record for item in items}
        for stream, record in ends.items():
            expected = self.cursors[stream].number + counts[stream]
            assert record.number == expected, f"the batch leaves out numbers of {stream}"
        moves = [Move(stream, self.cursors[stream], self.cursors[stream].at(record)) for stream, record in ends.items()]
        self.store.move_cursors(connection, moves, self.fence, self.expires_at())


@dataclass(frozen=True)
class DueCommands:
    """Commands whose time has come: each is taken from where it waits, in the transaction that handles it."""

    store: Store
    fence: Fence
    now: float
    next_tick: Callable[[BoundHandler, Tick], LaterRow]
    expires_at: Callable[[], float]

    def handlers(self, item: Item) -> Sequence[BoundHandler]:
        """The one that there is."""
        return item.subscription.handlers if item.subscription is not None else ()

    def claim(self, connection: DbConnection, item: Item) -> bool:
        """Take it; false if it was cancelled or moved, or went with its saga, while the batch ran.

        A moment of a calendar makes the next one wait.
        """
        if not self.store.take_later(connection, item.record.number, self.now):
            return False
        if isinstance(item.event, Tick):
            self.store.add_later(connection, [self.next_tick(self.handlers(item)[0], item.event)])
        return True

    def settle(self, connection: DbConnection, items: Sequence[Item]) -> None:
        """Check that the work is still this worker's."""
        self.store.check_fence(connection, self.fence, self.expires_at())
