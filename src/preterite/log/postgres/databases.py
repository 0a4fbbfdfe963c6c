"""Which database is each component's, on a PostgreSQL log. A component's role may write it once, for that component."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import psycopg

from preterite.drivers.postgres_place import first_line
from preterite.errors import ConfigurationError
from preterite.log.postgres.rights import owners_only

_OF = "SELECT database_id FROM preterite_log.database WHERE component = %s"
_BIND = "INSERT INTO preterite_log.database (component, database_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_REPLACE = """
INSERT INTO preterite_log.database (component, database_id) VALUES (%s, %s)
ON CONFLICT (component) DO UPDATE SET database_id = excluded.database_id
"""


class PostgresDatabases:
    """Reads on the connection that `connected` gives, and writes in transactions that `writing` opens."""

    def __init__(
        self,
        connected: Callable[[], AbstractContextManager[Any]],
        writing: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._connected = connected
        self._writing = writing

    def of(self, component: str) -> UUID | None:
        with self._connected() as connection:
            return _of(connection, component)

    def bind(self, component: str, database_id: UUID) -> UUID:
        try:
            with self._writing() as cursor:
                cursor.execute(_BIND, (component, database_id.bytes))
                # A row that another transaction has put there is seen by the next statement.
                return _of(cursor, component) or database_id
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"The role of the log's URL may not act for {component!r} ({first_line(error)}); nothing was written. "
                "Check the log's URL, or run preterite provision for this component."
            ) from None

    def replace(self, component: str, database_id: UUID) -> None:
        with owners_only(), self._writing() as cursor:
            cursor.execute(_REPLACE, (component, database_id.bytes))


def _of(connection: Any, component: str) -> UUID | None:
    found = connection.execute(_OF, (component,)).fetchone()
    return None if found is None else UUID(bytes=found[0])
