"""The SQLite store passes the suite of all stores."""

from pathlib import Path
from typing import Any

import pytest

from preterite import stores
from preterite.store import Database
from preterite.testing.conformance import StoreConformance


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return stores.connect(f"sqlite:///{tmp_path}/sales.sqlite")

    def test_the_schema_version_that_users_keep_in_the_file_is_theirs(self, database: Database) -> None:
        connection: Any = database.connect()
        connection.execute("pragma user_version=7")
        database.store.migrate(connection)
        database.store.migrate(connection)

        assert connection.execute("pragma user_version").fetchone()[0] == 7
