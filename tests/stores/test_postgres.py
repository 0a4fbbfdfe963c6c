"""The PostgreSQL store passes the suite of all stores."""

from collections.abc import Iterator

import postgres
import pytest

from preterite.postgres_server import GuardedConnection
from preterite.store import Database
from preterite.stores.postgres import PostgresDatabase
from preterite.testing.conformance import StoreConformance


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
