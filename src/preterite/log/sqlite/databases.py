"""Which database is each component's, in the file of a SQLite log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

SCHEMA = "CREATE TABLE IF NOT EXISTS log_database (component TEXT PRIMARY KEY, database_id BLOB NOT NULL) STRICT"
_OF = "SELECT database_id FROM log_database WHERE component = ?"
_BIND = "INSERT INTO log_database (component, database_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
_REPLACE = "UPDATE log_database SET database_id = ? WHERE component = ?"


class SqliteDatabases:
    """Writes in transactions that `writing` opens: processes that bind at once take turns. `reading` blocks nobody."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        writing: Callable[[], AbstractContextManager[sqlite3.Cursor]],
    ) -> None:
        self._reading = reading
        self._writing = writing

    def of(self, component: str) -> UUID | None:
        with self._reading() as connection:
            return _of(connection, component)

    def bind(self, component: str, database_id: UUID) -> UUID:
        with self._writing() as cursor:
            cursor.execute(_BIND, (component, database_id.bytes))
            return _of(cursor, component) or database_id

    def replace(self, component: str, database_id: UUID) -> None:
        with self._writing() as cursor:
            cursor.execute(_BIND, (component, database_id.bytes))
            cursor.execute(_REPLACE, (database_id.bytes, component))


def _of(connection: sqlite3.Connection | sqlite3.Cursor, component: str) -> UUID | None:
    found = connection.execute(_OF, (component,)).fetchone()
    return None if found is None else UUID(bytes=found[0])
