"""Where batches come from: the live streams, commands whose time has come, and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from preterite.contracts import Tick
from preterite.errors import Fenced
from preterite.handling.delivery import Delivery
from preterite.leases import Tenure
from preterite.log.contract import Cursor, Stream, stream_of
from preterite.log.gaps import StalledStream
from preterite.store.contract import Store
from preterite.store.rows import (
    Activity,
    DbConnection,
    Move,
    Replay,
    ReplayCursor,
    ReplayMode,
    ScheduledRow,
)
from preterite.topology import BoundHandler


class Source(Protocol):
    """Where a batch comes from. It decides what of it runs, and writes last how far it is done."""

    @property
    def tenure(self) -> Tenure:
        """What must still hold when the batch commits."""
        ...

    @property
    def is_replay(self) -> bool:
        """Whether live reading has seen all of this before, for other handlers or for these."""
        ...

    def mode(self, delivery: Delivery) -> ReplayMode | None:
        """How the handlers run on this delivery, if it is history to them."""
        ...

    def handlers(self, delivery: Delivery) -> Sequence[BoundHandler]:
        """The handlers that run on this delivery."""
        ...

    def due_at(self, delivery: Delivery) -> float:
        """When the delivery is due if it is parked to run alone: its place among what is due."""
        ...

    def claim(self, connection: DbConnection, delivery: Delivery) -> bool:
        """Take this delivery for this transaction; false if it is no longer there to be run."""
        ...

    def settle(self, connection: DbConnection, deliveries: Sequence[Delivery], activity: Activity | None) -> None:
        """Write that these deliveries are done and how many were handled, and check everything; raises `Fenced`."""
        ...


@dataclass(slots=True)
class StreamProgress:
    """How far a component has come in one stream that it reads live."""

    applied: Cursor
    stalled: StalledStream | None = None
    """Why it is stalled, if it is; it recovers with the cursor that goes on."""
    backlog_end: int = 0
    """How far the stream reached when the work was taken over, until it is applied up to there."""
    full_until: float = 0.0
    """Until when, by the monotonic clock, it is left alone, where too much of it is parked."""


@dataclass(frozen=True)
class LiveStreams:
    """The streams of a component from where it has read them: a batch is done when their cursors have moved."""

    store: Store
    tenure: Tenure
    streams: Mapping[Stream, StreamProgress]
    replaying: Mapping[Stream, frozenset[str]]
    """Handlers whose history in a stream is replayed: they get nothing live there (protocol rule 7)."""
    is_replay: bool = False

    def mode(self, delivery: Delivery) -> None:
        """Nothing of this is history."""

    def handlers(self, delivery: Delivery) -> Sequence[BoundHandler]:
        """All that there are, but those that are replaying."""
        handlers = delivery.subscription.handlers if delivery.subscription is not None else ()
        if not self.replaying:
            return handlers
        replaying = self.replaying.get(delivery.record.stream, frozenset())
        return [bound for bound in handlers if bound.name not in replaying]

    def due_at(self, delivery: Delivery) -> float:
        """At once."""
        return 0.0

    def claim(self, connection: DbConnection, delivery: Delivery) -> bool:
        """It is there: the cursor is checked at the end."""
        return True

    def settle(self, connection: DbConnection, deliveries: Sequence[Delivery], activity: Activity | None) -> None:
        """Move the cursors from where they were read to the last record of each stream in the batch."""
        ends = {stream: progress.applied for stream, progress in self.streams.items()}
        for stream, run in groupby([delivery.record for delivery in deliveries], key=stream_of):
            records = list(run)
            assert records[-1].number == ends[stream].number + len(records), f"numbers of {stream} are left out"
            ends[stream] = ends[stream].at(records[-1])
        moves: list[Move] = []
        for stream, progress in self.streams.items():
            if ends[stream] != progress.applied:
                moves.append(Move(stream, progress.applied, ends[stream]))
                if progress.stalled is not None and ends[stream].number >= progress.stalled.before:
                    self.store.set_stream_stall(connection, stream, None)
        self.tenure.move_cursors(connection, moves, activity)


@dataclass(frozen=True)
class DueCommands:
    """Commands whose time has come: each is taken from where it waits, in the transaction that handles it."""

    store: Store
    tenure: Tenure
    now: float
    due: Mapping[int, float]
    """When each was due, by its number."""
    next_tick: Callable[[BoundHandler, Tick], ScheduledRow]
    is_replay: bool = False

    def mode(self, delivery: Delivery) -> None:
        """Nothing of this is history."""

    def handlers(self, delivery: Delivery) -> Sequence[BoundHandler]:
        """The one that there is."""
        return delivery.subscription.handlers if delivery.subscription is not None else ()

    def due_at(self, delivery: Delivery) -> float:
        """When it was due, so that what runs alone keeps its order."""
        return self.due[delivery.record.number]

    def claim(self, connection: DbConnection, delivery: Delivery) -> bool:
        """Take it; false if it was cancelled or moved, or went with its saga, while the batch ran.

        A moment of a calendar makes the next one wait.
        """
        if not self.store.take_scheduled(connection, delivery.record.number, self.now):
            return False
        if isinstance(delivery.event, Tick):
            self.store.add_scheduled(connection, [self.next_tick(self.handlers(delivery)[0], delivery.event)])
        return True

    def settle(self, connection: DbConnection, deliveries: Sequence[Delivery], activity: Activity | None) -> None:
        """Check that the work is still this worker's."""
        self.tenure.check(connection, activity)


@dataclass(frozen=True)
class History:
    """Streams from where a replay has read them, up to where live reading stands."""

    store: Store
    tenure: Tenure
    replay: Replay
    cursors: Mapping[Stream, ReplayCursor]
    starts: Mapping[tuple[str, Stream], int]
    """From which number of each stream each handler has been active."""
    live: Mapping[Stream, StreamProgress]
    is_replay: bool = True

    def mode(self, delivery: Delivery) -> ReplayMode | None:
        """How the replay says, on history; what came in since it began is as if it were read live."""
        return self.replay.mode if self._is_history(delivery) else None

    def handlers(self, delivery: Delivery) -> Sequence[BoundHandler]:
        """Those that are fed, but for what they have handled before."""
        handlers = delivery.subscription.handlers if delivery.subscription is not None else ()
        return [
            bound for bound in handlers if bound.name in self.replay.handlers and self._is_for(bound.name, delivery)
        ]

    def due_at(self, delivery: Delivery) -> float:
        """At once."""
        return 0.0

    def claim(self, connection: DbConnection, delivery: Delivery) -> bool:
        """It is there: the replay's cursor is checked at the end."""
        return True

    def settle(self, connection: DbConnection, deliveries: Sequence[Delivery], activity: Activity | None) -> None:
        """Move the replay on, and join live reading where both stand at the same number."""
        ends = {delivery.record.stream: delivery.record for delivery in deliveries}
        fed = sum(1 for delivery in deliveries if self.handlers(delivery))
        for stream, record in ends.items():
            was = self.cursors[stream]
            new = was.cursor.at(record)
            if not self.store.move_replay(connection, was, new, fed):
                raise Fenced(f"Replay {self.replay.id} was changed; nothing was written.")
            fed = 0
            if new.number == self.live[stream].applied.number:
                joined = self.store.join_replay(connection, was._replace(cursor=new))
                if not joined:
                    raise Fenced(f"Live reading of {stream} has moved on; nothing was written.")
        self.tenure.check(connection, activity)

    def _is_for(self, handler: str, delivery: Delivery) -> bool:
        """Whether this is history that the handler wants, or came in since the replay began."""
        number = delivery.record.number
        if not self._is_history(delivery):
            return True
        if not self.replay.again and number >= self.starts.get((handler, delivery.record.stream), 0):
            return False
        since = self.replay.from_time
        return since is None or (delivery.envelope is not None and delivery.envelope.time.timestamp() >= since)

    def _is_history(self, delivery: Delivery) -> bool:
        return delivery.record.number <= self.cursors[delivery.record.stream].live_number
