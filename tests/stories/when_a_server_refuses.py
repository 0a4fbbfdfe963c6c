"""A PostgreSQL server that refuses a role for a while: the worker says it once, waits, and goes on once it may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from support import postgres
from support.any_store import log_place, places, servers_only
from support.processes import until
from support.shop import bills, declare, publish, purchased, texts

from preterite.errors import StoreUnavailable
from preterite.hosting.host import Host
from preterite.operations.status import ComponentStatus

pytestmark = servers_only
ERRORS_MAX = 9
"""Lines for one fault: three loops, each of which meets it in up to three statements."""


@dataclass
class Way:
    """How a role is refused, how that ends, and what the status says."""

    begin: str
    end: str
    says: str


WAYS = {
    "the role has too many connections": Way(
        "alter role {role} connection limit 0", "alter role {role} connection limit -1", "too many connections"
    ),
    "the database has too many connections": Way(
        "alter database {database} connection limit 0",
        "alter database {database} connection limit -1",
        "too many connections",
    ),
    "the database takes no connections": Way(
        "alter database {database} allow_connections false",
        "alter database {database} allow_connections true",
        "not currently accepting connections",
    ),
    "the password is another one": Way(
        "alter role {role} password 'two'", "alter role {role} password 'one'", "password authentication failed"
    ),
    "the role may not log in": Way("alter role {role} nologin", "alter role {role} login", "not permitted to log in"),
    "the server only reads": Way(
        "alter role {role} in database {database} set default_transaction_read_only to on",
        "alter role {role} in database {database} reset default_transaction_read_only",
        "only reads",
    ),
}


@dataclass
class Refusing:
    """A server's administrator, and a role of its own for one database."""

    database: str
    role: str = field(default_factory=lambda: f"test_{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self._admin = psycopg.connect(postgres.ADMIN_URL, autocommit=True)
        self.do("create role {role} login password 'one'")
        self.do("grant all on database {database} to {role}")
        with psycopg.connect(postgres.url_of(self.database)) as connection:
            connection.execute(self._said("grant all on schema public to {role}"))

    @property
    def url(self) -> str:
        return postgres.url_of(self.database).replace(postgres.ADMIN, f"{self.role}:one")

    def do(self, statement: str) -> None:
        self._admin.execute(self._said(statement))

    def end_sessions(self) -> None:
        self._admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [self.role])

    def close(self) -> None:
        self.end_sessions()
        for database in (self.database, "postgres"):
            with psycopg.connect(postgres.url_of(database)) as connection:
                connection.execute(self._said("reassign owned by {role} to current_user"))
                connection.execute(self._said("drop owned by {role}"))
        self.do("drop role {role}")
        self._admin.close()

    def _said(self, statement: str) -> sql.Composed:
        names = {"role": sql.Identifier(self.role), "database": sql.Identifier(self.database)}
        return sql.SQL(statement).format(**names)  # pyright: ignore[reportArgumentType] - written above


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Callable[[str], Refusing]]:
    """By the URL of a database: what refuses its role."""
    made: list[Refusing] = []

    def refusing(url: str) -> Refusing:
        made.append(Refusing(url.rpartition("/")[2]))
        return made[-1]

    yield refusing
    for one in made:
        one.close()


def fault_of(status: ComponentStatus, of: str) -> str:
    return str(status.log_fault if of == "log" else status.fault)


@pytest.mark.parametrize("of", ["finance", "log"])
@pytest.mark.parametrize("way", WAYS)
def test_the_status_says_why_one_line_is_logged_and_it_goes_on(
    way: str,
    of: str,
    refusing: Callable[[str], Refusing],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("preterite.hosting.host.BACKOFF_SECONDS_MAX", 0.1)
    shop, urls = declare(), {**places(tmp_path, ("sales", "finance")), "log": log_place(tmp_path)}
    server = refusing(urls[of])
    urls[of] = server.url
    log = urls.pop("log")
    opened = shop.system.open(databases=urls, log=log, create_tables=True)
    with closing(opened), Host(opened.runtime):
        publish(opened, shop.sales, purchased("a"))
        until(lambda: bills(opened, shop.finance) == texts("a"), "it works")
        server.do(WAYS[way].begin)
        server.end_sessions()
        publish(opened, shop.sales, purchased("b"))
        until(lambda: WAYS[way].says in fault_of(opened.status()["finance"], of), "the status says why")
        until(lambda: WAYS[way].says in caplog.text or "read-only transaction" in caplog.text, "it is logged")
        server.do(WAYS[way].end)
        until(lambda: bills(opened, shop.finance) == texts("a", "b"), "it goes on")

    assert sum(record.levelname == "ERROR" for record in caplog.records) <= ERRORS_MAX


def test_a_role_that_lacks_a_right_keeps_no_other_component_from_opening(
    refusing: Callable[[str], Refusing], tmp_path: Path
) -> None:
    shop, urls, log = declare(), places(tmp_path, ("sales", "finance")), log_place(tmp_path)
    shop.system.open(databases=urls, log=log, create_tables=True).close()
    server = refusing(urls["finance"])
    with closing(shop.system.open(databases={**urls, "finance": server.url}, log=log)) as opened:
        publish(opened, shop.sales, purchased("a"))
        fault = str(opened.status()["finance"].fault)
        with pytest.raises(StoreUnavailable, match="lacks a right"), opened.session(shop.finance):
            raise AssertionError("it opens")

    assert "permission denied" in fault
