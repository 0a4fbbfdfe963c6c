"""What is recorded runs as if nothing recorded it, whatever the statement, the driver or the connection is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from support.sql_statements import damaged

from preterite import Component, System
from preterite.checks.recording import Recorder, recording
from preterite.checks.sql.databases import database_at, database_of

SALES = Component("sales", tables="create table purchase (id text)")
SYSTEM = System("shop", [SALES])
STATEMENTS = (
    "select 1", "create table t (a)", "insert into t values (1), (2)", "select * from t", "selct", "", ";", "select '",
    "begin", "commit", "attach ':memory:' as x", "select 1; select 2", "select ?1", "select :a", "-- nothing",
    "do $$ begin delete from purchase; end $$", "set search_path to finance", "select \0", "select '\ud800'",
    "select " + "(" * 500 + "1" + ")" * 500,
)  # fmt: skip


def ran(run: Callable[[str], Any], texts: tuple[str, ...]) -> list[str]:
    """What comes of each statement: its rows, or the kind of failure."""
    came: list[str] = []
    for text in texts:
        try:
            came.append(repr(run(text)))
        except Exception as error:
            came.append(f"{type(error).__name__}: {error}")
    return came


@contextmanager
def raw() -> Generator[Callable[[str], Any]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield lambda text: connection.execute(text).fetchall()


@contextmanager
def engine() -> Generator[Callable[[str], Any]]:
    made = create_engine("sqlite://", poolclass=StaticPool)
    with made.connect() as connection:

        def run(text: str) -> Any:
            found = connection.exec_driver_sql(text)
            return found.fetchall() if found.returns_rows else None

        yield run
    made.dispose()


WAYS = {"sqlite3": raw, "SQLAlchemy": engine}


@pytest.mark.parametrize("way", WAYS)
def test_every_statement_of_a_component_ends_as_it_does_unrecorded(way: str) -> None:
    with WAYS[way]() as run:
        expected = ran(run, STATEMENTS)
    with recording(SYSTEM, {}) as recorder, WAYS[way]() as run:
        found = ran(run, STATEMENTS)

    assert found == expected
    assert recorder.statements > 5, "they were recorded"
    assert recorder.faults == {}


@given(damaged())
def test_a_damaged_statement_ends_as_it_does_unrecorded(text: str) -> None:
    with raw() as run:
        expected = ran(run, (text,))
    with recording(SYSTEM, {}) as recorder, raw() as run:
        assert ran(run, (text,)) == expected
    assert recorder.faults == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error", [TypeError("x"), RecursionError(), MemoryError(), UnicodeDecodeError("a", b"", 0, 1, "")]
)
def test_a_recorder_that_fails_is_a_finding_and_disturbs_nobody(
    way: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    for name in ("ran", "connected", "published", "opened"):
        monkeypatch.setattr(Recorder, name, fail)
    with recording(SYSTEM) as recorder, WAYS[way]() as run:
        run("select 1")

    assert [one.key for one in recorder.findings()] == [f"statement-not-recorded::{type(error).__name__}:ran"]


def deep(depth: int, run: Callable[[], Any]) -> Any:
    return run() if depth == 0 else deep(depth - 1, run)


def test_a_stack_that_is_almost_used_up_is_enough_for_a_statement() -> None:
    """The recorder needs more of the stack than SQLite does; where it has less, that is counted."""
    with recording(SYSTEM) as recorder, raw() as run:
        reached = 0
        for depth in range(0, 2_000, 7):
            try:
                assert deep(depth, lambda: run("select 1")) == [(1,)]
            except RecursionError:
                break
            reached = depth

    assert reached > 100
    assert set(recorder.faults) <= {"RecursionError"}


def test_a_statement_is_counted_once_whatever_layers_it_passes() -> None:
    with recording(SYSTEM) as recorder, engine() as run:
        before = recorder.statements
        run("select 1")

    assert recorder.statements - before == 1


def test_a_statement_beside_the_layers_is_counted_too() -> None:
    with recording(SYSTEM) as recorder:
        made = create_engine("sqlite://", poolclass=StaticPool)
        with made.connect() as connection:
            with pytest.raises(Exception, match="syntax"):
                connection.exec_driver_sql("selct")
            connection.exec_driver_sql("select 1")
            before = recorder.statements
            raw_connection: Any = connection.connection.driver_connection
            raw_connection.execute("select 2")
            assert recorder.statements - before == 1
        made.dispose()


HOSTS = st.sampled_from(
    ["localhost", "", "db", "::1", "127.0.0.1", "/var/run/postgresql", "db1,db2", "a b", "u@h", "h?x#y", "[", "é"]
)
TEXTS = st.sampled_from(["", "shop", "a/b c?x", "p@ss", "'", "\\", "postgresql://x/y", "é"])


@given(HOSTS, st.sampled_from(["", "5432", "1,2", "x", "99999"]), TEXTS, TEXTS)
def test_a_connection_of_any_shape_is_opened_by_psycopg(host: str, port: str, database: str, user: str) -> None:
    parts = {"host": host, "port": port, "dbname": database, "user": user}
    conninfo = make_conninfo("", **parts)

    def connect(_: object, *given: Any, **named: Any) -> Any:
        return given, named

    of_the_class: Any = classmethod
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(psycopg.Connection, "connect", of_the_class(connect))
        with recording(SYSTEM) as recorder:
            opened: list[Any] = [psycopg.connect(conninfo), psycopg.connect("", **parts)]  # pyright: ignore[reportArgumentType]

    assert opened == [((conninfo,), {}), (("",), parts)]
    assert recorder.faults == {}


@pytest.mark.parametrize(
    ("url", "hosts", "ports", "database"),
    [
        ("postgresql://u:p@db:5433/shop", "db", "5433", "shop"),
        ("postgresql:///shop", "", "", "shop"),
        ("postgresql://localhost/shop", "127.0.0.1", "5432", "shop"),
        ("postgresql://[::1]:5/shop", "::1", "5", "shop"),
        ("postgresql://%2Fvar%2Frun/shop", "/var/run", "", "shop"),
        ("postgresql://a:1,b:2/shop", "a,b", "1,2", "shop"),
        ("postgresql://a,b/shop", "a,b", "", "shop"),
        ("postgresql://a/s%20hop", "a", "", "s hop"),
    ],
)
def test_a_database_is_known_by_its_url_and_by_its_conninfo(url: str, hosts: str, ports: str, database: str) -> None:
    assert database_at(hosts, ports, database) == database_of(url)
