"""One PostgreSQL database: settings that lose commits are refused, a pooler is noticed, errors are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from support import postgres

from preterite import store as stores
from preterite.drivers import postgres as postgres_server
from preterite.drivers import postgres_guard
from preterite.drivers.postgres import connect, promise
from preterite.drivers.postgres_guard import GuardedConnection
from preterite.drivers.postgres_place import place_of, secrecy
from preterite.errors import ConfigurationError, HandlerEndedTransaction, NotDurable, StoreUnavailable


@pytest.fixture
def url() -> Iterator[str]:
    with postgres.databases() as make:
        yield make("sales")


@pytest.fixture
def connection(url: str) -> Iterator[GuardedConnection]:
    opened = connect(place_of(url))
    yield opened
    opened.close()


@pytest.mark.parametrize("wrong", ["mysql://host/shop", "postgresql://host", "postgresql://host/"])
def test_what_names_no_database_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="names no PostgreSQL database"):
        place_of(wrong)


def test_a_password_is_never_shown() -> None:
    assert place_of("postgresql+psycopg://anna:secret@host:5432/shop?sslmode=require").shown == (
        "postgresql://anna@host:5432/shop"
    )


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        connect(place_of("postgresql://anna:secret@127.0.0.1:1/shop"))


@pytest.mark.slow("PostgreSQL")
def test_it_reports_which_promise_holds(connection: GuardedConnection) -> None:
    assert "commits survive power failure" in promise(connection)


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("setting", ["synchronous_commit"])
def test_a_setting_under_which_commits_are_lost_is_refused(url: str, setting: str) -> None:
    name = sql.Identifier(urlsplit(url).path.strip("/"))
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET {} TO off").format(name, sql.Identifier(setting)))
        try:
            with pytest.raises(NotDurable, match=f"{setting}=off"):
                stores.connect(url).promise()
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(name, sql.Identifier(setting)))


@pytest.mark.slow("PostgreSQL")
def test_a_transaction_waits_for_the_disk_whatever_its_session_says(connection: GuardedConnection) -> None:
    connection.execute("SET synchronous_commit TO off")
    postgres_server.run(connection, postgres_server.BEGIN)
    inside = connection.execute("SHOW synchronous_commit").fetchone()
    connection.rollback()

    assert inside == ("on",)


@pytest.mark.slow("PostgreSQL")
def test_a_pooler_is_noticed_and_nothing_is_left_on_its_sessions() -> None:
    with postgres.databases(pooled=True) as make:
        opened = connect(place_of(make("sales")))
        pooled, prepares = opened.pooled, opened.prepare_threshold
        opened.close()

    assert (pooled, prepares) == (True, None)


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize(
    "harmless",
    [
        "SELECT 'commit; rollback'",
        "SELECT 1 -- ; commit",
        "SELECT 1 /* ; commit */",
        'SELECT 1 AS "; commit"',
        "ROLLBACK TO SAVEPOINT part",
        "DO $$ BEGIN PERFORM 1; END $$",
        b"SELECT 1",
    ],
)
def test_a_guarded_connection_lets_through_what_ends_nothing(connection: GuardedConnection, harmless: Any) -> None:
    postgres_server.run(connection, postgres_server.BEGIN)
    connection.execute("SAVEPOINT part")
    with connection.guarding():
        connection.execute(harmless, prepare=False)
    connection.rollback()


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize(
    "ending",
    [
        "SELECT 1; COMMIT",
        "/* a */ commit",
        "-- a\nROLLBACK",
        "abort",
        "start transaction",
        "PREPARE TRANSACTION 'a'",
        b"END",
    ],
)
@pytest.mark.rule(9)
def test_a_guarded_connection_refuses_what_ends_the_transaction(connection: GuardedConnection, ending: Any) -> None:
    postgres_server.run(connection, postgres_server.BEGIN)
    with connection.guarding(), pytest.raises(HandlerEndedTransaction):
        connection.execute(ending, prepare=False)
    connection.rollback()


@pytest.mark.slow("PostgreSQL")
@pytest.mark.rule(9)
@pytest.mark.parametrize("kind", [psycopg.AsyncCursor, psycopg.AsyncClientCursor, psycopg.AsyncRawCursor])
def test_a_guarded_connection_for_asyncio_refuses_it_whatever_its_cursors_are_and_do(url: str, kind: Any) -> None:
    async def end_by_each_way() -> int:
        refused = 0
        async with await postgres_server.connect_async(place_of(url)) as opened:
            opened.cursor_factory = kind
            await opened.execute("BEGIN")
            with opened.guarding():
                for way in ("execute", "executemany", "stream", "copy"):
                    try:
                        await _use(opened.cursor(), way)
                    except HandlerEndedTransaction:
                        refused += 1
            await opened.rollback()
        return refused

    assert asyncio.run(end_by_each_way()) == 4


async def _use(cursor: Any, way: str) -> None:
    if way == "stream":
        async for _ in cursor.stream("COMMIT"):
            pass
    elif way == "copy":
        async with cursor.copy("COMMIT"):
            pass
    else:
        await getattr(cursor, way)("COMMIT", *([[()]] if way == "executemany" else []))


@pytest.mark.slow("PostgreSQL")
@pytest.mark.rule(9)
def test_a_transaction_that_was_ended_all_the_same_is_noticed(connection: GuardedConnection) -> None:
    """By a way around the guard: the mark that the batch has set went with its transaction."""
    postgres_server.run(connection, postgres_server.BEGIN_BATCH)
    before = postgres_server.is_in_batch(connection)
    connection.pgconn.exec_(b"COMMIT; BEGIN")

    assert (before, postgres_server.is_in_batch(connection)) == (True, False)
    assert not postgres_server.commit_batch(connection)
    connection.rollback()


@pytest.mark.slow("PostgreSQL")
def test_a_hint_that_fails_after_it_began_leaves_the_connection_as_it_was(connection: GuardedConnection) -> None:
    postgres_server.notify(connection, "somebody; SELECT 1 / 0")
    postgres_server.settle(connection)

    assert not postgres_guard.is_in_transaction(connection)
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow("PostgreSQL")
def test_a_batch_that_is_still_open_is_committed(connection: GuardedConnection) -> None:
    connection.execute("CREATE TABLE kept (x integer)")
    postgres_server.run(connection, postgres_server.BEGIN_BATCH)
    connection.execute("INSERT INTO kept VALUES (1)")

    assert postgres_server.commit_batch(connection)
    assert not postgres_guard.is_in_transaction(connection)
    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


@pytest.mark.slow("PostgreSQL")
def test_errors_are_distinguished(connection: GuardedConnection, url: str) -> None:
    with pytest.raises(psycopg.Error) as mistake:
        connection.execute("SELECT nothing")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(psycopg.Error) as gone:
        connection.execute("SELECT 1")
    found = [
        (postgres_server.is_unavailable(error), postgres_server.is_conflict(error))
        for error in (
            mistake.value,
            gone.value,
            psycopg.errors.SerializationFailure(),
            psycopg.errors.DeadlockDetected(),
        )
    ]

    assert found == [(False, False), (True, False), (False, True), (False, True)]


@pytest.mark.parametrize(
    ("ssl_in_use", "host", "address", "warns"),
    [
        (False, "db.example", "10.0.0.7", True),
        (False, "10.0.0.7", "", True),
        (False, "db.example", "", True),
        (True, "db.example", "10.0.0.7", False),
        (False, "127.0.0.1", "", False),
        (False, "::1", "::1", False),
        (False, "localhost", "127.0.0.1", False),
        (False, "/var/run/postgresql", "", False),
        (False, "db.example", "127.0.0.2", False),
    ],
)
def test_a_promise_says_that_a_connection_over_a_network_has_no_tls(
    *, ssl_in_use: bool, host: str, address: str, warns: bool
) -> None:
    assert ("WITHOUT TLS" in secrecy(ssl_in_use, host, address)) == warns


@pytest.mark.slow("PostgreSQL")
def test_a_connection_that_was_left_in_a_pipeline_is_of_no_use(connection: GuardedConnection) -> None:
    pipeline = connection.pipeline()
    pipeline.__enter__()
    during = postgres_server.is_dropped(connection)
    pipeline.__exit__(None, None, None)

    assert (during, postgres_server.is_dropped(connection)) == (True, False)
