"""The SQLite store: every component's rows in its own file, in plain SQL that anyone can read.

SQLite has one writer at a time, and every transaction here begins as a writer. So what PostgreSQL needs
locks for (numbering, claiming) is serialised already; owner, epoch and expected values are checked all the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID

from preterite import sqlite_file
from preterite.errors import Fenced, WrongDatabase
from preterite.log import Cursor, Stream
from preterite.rows import (
    LATER,
    Counts,
    CursorState,
    DbConnection,
    Fence,
    HandlerRegistration,
    Lease,
    LeaseState,
    Move,
    StoreIdentity,
    tick_name,
)
from preterite.store import Database, TableChange
from preterite.stores import sqlite_statements as sql
from preterite.stores.sqlite_letters import SqliteLetters
from preterite.stores.sqlite_outbox import SqliteOutbox
from preterite.stores.sqlite_parking import SqliteParking
from preterite.stores.sqlite_replay import SqliteReplay
from preterite.stores.sqlite_time import SqliteTime

ACTIVITY_MINUTES_KEPT = 60


class SqliteDatabase:
    """One component's SQLite file."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = SqliteStore()
        self.path = sqlite_file.path_of(url)

    def exists(self) -> bool:
        return self.path.is_file()

    def connect(self) -> sqlite_file.GuardedConnection:
        return sqlite_file.open_file(self.path)

    @property
    def connection_type(self) -> type:
        return sqlite_file.GuardedConnection

    def engine(self, binding: Any) -> Any:
        from preterite.stores import sqlite_engine

        return sqlite_engine.engine(self.path, binding)

    def async_engine(self, binding: Any) -> Any:
        from preterite.stores import sqlite_engine

        return sqlite_engine.async_engine(self.path, binding)

    def has_hidden_dependencies(self, connection: DbConnection) -> bool:
        return connection.cursor().execute(sql.ANY_VIEW_OR_TRIGGER).fetchone() is not None

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
            tables = [row[0] for row in connection.execute(sql.OWN_TABLES).fetchall()]
            found = {
                table: TableChange(
                    connection.execute(sql.ROWS_MORE.format(one="other", two="main", table=table)).fetchone()[0],
                    connection.execute(sql.ROWS_MORE.format(one="main", two="other", table=table)).fetchone()[0],
                )
                for table in tables
            }
        finally:
            connection.close()
        return {table: change for table, change in found.items() if change != (0, 0)}

    def promise(self) -> str:
        connection = self.connect()
        try:
            return sqlite_file.promise(connection)
        finally:
            connection.close()

    def version(self) -> int:
        return sqlite_file.changes(self.path)

    def maintain(self, connection: DbConnection) -> None:
        if isinstance(connection, sqlite3.Connection):
            sqlite_file.checkpoint(connection)


class SqliteStore(SqliteOutbox, SqliteParking, SqliteLetters, SqliteTime, SqliteReplay):
    """The statements of `preterite.store.Store`, in SQLite's dialect."""

    def is_unavailable(self, error: BaseException) -> bool:
        return sqlite_file.is_unavailable(error)

    def prepare(self, connection: DbConnection) -> None:
        sqlite_file.prepare(connection)

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    def begin(self, connection: DbConnection) -> None:
        connection.cursor().execute("BEGIN IMMEDIATE")

    # whose database this is

    def migrate(self, connection: DbConnection) -> None:
        cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            applied = cursor.execute(sql.NEWEST_MIGRATION).fetchone()[0] if _has_tables(cursor) else 0
            for number, script in _migrations():
                if number > applied:
                    for statement in statements_of(script):
                        cursor.execute(statement)
                    cursor.execute(sql.NOTE_MIGRATION, (number,))
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def is_migrated(self, connection: DbConnection) -> bool:
        cursor = connection.cursor()
        return _has_tables(cursor) and cursor.execute(sql.NEWEST_MIGRATION).fetchone()[0] >= _migrations()[-1][0]

    def identify(self, connection: DbConnection, identity: StoreIdentity) -> None:
        found = self.identity(connection)
        if found is None:
            cursor = connection.cursor()
            cursor.execute(
                sql.IDENTIFY,
                (
                    identity.component,
                    identity.component_id.bytes,
                    identity.system,
                    identity.system_id.bytes,
                    identity.partitions,
                ),
            )
            cursor.executemany(sql.ADD_STREAM, [(partition,) for partition in range(identity.partitions)])
            return
        wanted = (identity.component, identity.system, identity.system_id, identity.partitions)
        if (found.component, found.system, found.system_id, found.partitions) != wanted:
            raise WrongDatabase(
                f"This database belongs to component {found.component!r} of system {found.system!r} "
                f"({found.system_id}, {found.partitions} partitions); expected {identity.component!r} "
                f"of {identity.system!r} ({identity.system_id}, {identity.partitions} partitions). "
                "Nothing was written. Check the component's URL, and the log's."
            )

    def identity(self, connection: DbConnection) -> StoreIdentity | None:
        try:
            row = connection.cursor().execute(sql.IDENTITY).fetchone()
        except Exception as error:
            if "no such table" in str(error):
                return None
            raise
        return None if row is None else StoreIdentity(row[0], UUID(bytes=row[1]), row[2], UUID(bytes=row[3]), row[4])

    # leases

    def leases(self, connection: DbConnection) -> Sequence[LeaseState]:
        return [LeaseState(*row) for row in connection.cursor().execute(sql.LEASES).fetchall()]

    def take_lease(self, connection: DbConnection, state: LeaseState, owner: str, expires_at: float) -> Lease | None:
        cursor = connection.cursor()
        cursor.execute(sql.MAKE_LEASE, (state.name,))
        cursor.execute(sql.TAKE_LEASE, (owner, expires_at, state.name, state.epoch, state.owner))
        if cursor.rowcount != 1:
            return None
        return Lease(state.name, owner, state.epoch + 1, clean=state.owner in (None, owner))

    def renew(self, connection: DbConnection, leases: Iterable[Lease], expires_at: float) -> int:
        cursor = connection.cursor()
        cursor.executemany(sql.RENEW, [(expires_at, lease.name, lease.owner, lease.epoch) for lease in leases])
        return max(cursor.rowcount, 0)

    def release(self, connection: DbConnection, leases: Iterable[Lease]) -> None:
        connection.cursor().executemany(sql.RELEASE, [(lease.name, lease.owner, lease.epoch) for lease in leases])

    # handlers and cursors

    def register_handlers(
        self, connection: DbConnection, handlers: Sequence[HandlerRegistration], renamed: Mapping[str, str], now: float
    ) -> None:
        cursor = connection.cursor()
        changed = 0
        for former, present in renamed.items():
            cursor.execute(sql.RENAME_HANDLER, (present, former, present))
            changed += cursor.rowcount
            if cursor.rowcount:
                cursor.execute(sql.RENAME_STARTS, (present, former))
                cursor.execute(sql.RENAME_PARKED, (present, former))
                cursor.execute(sql.RENAME_REPLAYED, (former, present))
        for handler in handlers:
            cursor.execute(sql.REGISTER_HANDLER, (handler.name, handler.event_type, handler.lane_group, now))
            changed += cursor.rowcount
            cursor.execute(sql.REGROUP_HANDLER, (handler.lane_group, handler.name, handler.lane_group))
            if cursor.rowcount:
                changed += cursor.rowcount
                cursor.execute(sql.REGROUP_PARKED, (handler.lane_group, handler.name))
        if changed:
            cursor.execute(sql.HANDLERS_CHANGED)

    def retire_handler(self, connection: DbConnection, name: str, now: float) -> int:
        cursor = connection.cursor()
        cursor.execute(sql.RETIRE_HANDLER, (now, name))
        if cursor.rowcount == 0:
            return 0
        cursor.execute(sql.HANDLERS_CHANGED)
        cursor.execute(sql.ORPHAN_PARKED, (name,))
        orphans = cursor.rowcount
        cursor.execute(sql.FORGET_CALENDAR, (name,))
        if cursor.rowcount == 1:
            self.drop_ticks(connection, tick_name(name))
            return orphans
        cursor.execute(sql.ORPHAN_LATER, (LATER, now, name))
        orphans += cursor.rowcount
        cursor.execute(sql.END_LATER, (name,))
        return orphans

    def handlers(self, connection: DbConnection) -> tuple[int, Sequence[HandlerRegistration]]:
        cursor = connection.cursor()
        version = cursor.execute(sql.HANDLERS_VERSION).fetchone()[0]
        rows = cursor.execute(sql.HANDLERS).fetchall()
        return version, [HandlerRegistration(name, event, group, bool(retired)) for name, event, group, retired in rows]

    def start_cursors(self, connection: DbConnection, starts: Mapping[Stream, Cursor]) -> None:
        cursor = connection.cursor()
        cursor.executemany(sql.START_CURSOR, [(*stream, *start) for stream, start in starts.items()])
        cursor.execute(sql.START_HANDLERS)

    def handler_starts(self, connection: DbConnection) -> Mapping[tuple[str, Stream], int]:
        rows = connection.cursor().execute(sql.HANDLER_STARTS).fetchall()
        return {(handler, Stream(publisher, partition)): number for handler, publisher, partition, number in rows}

    def cursors(self, connection: DbConnection) -> Mapping[Stream, CursorState]:
        rows = connection.cursor().execute(sql.CURSORS).fetchall()
        return {Stream(row[0], row[1]): CursorState(Cursor(*row[2:5]), row[5]) for row in rows}

    def move_cursors(self, connection: DbConnection, moves: Sequence[Move], fence: Fence, expires_at: float) -> None:
        cursor = connection.cursor()
        cursor.executemany(
            sql.MOVE_CURSOR,
            [(*move.new, *move.stream, move.read.number, move.read.event_id, fence.handlers_version) for move in moves],
        )
        moved = cursor.rowcount if moves else 0
        if moved != len(moves):
            raise Fenced(
                f"{len(moves) - moved} of {len(moves)} cursors or the handlers in force have changed; "
                "nothing was written."
            )
        self._renew_all(connection, fence, expires_at)

    def verify_fence(self, connection: DbConnection, fence: Fence) -> None:
        held = {(name, owner, epoch) for name, owner, epoch, _, _ in self.leases(connection)}
        if not all((lease.name, lease.owner, lease.epoch) in held for lease in fence.leases.values()):
            raise Fenced("A lease of this worker was taken over; nothing was begun.")
        self._require_handlers(connection, fence)

    def check_fence(self, connection: DbConnection, fence: Fence, expires_at: float) -> None:
        self._renew_all(connection, fence, expires_at)
        self._require_handlers(connection, fence)

    def _require_handlers(self, connection: DbConnection, fence: Fence) -> None:
        if connection.cursor().execute(sql.HANDLERS_VERSION).fetchone()[0] != fence.handlers_version:
            raise Fenced("Other handlers are registered by now; nothing was written.")

    def _renew_all(self, connection: DbConnection, fence: Fence, expires_at: float) -> None:
        if self.renew(connection, fence.leases.values(), expires_at) != len(fence.leases):
            raise Fenced("A lease of this worker was taken over; nothing was written.")

    def stop_stream(self, connection: DbConnection, stream: Stream, reason: str | None) -> None:
        connection.cursor().execute(sql.STOP_STREAM, (reason, *stream))

    def count_handled(self, connection: DbConnection, minute: int, handled: int) -> None:
        cursor = connection.cursor()
        first = cursor.execute(sql.COUNT_HANDLED, (minute, handled)).fetchone()[0] == handled
        if first:
            cursor.execute(sql.FORGET_ACTIVITY, (minute - ACTIVITY_MINUTES_KEPT,))

    def count_passed_over(self, connection: DbConnection, publisher: str, what: str, count: int, now: float) -> None:
        connection.cursor().execute(sql.COUNT_PASSED_OVER, (publisher, what, count, now, now))

    def counts(self, connection: DbConnection, now: float, wall: float) -> Counts:
        cursor = connection.cursor()
        return Counts(*cursor.execute(sql.COUNTS, (now, int(wall // 60) - 1)).fetchone())


def _has_tables(cursor: Any) -> bool:
    return cursor.execute(sql.HAS_TABLES).fetchone() is not None


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files("preterite.stores").joinpath("schema", "sqlite")
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [(int(script.name.partition("_")[0]), script.read_text(encoding="utf-8")) for script in scripts]


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
