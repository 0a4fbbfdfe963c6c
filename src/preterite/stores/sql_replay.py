"""The part of every SQL store that remembers how far history has been fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.log import Cursor, Stream
from preterite.rows import DbConnection, Replay, ReplayCursor
from preterite.stores.statements import CANCELLED, Statements


class SqlReplay:
    """Replays and where they stand."""

    sql: Statements

    def start_replay(self, connection: DbConnection, replay: Replay, starts: Mapping[Stream, Cursor]) -> int:
        cursor = connection.cursor()
        values = (
            "\n".join(replay.handlers),
            int(replay.again),
            int(replay.publishes),
            replay.rate,
            replay.from_time,
            replay.state,
            replay.reason,
            replay.fed,
            replay.started_at,
        )
        replay_id: int = cursor.execute(self.sql.ADD_REPLAY, values).fetchone()[0]
        rows = [(replay_id, start.number, start.event_id, start.epoch, *stream) for stream, start in starts.items()]
        cursor.executemany(self.sql.ADD_REPLAY_CURSOR, rows)
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return replay_id

    def replays(self, connection: DbConnection, *, active: bool) -> Sequence[Replay]:
        rows = connection.cursor().execute(self.sql.ACTIVE_REPLAYS if active else self.sql.REPLAYS).fetchall()
        return [Replay(row[0], tuple(row[1].split("\n")), bool(row[2]), bool(row[3]), *row[4:]) for row in rows]

    def replay_cursors(self, connection: DbConnection) -> Sequence[ReplayCursor]:
        rows = connection.cursor().execute(self.sql.REPLAY_CURSORS).fetchall()
        return [ReplayCursor(row[0], Stream(row[1], row[2]), Cursor(*row[3:6]), row[6]) for row in rows]

    def move_replay(self, connection: DbConnection, was: ReplayCursor, new: Cursor, fed: int) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.MOVE_REPLAY, (*new, was.replay_id, *was.stream, was.cursor.number))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.COUNT_FED, (fed, was.replay_id))
        return True

    def join_replay(self, connection: DbConnection, at: ReplayCursor) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.JOIN_REPLAY, (at.replay_id, *at.stream, at.cursor.number))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.END_REPLAY, (at.replay_id, at.replay_id))
        return True

    def set_replay_state(self, connection: DbConnection, replay_id: int, state: str, reason: str) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.SET_REPLAY_STATE, (state, reason, replay_id))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return True

    def note_replay(self, connection: DbConnection, replay_id: int, reason: str) -> None:
        connection.cursor().execute(self.sql.NOTE_REPLAY, (reason, replay_id))

    def cancel_replay(self, connection: DbConnection, replay_id: int) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.SET_REPLAY_STATE, ("running", CANCELLED, replay_id))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.SKIP_REPLAY, (replay_id,))
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return True
