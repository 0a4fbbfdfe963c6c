"""Where a system under test has its databases: SQLite files, or a PostgreSQL server that `PRETERITE_TEST_URL` names.

On a server each component gets an empty database of its own. They are made once for a process, emptied and used again,
and dropped when it ends.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from preterite.clock import SystemRandomness
from preterite.drivers.extras import needing
from preterite.errors import ConfigurationError
from preterite.printing.urls import EXAMPLE, POSTGRES_SCHEMES, shown

VARIABLE = "PRETERITE_TEST_URL"
"""The environment variable with the URL of a PostgreSQL server, as a role that may create databases."""
_EVERY_SCHEMA = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
_ALL_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


@contextmanager
def empty_databases(names: Iterable[str], folder: Path) -> Generator[Mapping[str, str]]:
    """The URL of an empty database for each name: a file in the folder, or one of the server's until the block ends."""
    url = os.environ.get(VARIABLE)
    if not url:
        yield {name: f"sqlite:///{folder / name}.sqlite" for name in names}
        return
    if url.partition(":")[0] not in POSTGRES_SCHEMES:
        raise ConfigurationError(
            f"{VARIABLE} is {shown(url)}; tests run on a PostgreSQL server, as in {EXAMPLE}, or without it on SQLite."
        )
    pool = _pool(url, os.getpid())
    taken = {name: pool.take() for name in names}
    try:
        yield {name: urlsplit(url)._replace(path=f"/{database}").geturl() for name, database in taken.items()}
    finally:
        pool.give_back(taken.values())


@cache
def _pool(url: str, _process: int) -> _Pool:
    return _Pool(url)


class _Pool:
    """The databases of this process on one server; a process that is forked makes its own."""

    def __init__(self, url: str) -> None:
        with needing(f"A test on {shown(url)}"):
            import psycopg
        self._url = url.replace("+psycopg", "", 1)
        self._process = os.getpid()
        self._connect = psycopg.connect
        self._free: list[str] = []
        self._made: list[str] = []
        atexit.register(self._drop)

    def take(self) -> str:
        """An empty database."""
        if self._free:
            return self._free.pop()
        name = f"preterite_test_{SystemRandomness().uuid().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}"')
        self._made.append(name)
        return name

    def give_back(self, names: Iterable[str]) -> None:
        """Empty these and keep them; what still uses them is disconnected."""
        for name in names:
            with self._connect(self._url, dbname=name, autocommit=True) as connection:
                connection.execute(_ALL_OTHERS, [name])
                schemas: list[Any] = connection.execute(_EVERY_SCHEMA).fetchall()
                connection.execute("; ".join(f'DROP SCHEMA "{schema}" CASCADE' for (schema,) in schemas).encode())
                connection.execute("CREATE SCHEMA public")
            self._free.append(name)

    def _run(self, statement: str) -> None:
        with self._connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _drop(self) -> None:
        if self._process == os.getpid():
            for name in self._made:
                self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
