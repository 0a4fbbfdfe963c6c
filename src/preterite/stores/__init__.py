"""Databases of components, by URL or by connection; one file per kind, each passing the same suite."""

from __future__ import annotations

from typing import Any

from preterite.errors import ConfigurationError
from preterite.store import Database, Store

__all__ = ["connect", "store_of"]


def connect(url: str) -> Database:
    """The database that a URL names; opens nothing yet."""
    kind = url.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        from preterite.stores.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if kind in ("postgresql", "postgres"):
        from preterite.stores.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise ConfigurationError(
        f"{url.partition('@')[2] or url!r} names no kind of database known here; "
        "known: sqlite:///path, postgresql://user:password@host/database."
    )


def store_of(connection: Any) -> Store:
    """The statements for a connection that the user has brought."""
    given: object = connection
    kind: type = getattr(given, "driver_type", type(given))
    modules = " ".join(base.__module__ for base in kind.__mro__)
    if "sqlite" in modules:
        from preterite.stores.sqlite import SqliteStore

        return SqliteStore()
    if "psycopg" in modules:
        from preterite.stores.postgres import PostgresStore

        return PostgresStore()
    raise ConfigurationError(
        f"A {type(connection).__name__} is no connection known here; give a sqlite3 or psycopg connection, "
        "or a SQLAlchemy session."
    )
