"""Scheduled commands, sagas and calendars: what a component will do later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.store.dialect import Dialect
from preterite.store.rows import SCHEDULED, DbConnection, DueRow, SagaRow, ScheduledRow, saga_key


class ScheduledStore(Dialect):
    """Commands, sagas and calendars. Methods write and run in a transaction, unless stated otherwise."""

    def add_scheduled(self, connection: DbConnection, rows: Sequence[ScheduledRow]) -> None:
        """Schedule commands; one that is scheduled already under its token stays as it is."""
        self.plain_cursor(connection).executemany(self.sql.ADD_SCHEDULED, rows)

    def cancel_scheduled(self, connection: DbConnection, token: bytes) -> None:
        """Cancel a scheduled command, also one that has failed and waits for a retry."""
        cursor = self.plain_cursor(connection)
        cursor.execute(self.sql.CANCEL_SCHEDULED, (token,))
        cursor.execute(self.sql.CANCEL_PARKED_COMMAND, (SCHEDULED, token))

    def reschedule(self, connection: DbConnection, token: bytes, due_at: float) -> None:
        """Change the time of a command that is still scheduled."""
        self.plain_cursor(connection).execute(self.sql.RESCHEDULE, (due_at, token))

    def due_scheduled(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[DueRow]:
        """Commands due in these partitions, oldest first, without those whose saga has an event parked. Reads only."""
        marks = self.sql.marks(len(partitions))
        query = self.sql.DUE_SCHEDULED.format(partitions=marks)
        return [DueRow(*row) for row in connection.cursor().execute(query, (now, *partitions, limit)).fetchall()]

    def take_scheduled(self, connection: DbConnection, scheduled_id: int, now: float) -> bool:
        """Delete a command that is due, as the first statement of handling it; false if it no longer is."""
        cursor = connection.cursor()
        cursor.execute(self.sql.TAKE_SCHEDULED, (scheduled_id, now))
        return cursor.rowcount == 1

    def next_due(self, connection: DbConnection) -> float | None:
        """When the next command is due that no parked event holds up. Reads only."""
        return connection.cursor().execute(self.sql.NEXT_SCHEDULED).fetchone()[0]

    def find_saga(self, connection: DbConnection, saga: str, correlation: str) -> SagaRow | None:
        """The instance of a saga for a value, locked where the database locks rows; `None` if there is none."""
        row = connection.cursor().execute(self.sql.FIND_SAGA, (saga, correlation)).fetchone()
        return None if row is None else SagaRow(*row)

    def get_saga(self, connection: DbConnection, saga_id: int) -> SagaRow | None:
        """The same by its number, which no other instance ever has."""
        row = connection.cursor().execute(self.sql.GET_SAGA, (saga_id,)).fetchone()
        return None if row is None else SagaRow(*row)

    def add_saga(
        self, connection: DbConnection, saga: str, correlation: str, version: int, state: bytes, now: float
    ) -> int | None:
        """Begin an instance and make what is parked for it due; `None` if there is one already."""
        cursor = connection.cursor()
        added = cursor.execute(self.sql.ADD_SAGA, (saga, correlation, version, state, now)).fetchone()
        if added is None:
            return None
        cursor.execute(self.sql.WAKE_PARKED_FOR_SAGA, (saga_key(saga, correlation),))
        return added[0]

    def save_saga(self, connection: DbConnection, row: SagaRow, version: int, state: bytes) -> bool:
        """Store a new state; false if the instance is no longer as it was read."""
        cursor = connection.cursor()
        cursor.execute(self.sql.SAVE_SAGA, (version, state, row.id, row.revision))
        return cursor.rowcount == 1

    def end_saga(self, connection: DbConnection, row: SagaRow, now: float) -> bool:
        """End an instance with all its commands, parked ones too; false if it is no longer as it was read.

        That it has ended is remembered, from this machine time on.
        """
        cursor = connection.cursor()
        cursor.execute(self.sql.END_SAGA, (row.id, row.revision))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.REMEMBER_ENDED, (row.saga, row.correlation, now))
        cursor.execute(self.sql.END_TIMEOUTS, (row.id,))
        cursor.execute(self.sql.END_PARKED_TIMEOUTS, (SCHEDULED, saga_key(row.saga, row.correlation)))
        return True

    def has_ended(self, connection: DbConnection, saga: str, correlation: str) -> bool:
        """Whether it is remembered that an instance of a saga for a value has ended. Reads only."""
        return connection.cursor().execute(self.sql.HAS_ENDED, (saga, correlation)).fetchone() is not None

    def forget_ended(self, connection: DbConnection, before: float, limit: int) -> None:
        """Forget instances that ended before this machine time, the first ones first."""
        connection.cursor().execute(self.sql.FORGET_ENDED, (before, limit))

    def calendars(self, connection: DbConnection) -> Mapping[str, str]:
        """The calendars that are active here, and their schedules as text. Reads only."""
        return dict(connection.cursor().execute(self.sql.CALENDARS).fetchall())

    def keep_calendar(self, connection: DbConnection, name: str, schedule: str, renamed_from: str) -> None:
        """Store a calendar's schedule under its present name."""
        cursor = connection.cursor()
        cursor.execute(self.sql.REMOVE_CALENDAR, (renamed_from,))
        cursor.execute(self.sql.SET_CALENDAR, (name, schedule))

    def drop_ticks(self, connection: DbConnection, key: str) -> Sequence[float]:
        """Cancel all scheduled moments of a calendar; return when they were due."""
        return sorted(row[0] for row in connection.cursor().execute(self.sql.DROP_TICKS, (key,)).fetchall())
