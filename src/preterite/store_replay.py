"""The part of a component's database that remembers how far history has been fed to handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from preterite.log import Cursor, Stream
from preterite.rows import DbConnection, Replay, ReplayCursor


class ReplayStore(Protocol):
    """Replays and where they stand. Methods write and run in a transaction, unless they say otherwise."""

    def start_replay(self, connection: DbConnection, replay: Replay, starts: Mapping[Stream, Cursor]) -> int:
        """Let handlers be fed from these places on; they get nothing live there until they have caught up.

        Workers notice: the set of handlers counts as changed. Returns the replay's number.
        """
        ...

    def replays(self, connection: DbConnection, *, active: bool) -> Sequence[Replay]:
        """Replays that run or are paused; or all, newest first. Reads only."""
        ...

    def replay_cursors(self, connection: DbConnection) -> Sequence[ReplayCursor]:
        """Where replays have not caught up yet. Reads only."""
        ...

    def move_replay(self, connection: DbConnection, was: ReplayCursor, new: Cursor, fed: int) -> bool:
        """Note how far a replay has come in a stream; false if it is no longer where it was read."""
        ...

    def join_replay(self, connection: DbConnection, at: ReplayCursor) -> bool:
        """End a replay in a stream if it and live reading stand at the same number; false if they do not.

        With its last stream the replay is done.
        """
        ...

    def set_replay_state(self, connection: DbConnection, replay_id: int, state: str, reason: str) -> bool:
        """Pause a replay or let it run on; false if it is neither running nor paused."""
        ...

    def note_replay(self, connection: DbConnection, replay_id: int, reason: str) -> None:
        """Say why a replay that runs does not get on; or, with nothing, that it does again."""
        ...

    def cancel_replay(self, connection: DbConnection, replay_id: int) -> bool:
        """Leave out the rest of the history; what came in since the replay began is still fed. False if it is over."""
        ...
