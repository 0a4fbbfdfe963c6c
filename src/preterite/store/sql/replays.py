"""Replays: how far history was replayed to handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.log.contract import Cursor, Stream
from preterite.store.dialect import Dialect
from preterite.store.rows import DbConnection, Replay, ReplayCursor


class ReplayStore(Dialect):
    """Replays and their cursors. Methods write and run in a transaction, unless stated otherwise."""

    def start_replay(self, connection: DbConnection, replay: Replay, starts: Mapping[Stream, Cursor]) -> int:
        """Replay to handlers from these places on; they get nothing live there until they have caught up.

        Workers notice: the set of handlers counts as changed. Returns the replay's number.
        """
        cursor = connection.cursor()
        values = (
            "\n".join(replay.handlers),
            int(replay.again),
            int(replay.publishes),
            replay.rate,
            replay.from_time,
            replay.state,
            replay.reason,
            replay.replayed,
            replay.started_at,
        )
        replay_id: int = cursor.execute(self.sql.ADD_REPLAY, values).fetchone()[0]
        rows = [(replay_id, start.number, start.event_id, start.epoch, *stream) for stream, start in starts.items()]
        cursor.executemany(self.sql.ADD_REPLAY_CURSOR, rows)
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return replay_id

    def replays(self, connection: DbConnection, *, active: bool) -> Sequence[Replay]:
        """Replays that run or are paused; or all, newest first. Reads only."""
        rows = connection.cursor().execute(self.sql.ACTIVE_REPLAYS if active else self.sql.REPLAYS).fetchall()
        return [
            Replay._make((number, tuple(handlers.split("\n")), bool(again), bool(publishes), *rest, bool(cancelled)))
            for number, handlers, again, publishes, *rest, cancelled in rows
        ]

    def replay_cursors(self, connection: DbConnection) -> Sequence[ReplayCursor]:
        """Where replays have not caught up yet. Reads only."""
        rows = connection.cursor().execute(self.sql.REPLAY_CURSORS).fetchall()
        return [ReplayCursor(row[0], Stream(row[1], row[2]), Cursor(*row[3:6]), row[6]) for row in rows]

    def move_replay(self, connection: DbConnection, was: ReplayCursor, new: Cursor, replayed: int) -> bool:
        """Store how far a replay has come in a stream; false if it is no longer where it was read."""
        cursor = connection.cursor()
        cursor.execute(self.sql.MOVE_REPLAY, (*new, was.replay_id, *was.stream, was.cursor.number))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.COUNT_REPLAYED, (replayed, was.replay_id))
        return True

    def join_replay(self, connection: DbConnection, at: ReplayCursor) -> bool:
        """End a replay in a stream if its cursor and the live one are at the same number; false if they are not.

        With its last stream the replay is done.
        """
        cursor = connection.cursor()
        cursor.execute(self.sql.JOIN_REPLAY, (at.replay_id, *at.stream, at.cursor.number))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.END_REPLAY, (at.replay_id, at.replay_id))
        return True

    def set_replay_state(self, connection: DbConnection, replay_id: int, state: str, reason: str) -> bool:
        """Pause a replay or resume it; false if it is neither running nor paused."""
        cursor = connection.cursor()
        cursor.execute(self.sql.SET_REPLAY_STATE, (state, reason, replay_id))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return True

    def note_replay(self, connection: DbConnection, replay_id: int, reason: str) -> None:
        """Store why a replay that runs is stalled; empty once it has recovered."""
        connection.cursor().execute(self.sql.NOTE_REPLAY, (reason, replay_id))

    def cancel_replay(self, connection: DbConnection, replay_id: int) -> bool:
        """Skip the rest of the history; what came in since the replay began is still replayed. False if it is over."""
        cursor = connection.cursor()
        cursor.execute(self.sql.CANCEL_REPLAY, (replay_id,))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.SKIP_REPLAY, (replay_id,))
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return True
