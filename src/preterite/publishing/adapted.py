"""A connection of an asyncio driver, as the statements of a store use it from inside `run_sync`."""

from __future__ import annotations

from typing import Any


class AdaptedConnection:
    """SQLAlchemy's plain face of an asyncio driver, with cursors that behave like a DB-API driver's."""

    def __init__(self, adapted: Any) -> None:
        self._adapted = adapted

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection, whose methods are awaited."""
        return self._adapted.driver_connection

    @property
    def driver_type(self) -> type:
        """The driver's own connection is of this type."""
        driver: object = self._adapted.driver_connection
        return type(driver)

    def __getattr__(self, name: str) -> Any:
        # The state of a driver's connection: whether it is in a transaction, closed, and how it begins.
        return getattr(self._adapted.driver_connection, name)

    def cursor(self) -> AdaptedCursor:
        """A cursor on it."""
        return AdaptedCursor(self._adapted.cursor())

    def commit(self) -> None:
        """Commit its transaction."""
        self._adapted.commit()

    def rollback(self) -> None:
        """Roll its transaction back."""
        self._adapted.rollback()


class AdaptedCursor:
    """A cursor whose `execute` returns itself, as sqlite3's does."""

    def __init__(self, adapted: Any) -> None:
        self._adapted = adapted

    @property
    def rowcount(self) -> int:
        """How many rows the last statement has changed."""
        return self._adapted.rowcount

    def execute(self, sql: str, *parameters: Any, **options: Any) -> AdaptedCursor:
        """Run a statement."""
        self._adapted.execute(sql, *parameters, **options)
        return self

    def executemany(self, sql: str, parameters: Any) -> AdaptedCursor:
        """Run a statement for each of these."""
        self._adapted.executemany(sql, list(parameters))
        return self

    def fetchone(self) -> Any:
        """The next row, if there is one."""
        return self._adapted.fetchone()

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._adapted.fetchall())
