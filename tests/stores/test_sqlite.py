"""The SQLite store passes the suite of all stores."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from preterite import stores
from preterite.log import Cursor
from preterite.rows import HandlerRegistration
from preterite.store import Database
from preterite.stores.sqlite import statements_of
from preterite.testing.conformance import StoreConformance
from preterite.testing.conformance.store_steps import FINANCE, IDENTITY, parked, transaction


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

    def test_a_database_of_the_first_version_is_brought_up_to_date_with_what_is_in_it(self, database: Database) -> None:
        connection: Any = database.connect()
        self._make_first_version(connection, ["bill"])
        before = database.store.is_migrated(connection)
        database.store.migrate(connection)
        rows = database.store.list_parked(connection, ["parked"], 10)

        assert not before
        assert database.store.is_migrated(connection)
        assert database.store.identity(connection) == IDENTITY
        assert [(row.record.number, row.handler, row.saga, row.original, row.replay) for row in rows] == [
            (5, "bill", None, None, None)
        ]
        assert database.store.cursors(connection)[FINANCE].cursor.number == 4
        assert database.store.counts(connection, 0.0, 0.0).later == 0

    def _make_first_version(self, connection: Any, handlers: Sequence[str]) -> None:
        """The tables of the first script, with an identity, a cursor, handlers, and an event parked."""
        script = resources.files("preterite.stores").joinpath("schema", "sqlite", "0001_initial.sql")
        store = stores.store_of(connection)
        with transaction(store, connection):
            for statement in statements_of(script.read_text(encoding="utf-8")):
                connection.execute(statement)
            connection.execute("insert into preterite_migration values (1)")
            store.identify(connection, IDENTITY)
            store.start_cursors(connection, {FINANCE: Cursor(4, b"", 1)})
            registrations = [HandlerRegistration(name, "finance.Event", "") for name in handlers]
            store.register_handlers(connection, registrations, {}, 0.0)
            record = parked(5).record
            connection.execute(
                "insert into preterite_parked (handler, lane_group, publisher, partition, number, epoch, kind,"
                " event_id, key, type, envelope, state, attempts, running, due_at)"
                " values ('bill', '', ?, ?, 5, 1, 'event', ?, 'anna', 'finance.Event', x'7b7d', 'parked', 1, 0, 0)",
                (*record.stream, record.event_id),
            )
