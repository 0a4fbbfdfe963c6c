"""Databases of components, by URL or by connection; one file per kind, each passing the same suite."""

from __future__ import annotations

import sys
from typing import Any

from preterite.drivers.extras import needing
from preterite.drivers.sqlite import is_unavailable as sqlite_is_unavailable
from preterite.errors import ConfigurationError, ExtraMissing
from preterite.printing.urls import EXAMPLE, shown
from preterite.store.contract import Database, Store

__all__ = ["connect", "is_unavailable", "store_of"]


def connect(url: str, component: str | None = None) -> Database:
    """The database that a URL names; opens nothing yet. What is wrong with the URL is said of this component."""
    try:
        return _connect(url)
    except ExtraMissing:
        raise
    except ConfigurationError as error:
        if component is None:
            raise
        raise ConfigurationError(f"The URL of component {component!r} is not valid: {error}") from None


def _connect(url: str) -> Database:
    kind = url.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        from preterite.store.sqlite.store import SqliteDatabase

        return SqliteDatabase(url)
    if kind in ("postgresql", "postgres"):
        with needing(f"The database {shown(url)}"):
            from preterite.store.postgres.store import PostgresDatabase

        return PostgresDatabase(url)
    raise ConfigurationError(f"{shown(url)} names no kind of database known here; known: sqlite:///path, {EXAMPLE}.")


def is_unavailable(error: BaseException) -> bool:
    """Whether a database, of whatever kind, is locked, full, read-only or unreachable, and no statement is at fault."""
    postgres = sys.modules.get("preterite.drivers.postgres")
    return sqlite_is_unavailable(error) or (postgres is not None and postgres.is_unavailable(error))


def store_of(connection: Any) -> Store:
    """The statements for a connection that the user has brought."""
    given: object = connection
    kind: type = getattr(given, "driver_type", type(given))
    modules = [base.__module__ for base in kind.__mro__]
    if any("sqlite" in module for module in modules):
        from preterite.store.sqlite.store import SqliteStore

        return SqliteStore()
    # psycopg2 is another driver, whose cursors are used otherwise.
    if any("psycopg" in module and "psycopg2" not in module for module in modules):
        from preterite.store.postgres.store import PostgresStore

        return PostgresStore()
    raise ConfigurationError(
        f"A {type(connection).__name__} is no connection known here; give a sqlite3 or psycopg (version 3) "
        "connection, or a SQLAlchemy session over one. Of Django's connection give connection.connection, after "
        "connection.ensure_connection()."
    )
