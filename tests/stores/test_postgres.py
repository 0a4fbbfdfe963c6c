"""The PostgreSQL store passes the suite of all stores."""

from collections.abc import Iterator

import postgres
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from preterite.clock import SystemClock, SystemRandomness
from preterite.postgres_server import GuardedConnection
from preterite.rows import Fence
from preterite.sessions import Binding
from preterite.store import Database
from preterite.stores.postgres import PostgresDatabase
from preterite.testing.conformance import StoreConformance
from preterite.testing.conformance.store_steps import IDENTITY, take, transaction


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


def of(owner: str) -> Binding:
    return Binding(SystemClock(), SystemRandomness(), owner=owner)


def test_what_a_worker_that_lost_its_lease_left_open_is_ended_and_nothing_else(database: Database) -> None:
    """On a bare connection and on a session alike; whoever only stands by, or is another worker, stays."""
    left, other, ours = (database.connect() for _ in range(3))
    left.binding, other.binding = of(OWNER), of(OWNER.replace("3", "4"))
    for connection in (left, other):
        database.store.begin_batch(connection, isolated=True)
        connection.execute("SELECT 1")
    engine = database.engine(of(OWNER), batch=True)
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        database.store.evict(ours, OWNER)
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))
        session.invalidate()
    engine.dispose()
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")

    assert other.execute("SELECT 1").fetchone() == (1,)
    other.rollback()


def test_nobody_takes_over_from_whoever_has_checked_its_leases_and_not_committed_yet(database: Database) -> None:
    batch, taker = database.connect(), database.connect()
    database.store.migrate(batch)
    with transaction(database.store, batch):
        database.store.identify(batch, IDENTITY)
    fence = Fence({0: take(database.store, batch, "partition/0")}, database.store.handlers(batch)[0])
    database.store.begin_batch(batch, isolated=True)
    database.store.check_fence(batch, fence, None)
    database.store.begin(taker)
    taker.cursor().execute("SET LOCAL lock_timeout TO '100ms'")

    with pytest.raises(psycopg.errors.LockNotAvailable):
        take(database.store, taker, "partition/0", "somebody else")


def test_the_transactions_of_a_batch_are_isolated_and_those_of_users_are_not(database: Database) -> None:
    found: list[str] = []
    for batch in (None, True, False):
        engine = database.engine(of(""), batch=batch)
        with Session(engine) as session:
            found.append(session.execute(text("SHOW transaction_isolation")).scalar_one())
        engine.dispose()

    assert found == ["read committed", "repeatable read", "read committed"]
