"""Databases of their own on the PostgreSQL server that `scripts/servers` has started.

Without a server these tests are skipped, with one visible line; where PRETERITE_TEST_SERVERS=required they fail.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from support import tiers

HOST = "127.0.0.1"
PORT = os.environ.get("PRETERITE_POSTGRES_PORT", "54321")
POOLER_PORT = os.environ.get("PRETERITE_PGBOUNCER_PORT", "54322")
ADMIN = "postgres:preterite"
ADMIN_URL = f"postgresql://{ADMIN}@{HOST}:{PORT}/postgres"
CONNECT_SECONDS = 3

MakeDatabase = Callable[[str], str]


@cache
def absent() -> str | None:
    """Why the server cannot be used; nothing if it can."""
    try:
        psycopg.connect(ADMIN_URL, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        return f"no PostgreSQL on port {PORT} (scripts/servers start): {str(error).strip().splitlines()[0]}"
    return None


def require() -> None:
    """Skip the test without a server, or fail it where one is required or the test is in the quick tier."""
    tiers.slow_only(tiers.POSTGRES)
    reason = absent()
    if reason is not None and os.environ.get("PRETERITE_TEST_SERVERS") == "required":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def drop_schemas(connection: psycopg.Connection[Any]) -> None:
    """Remove everything that is in a database."""
    found = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    ).fetchall()
    for (schema,) in found:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


class _Pool:
    """Databases that are emptied and used again: making one takes as long as a hundred tests."""

    def __init__(self) -> None:
        self._admin = psycopg.connect(ADMIN_URL, autocommit=True)
        self._free: list[str] = []
        self._made: list[str] = []
        atexit.register(self._remove)

    def take(self) -> str:
        if self._free:
            return self._emptied(self._free.pop())
        self._made.append(f"test_{os.getpid()}_{uuid4().hex[:8]}")
        self._admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._made[-1])))
        return self._made[-1]

    def give_back(self, names: Iterable[str]) -> None:
        self._free += names

    def _emptied(self, name: str) -> str:
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )
        self._admin.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
        with psycopg.connect(url_of(name), autocommit=True) as connection:
            drop_schemas(connection)
            connection.execute("CREATE SCHEMA public")
        return name

    def _remove(self) -> None:
        with suppress(psycopg.Error):
            for name in self._made:
                self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self._admin.close()


@cache
def _pool() -> _Pool:
    return _Pool()


def url_of(database: str, *, pooled: bool = False) -> str:
    """The URL of a database, as the server's administrator reaches it."""
    return f"postgresql://{ADMIN}@{HOST}:{POOLER_PORT if pooled else PORT}/{database}"


@contextmanager
def databases(*, pooled: bool = False) -> Generator[MakeDatabase]:
    """Gives empty databases by name; the same name gives the same URL again, until the end."""
    require()
    taken: dict[str, str] = {}

    def make(name: str) -> str:
        if name not in taken:
            taken[name] = _pool().take()
        return url_of(taken[name], pooled=pooled)

    try:
        yield make
    finally:
        _pool().give_back(taken.values())
