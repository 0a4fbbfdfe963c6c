"""A component's database as a SQLite file, and its dialect.

SQLite has one writer at a time, and every transaction here begins as a writer. So what PostgreSQL needs
locks for (numbering, claiming) is serialised already; owner, epoch and expected values are checked all the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preterite.drivers import sqlite as sqlite_file
from preterite.drivers.sqlite_guard import GuardedConnection, was_raised_by
from preterite.errors import StoreUnavailable
from preterite.printing.raised import original_of
from preterite.printing.urls import shown
from preterite.store.contract import Database, Store, TableChange
from preterite.store.rows import DbConnection, RunningHandler, StoreIdentity
from preterite.store.sql.statements import Statements
from preterite.store.sqlite import running as notes

_MARK = "preterite_unit_of_work"
_CLOSED = (sqlite3.ProgrammingError, ValueError)
"""What the drivers raise on a connection that was closed; the second one is aiosqlite's."""


class SqliteDatabase:
    """One component's SQLite file."""

    def __init__(self, url: str) -> None:
        self.url = shown(url)
        self.store = SqliteStore()
        self.path = sqlite_file.path_of(url)
        self._was_opened = False

    def exists(self) -> bool:
        return sqlite_file.exists(self.path)

    def answers(self) -> bool:
        return False

    def connect(self) -> GuardedConnection:
        self._require_file()
        connection = sqlite_file.open_file(self.path)
        self._was_opened = True
        return connection

    @property
    def connection_type(self) -> type:
        return GuardedConnection

    def engine(self, context: Any, *, batch: bool | None = None) -> Any:
        from preterite.store.sqlite import engine as sqlite_engine

        return sqlite_engine.engine(self.connect, context)

    def async_engine(self, context: Any, *, batch: bool | None = None) -> Any:
        from preterite.store.sqlite import engine as sqlite_engine

        return sqlite_engine.async_engine(self.path, context, self._require_file)

    def reading_engine(self, context: Any) -> Any:
        from preterite.store.sqlite import engine as sqlite_engine

        return sqlite_engine.engine(self.connect, context, reading=True)

    def create_tables(self, tables: str) -> None:
        connection = self.connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements_of(tables):
                try:
                    connection.execute(statement)
                except sqlite3.OperationalError as error:
                    if "already exists" not in str(error):
                        raise
            connection.commit()
        finally:
            connection.close()

    def copy(self, path: Path) -> SqliteDatabase:
        source, target = self.connect(), sqlite3.connect(path)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()
        return SqliteDatabase(f"sqlite:///{path}")

    def differences(self, other: Database) -> Mapping[str, TableChange]:
        assert isinstance(other, SqliteDatabase), "a copy is of the same kind"
        connection = self.connect()
        try:
            connection.execute("ATTACH ? AS other", (str(other.path),))
            tables = [row[0] for row in connection.execute(self.store.sql.OWN_TABLES).fetchall()]
            found = {
                table: TableChange(
                    self._rows_added(connection, table, "other", "main"),
                    self._rows_added(connection, table, "main", "other"),
                )
                for table in tables
            }
        finally:
            connection.close()
        return {table: change for table, change in found.items() if change != (0, 0)}

    def _rows_added(self, connection: sqlite3.Connection, table: str, one: str, two: str) -> int:
        """How many rows of a table are in one database and not in the other; equal ones count each."""
        names = [row[0] for row in connection.execute(self.store.sql.COLUMNS, (table,)).fetchall()]
        columns = ", ".join('"{}"'.format(name.replace('"', '""')) for name in names)
        statement = self.store.sql.ROWS_ADDED.format(columns=columns, table=table, one=one, two=two)
        return connection.execute(statement).fetchone()[0]

    def promise(self) -> str:
        connection = self.connect()
        try:
            return sqlite_file.promise(connection)
        finally:
            connection.close()

    def version(self, *, elsewhere: bool = False) -> int:
        return sqlite_file.changes(self.path)

    def notify(self) -> None:
        # The file itself shows that it has changed.
        pass

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        pass

    def _require_file(self) -> None:
        """Raise where a file that was open here is gone: an empty one in its place would be a new component."""
        if self._was_opened and not sqlite_file.exists(self.path):
            raise StoreUnavailable(
                f"{self.path} was deleted or moved while it was in use. Nothing was written, and no new file is made. "
                "Put that file back, or restore a backup."
            )

    def maintain(self, connection: DbConnection) -> None:
        sqlite_file.keep_wal_small(self.path)

    def note_running(self, running: RunningHandler, wall: float, valid_seconds: float) -> None:
        notes.note(self.path, running, wall, valid_seconds)

    def forget_running(self, owner: str) -> None:
        notes.forget(self.path, owner)

    def running(self, connection: DbConnection, wall: float) -> Sequence[RunningHandler]:
        return notes.running(self.path, wall)

    def wal_bytes(self) -> int:
        return sqlite_file.wal_bytes(self.path)


class SqliteStore(Store):
    """The store on a SQLite file."""

    name = "sqlite"
    sql = Statements()
    writes_at_once = False

    def is_unavailable(self, error: BaseException) -> bool:
        return sqlite_file.is_unavailable(error)

    def is_damaged(self, error: BaseException) -> bool:
        return sqlite_file.is_damaged(error)

    def is_locked(self, error: BaseException) -> bool:
        return sqlite_file.is_locked(error)

    def may_have_raised(self, connection: DbConnection, error: BaseException) -> bool:
        return was_raised_by(connection, original_of(error))

    def is_conflict(self, error: BaseException) -> bool:
        return False

    def lacks_tables(self, error: BaseException) -> bool:
        return "no such table" in str(error)

    def table_names(self, connection: DbConnection) -> frozenset[str]:
        found = self.plain_cursor(connection).execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return frozenset(name for (name,) in found.fetchall())

    def prepare(self, connection: DbConnection) -> None:
        sqlite_file.prepare(connection)

    def plain_cursor(self, connection: DbConnection) -> Any:
        return sqlite_file.plain_cursor(connection)

    def place(self, connection: DbConnection) -> str:
        return self.plain_cursor(connection).execute("PRAGMA database_list").fetchone()[2]

    def identity(self, connection: DbConnection) -> StoreIdentity | None:
        self.require_current(connection)
        if not isinstance(connection, sqlite3.Connection) or connection.text_factory is str:
            return super().identity(connection)
        # It is asked for on users' own connections, and how text is read is a setting of the connection.
        before: Any = connection.text_factory
        connection.text_factory = str
        try:
            return super().identity(connection)
        finally:
            connection.text_factory = before

    def is_open(self, connection: Any) -> bool:
        try:
            return connection.total_changes >= 0
        except _CLOSED:
            return False

    def require_current(self, connection: DbConnection) -> None:
        sqlite_file.require_same_file(connection)

    def server_time(self, connection: DbConnection, wall: float) -> float:
        return wall

    def in_transaction(self, connection: Any) -> bool:
        try:
            return bool(connection.in_transaction)
        except _CLOSED:
            # It was closed, and with it its transaction.
            return False

    def begin(self, connection: DbConnection) -> None:
        self.require_current(connection)
        connection.cursor().execute("BEGIN IMMEDIATE")

    def begin_batch(self, connection: DbConnection, *, isolated: bool) -> None:
        self.begin(connection)

    def begin_reading(self, connection: Any) -> None:
        if not connection.reads_only:
            connection.execute("PRAGMA query_only = 1")
            connection.reads_only = True
        connection.execute("BEGIN")

    def is_in_batch(self, connection: DbConnection) -> bool:
        # The connection itself has refused every statement that would have ended it.
        return self.in_transaction(connection)

    def can_commit(self, connection: DbConnection) -> bool:
        return self.in_transaction(connection)

    def mark(self, connection: DbConnection) -> None:
        connection.cursor().execute(f"SAVEPOINT {_MARK}")

    def take_mark(self, connection: DbConnection) -> bool:
        try:
            connection.cursor().execute(f"RELEASE {_MARK}")
        except Exception as error:
            if "no such savepoint" in str(error):
                return False
            raise
        return True

    def upkeep(self, connection: DbConnection) -> Callable[[], None] | None:
        return sqlite_file.upkeep(connection)

    def terminate_sessions(self, connection: DbConnection, owner: str) -> None:
        # An idle transaction holds the file; only its own process can end it.
        pass

    def lock_migrations(self, connection: DbConnection) -> None:
        # BEGIN IMMEDIATE has locked the file.
        pass

    def run_script(self, connection: DbConnection, script: str) -> None:
        cursor = connection.cursor()
        for statement in statements_of(script):
            cursor.execute(statement)


def statements_of(script: str) -> list[str]:
    """The single statements of a script: `executescript` would commit the transaction they must share."""
    statements: list[str] = []
    pending = ""
    for part in re.split(r"(?<=;)|(?<=\n)", f"{script};\n"):
        pending += part
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return [statement for statement in statements if statement.strip("; \n")]
