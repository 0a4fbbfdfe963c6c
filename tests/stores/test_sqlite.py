"""The SQLite store passes the suite of all stores."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preterite.drivers.sqlite_guard import GuardedConnection
from preterite.store.contract import Database
from preterite.store.rows import RunningHandler, Script
from preterite.store.sqlite.store import SqliteDatabase, SqliteStore
from preterite.testing.conformance import StoreConformance
from preterite.testing.conformance.store_steps import IDENTITY, parked, transaction


class TidyDatabase(SqliteDatabase):
    """Closes at the end what a test has opened: Python 3.13 and newer complain of what is not."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.opened: list[GuardedConnection] = []

    def connect(self) -> GuardedConnection:
        self.opened.append(super().connect())
        return self.opened[-1]

    def close(self) -> None:
        for connection in self.opened:
            connection.close()


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        database = TidyDatabase(f"sqlite:///{tmp_path}/sales.sqlite")
        yield database
        database.close()

    def test_the_schema_version_that_users_keep_in_the_file_is_theirs(self, database: Database) -> None:
        connection: Any = database.connect()
        connection.execute("pragma user_version=7")
        database.store.migrate(connection)
        database.store.migrate(connection)

        assert connection.execute("pragma user_version").fetchone()[0] == 7

    def test_a_database_of_an_older_version_is_brought_up_to_date_with_what_is_in_it(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection: Any = database.connect()
        store: Any = database.store
        store.migrate(connection)
        with transaction(store, connection):
            store.bind_identity(connection, IDENTITY)
            store.park(connection, [parked(5)])
        newer: list[Script] = [
            *store.scripts(),
            Script(2, "0002_more.sql", "ALTER TABLE preterite_parked ADD COLUMN more TEXT;"),
        ]

        def scripts(_store: object) -> list[Script]:
            return newer

        monkeypatch.setattr(SqliteStore, "scripts", scripts)
        before = store.is_migrated(connection)
        store.migrate(connection)
        rows = store.list_parked(connection, ["parked"], 10)

        assert not before
        assert store.is_migrated(connection)
        assert store.schema_version(connection) == 2
        assert store.identity(connection) == IDENTITY
        assert [row.record.number for row in rows] == [5]
        assert connection.execute("select more from preterite_parked").fetchall() == [(None,)]

    def test_a_note_beside_the_file_is_its_owners_only_and_a_damaged_one_is_none(
        self, database: Database, tmp_path: Path
    ) -> None:
        beside = tmp_path / "sales.sqlite-running"
        connection: Any = database.connect()
        database.note_running(RunningHandler("me", "bill", 2.0), 100.0, 6.0)
        mode = stat.S_IMODE(beside.stat().st_mode)
        database.forget_running("another")
        kept = list(database.running(connection, 100.0))
        for text in ("", "[]", '{"owner": "me"}', '{"until": "x"}', "\x00"):
            beside.write_text(text)
            assert list(database.running(connection, 100.0)) == []
        database.note_running(RunningHandler("me", "bill", 2.0), 100.0, 6.0)
        database.forget_running("me")

        assert (mode, kept, beside.exists()) == (0o600, [RunningHandler("me", "bill", 2.0)], False)
        assert [path.name for path in tmp_path.glob("*running*")] == []
