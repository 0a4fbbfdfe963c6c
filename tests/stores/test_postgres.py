"""The PostgreSQL store passes the suite of all stores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from support import postgres
from support.processes import PATIENCE_SECONDS, until

from preterite.clock import SystemClock, SystemRandomness
from preterite.drivers.postgres_guard import GuardedConnection
from preterite.errors import Fenced
from preterite.log.contract import Record, Stream
from preterite.publishing.transaction import SessionContext
from preterite.store.contract import Database
from preterite.store.postgres.store import PostgresDatabase
from preterite.store.rows import Fence
from preterite.testing.conformance import StoreConformance
from preterite.testing.conformance.store_steps import IDENTITY, SCHEDULED, outbox_row, publish, take, transaction


class TidyDatabase(PostgresDatabase):
    """Closes at the end what a test has opened: the server counts connections."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.opened: list[GuardedConnection] = []

    def connect(self) -> GuardedConnection:
        self.opened.append(super().connect())
        return self.opened[-1]

    def close(self) -> None:
        super().close()
        for connection in self.opened:
            connection.close()


@pytest.fixture(params=["direct", "behind a pooler"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with postgres.databases(pooled=request.param != "direct") as make:
        database = TidyDatabase(make("sales"))
        yield database
        database.close()


class TestPostgresStore(StoreConformance):
    pass


OWNER = "machine/1/2/33333333-3333-3333-3333-333333333333/host"


def of(owner: str) -> SessionContext:
    return SessionContext(SystemClock(), SystemRandomness(), owner=owner)


def test_what_a_worker_that_lost_its_lease_left_open_is_ended_and_nothing_else(database: Database) -> None:
    """On a bare connection and on a session alike; whoever only stands by, or is another worker, stays."""
    left, other, ours = (database.connect() for _ in range(3))
    left.context, other.context = of(OWNER), of(OWNER.replace("3", "4"))
    for connection in (left, other):
        database.store.begin_batch(connection, isolated=True)
        connection.execute("SELECT 1")
    engine = database.engine(of(OWNER), batch=True)
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        database.store.terminate_sessions(ours, OWNER)
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))
        session.invalidate()
    engine.dispose()
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")

    assert other.execute("SELECT 1").fetchone() == (1,)
    other.rollback()


def test_leases_that_an_open_transaction_has_checked_cannot_be_taken(database: Database) -> None:
    batch, taker = database.connect(), database.connect()
    database.store.migrate(batch)
    with transaction(database.store, batch):
        database.store.bind_identity(batch, IDENTITY)
    fence = Fence({0: take(database.store, batch, "partition/0")}, database.store.handlers(batch)[0])
    database.store.begin_batch(batch, isolated=True)
    database.store.enforce_fence(batch, fence, None)
    database.store.begin(taker)
    taker.cursor().execute("SET LOCAL lock_timeout TO '100ms'")

    with pytest.raises(psycopg.errors.LockNotAvailable):
        take(database.store, taker, "partition/0", "somebody else")


@pytest.fixture
def sales(database: Database) -> GuardedConnection:
    """A connection to the migrated and identified database."""
    connection = database.connect()
    database.store.migrate(connection)
    with transaction(database.store, connection):
        database.store.bind_identity(connection, IDENTITY)
    return connection


def test_a_relay_whose_lease_is_being_taken_waits_and_numbers_nothing(
    database: Database, sales: GuardedConnection
) -> None:
    """Its statement saw the outbox before it waited for the lease; so it must not go by what it saw."""
    lease, taker = take(database.store, sales), database.connect()
    publish(database.store, sales, [outbox_row("a")])
    with ThreadPoolExecutor(1) as pool:
        with transaction(database.store, taker):
            state = next(one for one in database.store.leases(taker) if one.name == lease.name)
            database.store.take_lease(taker, state, "somebody else", SCHEDULED)
            numbering = pool.submit(database.store.number_alone, sales, lease, 0.0, 100)
            until(lambda: waits_for_a_lock(database), "the lease is waited for")
        with pytest.raises(Fenced):
            numbering.result(PATIENCE_SECONDS)

    assert database.store.outbox(sales) == [b"a"]
    assert database.store.stream_numbers(sales)[0].last_number == 0


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_numbers_go_on_from_where_a_stream_is_once_it_is_locked(
    database: Database, sales: GuardedConnection, isolation: str
) -> None:
    """Whatever isolation a database or a role has by default."""
    name, setting = sql.Identifier(sales.info.dbname), sql.Literal(isolation)
    sales.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_isolation TO {}").format(name, setting))
    sales, other = database.connect(), database.connect()
    lease = take(database.store, sales)
    publish(database.store, sales, [outbox_row("a")])
    with ThreadPoolExecutor(1) as pool:
        with transaction(database.store, other):
            database.store.adopt(other, [Record(Stream("sales", 0), "void", 1, 1, b"", b"lost")], 0.0)
            numbering = pool.submit(database.store.number_alone, sales, lease, 0.0, 100)
            until(lambda: waits_for_a_lock(database), "the stream is waited for")
        numbered = numbering.result(PATIENCE_SECONDS)

    assert [(number, envelope) for _, number, _, envelope in numbered] == [(2, b"a")]
    assert database.store.stream_numbers(sales)[0].last_number == 2


def test_numbers_wait_for_the_disk_whatever_the_session_says(database: Database, sales: GuardedConnection) -> None:
    lease = take(database.store, sales)
    sales.execute("SET synchronous_commit TO off")
    publish(database.store, sales, [outbox_row("a")])
    written = sales.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    database.store.number_alone(sales, lease, 0.0, 100)
    flushed = sales.execute("SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", written).fetchone()

    assert flushed == (True,)


def waits_for_a_lock(database: Database) -> bool:
    """Whether any session of this database does; asked outside of transactions, which see one moment only."""
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(database.connect()) as connection:
        return connection.execute(query).fetchone() is not None


@pytest.mark.parametrize("database", ["direct"], indirect=True)
def test_a_waiting_loop_is_not_woken_twice_by_a_notification_of_its_own_process(database: Database) -> None:
    assert isinstance(database, PostgresDatabase)
    other = PostgresDatabase(database.place.conninfo)
    heard, heard_elsewhere, heard_by_other = database.version(), database.version(elsewhere=True), other.version()
    database.notify()
    until(lambda: other.version() != heard_by_other, "the own hint is out")
    other.notify()
    until(lambda: database.version(elsewhere=True) != heard_elsewhere, "the other's is heard")
    other.close()

    assert database.version(elsewhere=True) == heard_elsewhere + 1
    assert database.version() == heard + 2


def test_the_transactions_of_a_batch_are_isolated_and_those_of_users_are_not(database: Database) -> None:
    found: list[str] = []
    for batch in (None, True, False):
        engine = database.engine(of(""), batch=batch)
        with Session(engine) as session:
            found.append(session.execute(text("SHOW transaction_isolation")).scalar_one())
        engine.dispose()

    assert found == ["read committed", "repeatable read", "read committed"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE whole (n int) PARTITION BY LIST (n)",
        "CREATE TABLE heir () INHERITS (plain)",
        "CREATE RULE also AS ON INSERT TO plain DO ALSO INSERT INTO other VALUES (new.n)",
        "CREATE POLICY some_rows ON plain USING (EXISTS (SELECT FROM other))",
    ],
)
def test_partitions_heirs_rules_and_policies_make_tables_depend_on_others(database: Database, statement: str) -> None:
    connection = database.connect()
    connection.execute("CREATE TABLE plain (n int)")
    connection.execute("CREATE TABLE other (n int)")
    before = database.store.has_hidden_dependencies(connection)
    connection.execute(statement)

    assert (before, database.store.has_hidden_dependencies(connection)) == (False, True)
    connection.rollback()
