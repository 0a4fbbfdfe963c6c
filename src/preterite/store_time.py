"""The part of a component's database that keeps what is to come: commands, sagas, calendars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from preterite.rows import DbConnection, DueRow, LaterRow, SagaRow


class TimeStore(Protocol):
    """What a `Store` keeps of the future. Methods write and run in a transaction, unless they say otherwise."""

    def add_later(self, connection: DbConnection, rows: Sequence[LaterRow]) -> None:
        """Let commands wait for their time; one that waits already under its token stays as it is."""
        ...

    def cancel_later(self, connection: DbConnection, token: bytes) -> None:
        """Take back a command that waits, also one that has failed and waits to be run again."""
        ...

    def move_later(self, connection: DbConnection, token: bytes, due_at: float) -> None:
        """Let a command that waits for its time wait for another."""
        ...

    def due_later(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[DueRow]:
        """Commands due in these partitions, oldest first, but those whose saga has an event parked. Reads only."""
        ...

    def take_later(self, connection: DbConnection, later_id: int, now: float) -> bool:
        """Delete a command that is due, as the first statement of handling it; false if it no longer is."""
        ...

    def next_due(self, connection: DbConnection) -> float | None:
        """When the next command is due that nothing holds up. Reads only."""
        ...

    def find_saga(self, connection: DbConnection, saga: str, correlation: str) -> SagaRow | None:
        """The instance of a saga for a value, locked where the database locks rows; nothing if there is none."""
        ...

    def get_saga(self, connection: DbConnection, saga_id: int) -> SagaRow | None:
        """The same by its number, which no other instance ever has."""
        ...

    def add_saga(
        self, connection: DbConnection, saga: str, correlation: str, version: int, state: bytes, now: float
    ) -> int | None:
        """Begin an instance and let what is parked for it be due; nothing if there is one already."""
        ...

    def save_saga(self, connection: DbConnection, row: SagaRow, version: int, state: bytes) -> bool:
        """Keep a new state; false if the instance is no longer as it was read."""
        ...

    def end_saga(self, connection: DbConnection, row: SagaRow) -> bool:
        """End an instance with all its commands, parked ones too; false if it is no longer as it was read."""
        ...

    def calendars(self, connection: DbConnection) -> Mapping[str, str]:
        """The calendars that go on here, and their schedules as text. Reads only."""
        ...

    def keep_calendar(self, connection: DbConnection, name: str, schedule: str, formerly: str) -> None:
        """Note a calendar's schedule, and the name it has now."""
        ...

    def drop_ticks(self, connection: DbConnection, key: str) -> Sequence[float]:
        """Take back all moments of a calendar that wait; return when they were due."""
        ...
