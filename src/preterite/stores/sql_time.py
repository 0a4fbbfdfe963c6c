"""The part of every SQL store that keeps what is to come: commands, sagas, calendars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.rows import LATER, DbConnection, DueRow, LaterRow, SagaRow, saga_key
from preterite.stores.statements import Statements


class SqlTime:
    """Commands that wait for their time, instances of sagas, moments of calendars."""

    sql: Statements

    def add_later(self, connection: DbConnection, rows: Sequence[LaterRow]) -> None:
        connection.cursor().executemany(self.sql.ADD_LATER, rows)

    def cancel_later(self, connection: DbConnection, token: bytes) -> None:
        cursor = connection.cursor()
        cursor.execute(self.sql.CANCEL_LATER, (token,))
        cursor.execute(self.sql.CANCEL_PARKED_COMMAND, (LATER, token))

    def move_later(self, connection: DbConnection, token: bytes, due_at: float) -> None:
        connection.cursor().execute(self.sql.MOVE_LATER, (due_at, token))

    def due_later(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[DueRow]:
        marks = self.sql.marks(len(partitions))
        query = self.sql.DUE_LATER.format(partitions=marks)
        return [DueRow(*row) for row in connection.cursor().execute(query, (now, *partitions, limit)).fetchall()]

    def take_later(self, connection: DbConnection, later_id: int, now: float) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.TAKE_LATER, (later_id, now))
        return cursor.rowcount == 1

    def next_due(self, connection: DbConnection) -> float | None:
        return connection.cursor().execute(self.sql.NEXT_LATER).fetchone()[0]

    def find_saga(self, connection: DbConnection, saga: str, correlation: str) -> SagaRow | None:
        row = connection.cursor().execute(self.sql.FIND_SAGA, (saga, correlation)).fetchone()
        return None if row is None else SagaRow(*row)

    def get_saga(self, connection: DbConnection, saga_id: int) -> SagaRow | None:
        row = connection.cursor().execute(self.sql.GET_SAGA, (saga_id,)).fetchone()
        return None if row is None else SagaRow(*row)

    def add_saga(
        self, connection: DbConnection, saga: str, correlation: str, version: int, state: bytes, now: float
    ) -> int | None:
        cursor = connection.cursor()
        added = cursor.execute(self.sql.ADD_SAGA, (saga, correlation, version, state, now)).fetchone()
        if added is None:
            return None
        cursor.execute(self.sql.WAKE_PARKED_FOR_SAGA, (saga_key(saga, correlation),))
        return added[0]

    def save_saga(self, connection: DbConnection, row: SagaRow, version: int, state: bytes) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.SAVE_SAGA, (version, state, row.id, row.revision))
        return cursor.rowcount == 1

    def end_saga(self, connection: DbConnection, row: SagaRow) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.END_SAGA, (row.id, row.revision))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.END_TIMEOUTS, (row.id,))
        cursor.execute(self.sql.END_PARKED_TIMEOUTS, (LATER, saga_key(row.saga, row.correlation)))
        return True

    def calendars(self, connection: DbConnection) -> Mapping[str, str]:
        return dict(connection.cursor().execute(self.sql.CALENDARS).fetchall())

    def keep_calendar(self, connection: DbConnection, name: str, schedule: str, formerly: str) -> None:
        cursor = connection.cursor()
        cursor.execute(self.sql.FORGET_CALENDAR, (formerly,))
        cursor.execute(self.sql.KEEP_CALENDAR, (name, schedule))

    def drop_ticks(self, connection: DbConnection, key: str) -> Sequence[float]:
        return sorted(row[0] for row in connection.cursor().execute(self.sql.DROP_TICKS, (key,)).fetchall())
