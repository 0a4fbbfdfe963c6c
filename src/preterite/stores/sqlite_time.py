"""The part of the SQLite store that keeps what is to come: commands, sagas, calendars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.rows import LATER, DbConnection, DueRow, LaterRow, SagaRow, saga_key
from preterite.stores import sqlite_statements as sql


class SqliteTime:
    """Commands that wait for their time, instances of sagas, moments of calendars."""

    def add_later(self, connection: DbConnection, rows: Sequence[LaterRow]) -> None:
        connection.cursor().executemany(sql.ADD_LATER, rows)

    def cancel_later(self, connection: DbConnection, token: bytes) -> None:
        cursor = connection.cursor()
        cursor.execute(sql.CANCEL_LATER, (token,))
        cursor.execute(sql.CANCEL_PARKED_COMMAND, (LATER, token))

    def move_later(self, connection: DbConnection, token: bytes, due_at: float) -> None:
        connection.cursor().execute(sql.MOVE_LATER, (due_at, token))

    def due_later(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[DueRow]:
        marks = ",".join("?" * len(partitions))
        query = sql.DUE_LATER.format(partitions=marks)
        return [DueRow(*row) for row in connection.cursor().execute(query, (now, *partitions, limit)).fetchall()]

    def take_later(self, connection: DbConnection, later_id: int, now: float) -> bool:
        cursor = connection.cursor()
        cursor.execute(sql.TAKE_LATER, (later_id, now))
        return cursor.rowcount == 1

    def next_due(self, connection: DbConnection) -> float | None:
        return connection.cursor().execute(sql.NEXT_LATER).fetchone()[0]

    def find_saga(self, connection: DbConnection, saga: str, correlation: str) -> SagaRow | None:
        row = connection.cursor().execute(sql.FIND_SAGA, (saga, correlation)).fetchone()
        return None if row is None else SagaRow(*row)

    def get_saga(self, connection: DbConnection, saga_id: int) -> SagaRow | None:
        row = connection.cursor().execute(sql.GET_SAGA, (saga_id,)).fetchone()
        return None if row is None else SagaRow(*row)

    def add_saga(
        self, connection: DbConnection, saga: str, correlation: str, version: int, state: bytes, now: float
    ) -> int | None:
        cursor = connection.cursor()
        added = cursor.execute(sql.ADD_SAGA, (saga, correlation, version, state, now)).fetchone()
        if added is None:
            return None
        cursor.execute(sql.WAKE_PARKED_FOR_SAGA, (saga_key(saga, correlation),))
        return added[0]

    def save_saga(self, connection: DbConnection, row: SagaRow, version: int, state: bytes) -> bool:
        cursor = connection.cursor()
        cursor.execute(sql.SAVE_SAGA, (version, state, row.id, row.revision))
        return cursor.rowcount == 1

    def end_saga(self, connection: DbConnection, row: SagaRow) -> bool:
        cursor = connection.cursor()
        cursor.execute(sql.END_SAGA, (row.id, row.revision))
        if cursor.rowcount != 1:
            return False
        cursor.execute(sql.END_TIMEOUTS, (row.id,))
        cursor.execute(sql.END_PARKED_TIMEOUTS, (LATER, saga_key(row.saga, row.correlation)))
        return True

    def calendars(self, connection: DbConnection) -> Mapping[str, str]:
        return dict(connection.cursor().execute(sql.CALENDARS).fetchall())

    def keep_calendar(self, connection: DbConnection, name: str, schedule: str, formerly: str) -> None:
        cursor = connection.cursor()
        cursor.execute(sql.FORGET_CALENDAR, (formerly,))
        cursor.execute(sql.KEEP_CALENDAR, (name, schedule))

    def drop_ticks(self, connection: DbConnection, key: str) -> Sequence[float]:
        return sorted(row[0] for row in connection.cursor().execute(sql.DROP_TICKS, (key,)).fetchall())
