"""The PostgreSQL store: every component's rows in its own database, in a schema of their own.

Batches run REPEATABLE READ, so that two workers cannot overwrite what the other has read; everything else runs READ
COMMITTED, so that what was locked in one statement is read afresh in the next (rules R5 to R7).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import DuplicateObject, DuplicateSchema, DuplicateTable, InvalidSchemaName, UndefinedTable

from preterite.clock import Backoff
from preterite.drivers import postgres as postgres_server
from preterite.drivers import postgres_guard
from preterite.drivers.postgres_place import first_line, only_reads, place_of
from preterite.errors import NotMigrated, StoreUnavailable, UsageError
from preterite.printing.raised import is_a, original_of
from preterite.store.contract import Database, Store, TableChange, run_in_transaction
from preterite.store.postgres.outbox_floor import Floor, raised
from preterite.store.postgres.statements import PostgresStatements
from preterite.store.rows import Activity, DbConnection, Fence, Lease, Move, Numbered, OutboxRow, RunningHandler

CHANNEL = "preterite"
VACUUM_BYTES_MIN = 1024 * 1024
"""Size of the outbox table from which it is vacuumed."""
VACUUM_SECONDS_MIN = 0.5
"""The wait between two vacuums of the outbox; doubled while rows cannot be removed."""
VACUUM_ROWS_LEFT_MAX = 1_000
"""Dead rows left by a vacuum beyond which an open transaction is assumed to keep them."""
VACUUM_SECONDS_MAX = 60.0
"""The longest wait between two vacuums of the outbox."""
_OUTBOX_SIZE = """
SELECT pg_relation_size('preterite.outbox'), pg_stat_get_dead_tuples('preterite.outbox'::regclass),
    extract(epoch FROM clock_timestamp())::double precision
"""
_WITH_QUOTES = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<end>;)", re.DOTALL
)


class PostgresDatabase:
    """One component's PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self.place = place_of(url)
        self.url = self.place.shown
        self.store = PostgresStore()
        self._listener = postgres_server.Listener(self.place, CHANNEL)
        self._lock = threading.Lock()
        self._notifier: postgres_guard.GuardedConnection | None = None
        self._announced = 0
        self._vacuum_at = 0.0
        self._vacuum_backoff = Backoff(VACUUM_SECONDS_MIN, VACUUM_SECONDS_MAX)
        self._vacuum_seconds = self._vacuum_backoff.next()

    def exists(self) -> bool:
        # Only connecting shows it; the error then states why.
        return True

    def answers(self) -> bool:
        try:
            with closing(self.connect()) as connection:
                return postgres_server.is_primary(connection)
        except (StoreUnavailable, psycopg.Error):
            return False

    def connect(self) -> postgres_guard.GuardedConnection:
        return postgres_server.connect(self.place)

    @property
    def connection_type(self) -> type:
        return postgres_guard.GuardedConnection

    def engine(self, context: Any, *, batch: bool | None = None) -> Any:
        from preterite.store.postgres import engine as postgres_engine

        return postgres_engine.engine(self.place, context, _beginning(batch))

    def async_engine(self, context: Any, *, batch: bool | None = None) -> Any:
        from preterite.store.postgres import engine as postgres_engine

        return postgres_engine.async_engine(self.place, context, _beginning(batch))

    def reading_engine(self, context: Any) -> Any:
        from preterite.store.postgres import engine as postgres_engine

        return postgres_engine.engine(self.place, context, postgres_server.BEGIN_READING)

    def create_tables(self, tables: str) -> None:
        with closing(self.connect()) as connection:
            self.store.begin(connection)
            for statement in statements_of(tables):
                try:
                    with connection.transaction():
                        connection.execute(statement, prepare=False)  # pyright: ignore[reportArgumentType, reportCallIssue]
                except (DuplicateTable, DuplicateObject, DuplicateSchema):
                    pass
            connection.commit()

    def copy(self, path: Path) -> Database:
        raise UsageError(
            "A rehearsal needs a copy of the database, and a component's role may not make one on PostgreSQL. "
            "Rehearse on a restored backup with components on SQLite, or start the replay paused. Nothing was changed."
        )

    def differences(self, other: Database) -> Mapping[str, TableChange]:
        raise UsageError(f"{self.url} cannot be compared with {other.url}.")

    def promise(self) -> str:
        with closing(self.connect()) as connection:
            return postgres_server.promise(connection)

    def version(self, *, elsewhere: bool = False) -> int:
        return self._listener.version() + (0 if elsewhere else self._announced)

    def fileno(self) -> int | None:
        return self._listener.fileno()

    def notify(self) -> None:
        """Notify the listeners; a failure is ignored, for this is a hint."""
        with self._lock:
            self._announced += 1
            try:
                if self._notifier is None:
                    self._notifier = self.connect()
                    self._listener.own_backend = self._notifier.info.backend_pid
                postgres_server.notify(self._notifier, CHANNEL)
            except Exception:
                self._close_notifier()

    def close(self) -> None:
        with self._lock:
            self._close_notifier()
        self._listener.close()

    def maintain(self, connection: Any) -> None:
        """Vacuum the outbox: rows are added and deleted faster than autovacuum runs (R24). Locked pages are skipped."""
        size, _, now = connection.execute(_OUTBOX_SIZE).fetchone()
        if size < VACUUM_BYTES_MIN:
            connection.outbox_floor = None
            return
        connection.outbox_floor = raised(connection.outbox_floor or Floor(), connection)
        if now - self._vacuum_at < self._vacuum_seconds:
            return
        connection.execute(self.store.own.VACUUM_OUTBOX, prepare=False)
        _, left, self._vacuum_at = connection.execute(_OUTBOX_SIZE).fetchone()
        # A long transaction keeps the dead rows: an early retry would only cost.
        stuck = left > VACUUM_ROWS_LEFT_MAX
        if not stuck:
            self._vacuum_backoff.reset()
        self._vacuum_seconds = self._vacuum_backoff.next()

    def note_running(self, running: RunningHandler, wall: float, valid_seconds: float) -> None:
        values = (running.owner, valid_seconds, running.handler, running.seconds)
        with closing(self.connect()) as connection:
            run_in_transaction(
                self.store, connection, lambda: connection.cursor().execute(self.store.own.NOTE_RUNNING, values)
            )

    def forget_running(self, owner: str) -> None:
        # The worker's next heartbeat does.
        pass

    def running(self, connection: DbConnection, wall: float) -> Sequence[RunningHandler]:
        return [RunningHandler(*row) for row in connection.cursor().execute(self.store.own.RUNNING).fetchall()]

    def wal_bytes(self) -> int:
        return 0

    def _close_notifier(self) -> None:
        if self._notifier is not None:
            self._notifier.close()
        self._notifier = None


class PostgresStore(Store):
    """The store on a PostgreSQL database; what changes many rows does so in one statement."""

    name = "postgres"
    own = PostgresStatements()
    sql = own
    writes_at_once = True

    def is_unavailable(self, error: BaseException) -> bool:
        return postgres_server.is_unavailable(error)

    def is_locked(self, error: BaseException) -> bool:
        return postgres_server.is_locked(error)

    def refuses_rights(self, error: BaseException) -> bool:
        return is_a(original_of(error), psycopg.errors.InsufficientPrivilege)

    def may_have_raised(self, connection: DbConnection, error: BaseException) -> bool:
        # An error does not say it; whether this server can be reached is asked instead.
        return True

    def is_conflict(self, error: BaseException) -> bool:
        return postgres_server.is_conflict(error)

    def lacks_tables(self, error: BaseException) -> bool:
        return is_a(error, (UndefinedTable, InvalidSchemaName))

    def table_names(self, connection: DbConnection) -> frozenset[str]:
        found = self.plain_cursor(connection).execute(self.own.TABLE_NAMES).fetchall()
        return frozenset(name for (name,) in found)

    def prepare(self, connection: DbConnection) -> None:
        # Every transaction sets for itself that its commit waits for the disk: `begin` and `identity`.
        pass

    def plain_cursor(self, connection: DbConnection) -> Any:
        return postgres_server.plain_cursor(connection)

    def place(self, connection: Any) -> str:
        return f"database {connection.info.dbname} at {connection.info.host}:{connection.info.port}"

    def is_open(self, connection: Any) -> bool:
        return not postgres_server.is_dropped(connection)

    def may_write(self, connection: DbConnection) -> bool:
        return not postgres_server.is_read_only(connection)

    def require_current(self, connection: DbConnection) -> None:
        # A server ends the connections to a database that is dropped.
        if not self.may_write(connection):
            raise only_reads(f"The {self.place(connection)}")

    def server_time(self, connection: DbConnection, wall: float) -> float:
        return connection.cursor().execute(self.own.SERVER_TIME).fetchone()[0]

    def in_transaction(self, connection: Any) -> bool:
        return postgres_guard.is_in_transaction(connection)

    def begin(self, connection: Any) -> None:
        _begin(connection, postgres_server.BEGIN)

    def begin_batch(self, connection: Any, *, isolated: bool) -> None:
        _begin(connection, _beginning(isolated))

    def begin_reading(self, connection: Any) -> None:
        # What follows the end of this transaction commits by itself. A pooler would give the setting to other clients.
        if not connection.reads_only and not connection.pooled:
            postgres_server.run(connection, postgres_server.READ_ONLY)
            connection.reads_only = True
        _begin(connection, postgres_server.BEGIN_READING)

    def is_in_batch(self, connection: DbConnection) -> bool:
        return postgres_server.is_in_batch(connection)

    def commit_batch(self, connection: Any) -> bool:
        return postgres_server.commit_batch(connection)

    def can_commit(self, connection: DbConnection) -> bool:
        return postgres_server.can_commit(connection)

    def mark(self, connection: DbConnection) -> None:
        connection.cursor().execute(postgres_server.MARK)

    def take_mark(self, connection: DbConnection) -> bool:
        return postgres_server.is_in_batch(connection)

    def bound_waits(self, connection: Any) -> None:
        postgres_server.bound_waits(connection)

    def terminate_sessions(self, connection: DbConnection, owner: str) -> None:
        connection.cursor().execute(self.own.TERMINATE_SESSIONS, (postgres_server.signature(owner),))

    # migrations

    def lock_migrations(self, connection: DbConnection) -> None:
        connection.cursor().execute(self.own.LOCK_MIGRATIONS)

    def run_script(self, connection: DbConnection, script: str) -> None:
        connection.cursor().execute(script, prepare=False)

    def migrate(self, connection: DbConnection) -> None:
        if self.is_migrated(connection):
            return
        try:
            super().migrate(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotMigrated(first_line(error)) from None

    # many rows in one statement

    def renew(self, connection: DbConnection, leases: Iterable[Lease], expires_at: float) -> int:
        cursor = connection.cursor()
        cursor.execute(self.own.RENEW_MANY, (expires_at, *_lease_columns(leases)))
        return cursor.rowcount

    def peek_fence(self, connection: DbConnection, fence: Fence) -> bool:
        columns = _lease_columns(fence.leases.values())
        version, held, any_parked = connection.cursor().execute(self.own.FENCE, columns).fetchone()
        self._require_fence(fence, held, version)
        return any_parked

    def enforce_fence(
        self, connection: DbConnection, fence: Fence, expires_at: float | None, activity: Activity | None = None
    ) -> None:
        self.move_cursors(connection, [], fence, expires_at, activity)

    def move_cursors(
        self,
        connection: DbConnection,
        moves: Sequence[Move],
        fence: Fence,
        expires_at: float | None,
        activity: Activity | None = None,
    ) -> None:
        rows = [(*move.stream, move.read.number, move.read.event_id, *move.new) for move in moves]
        renewing = () if expires_at is None else (expires_at,)
        statement = self.own.MOVE_CURSORS if expires_at is None else self.own.MOVE_CURSORS_AND_RENEW
        values = (*_columns(rows, 7), *renewing, *_lease_columns(fence.leases.values()), *(activity or (0, 0)))
        moved, held, version, counted = connection.cursor().execute(statement, values).fetchone()
        self._require_moved(moved, moves)
        self._require_fence(fence, held, version)
        if activity is not None:
            self._prune_activity(connection, activity, counted)

    def has_outbox(self, connection: DbConnection) -> bool:
        found = connection.cursor().execute(self.own.HAS_OUTBOX_ABOVE, (_floor_of(connection),)).fetchone()
        return found is not None

    def confirm(self, connection: DbConnection, lease: Lease, confirmed: Mapping[int, int]) -> None:
        cursor = connection.cursor()
        cursor.execute(
            self.own.CONFIRM_MANY, (lease.name, lease.owner, lease.epoch, *_columns(list(confirmed.items()), 2))
        )
        self._require_held(lease, cursor.rowcount == len(confirmed))

    def add_to_outbox(self, connection: DbConnection, rows: Sequence[OutboxRow]) -> None:
        self.plain_cursor(connection).execute(self.own.ADD_MANY_TO_OUTBOX, _columns(rows, 3))

    def outbox_writer(self, connection: DbConnection) -> Callable[[OutboxRow], int]:
        def write(row: OutboxRow) -> int:
            return self.plain_cursor(connection).execute(self.own.ADD_ONE_TO_OUTBOX, row).fetchone()[0]

        return write

    def place_last(self, connection: DbConnection, places: Sequence[int]) -> None:
        self.plain_cursor(connection).execute(self.own.PLACE_LAST, (list(places),))

    def number(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        values = (_floor_of(connection), limit, lease.name, lease.owner, lease.epoch, now)
        rows = connection.cursor().execute(self.own.MOVE_TO_JOURNAL, values, binary=True).fetchall()
        self._require_held(lease, (None, None, None, None) not in rows)
        return sorted(rows)

    def number_alone(self, connection: Any, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        if connection.reads_committed:
            return self.number(connection, lease, now, limit)
        return super().number_alone(connection, lease, now, limit)


def _floor_of(connection: Any) -> int:
    """Where to begin in the outbox: above the floor on the connection that is maintained, else at the beginning."""
    floor: Floor | None = getattr(connection, "outbox_floor", None)
    return 0 if floor is None else floor.id


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows turned into so many columns, as `unnest` takes them."""
    return [[row[place] for row in rows] for place in range(count)]


def _lease_columns(leases: Iterable[Lease]) -> list[list[Any]]:
    return _columns([(lease.name, lease.owner, lease.epoch) for lease in leases], 3)


def _beginning(batch: bool | None) -> str:
    """The statements that open a transaction: a user's, or a batch's, isolated or not."""
    if batch is None:
        return postgres_server.BEGIN
    return postgres_server.BEGIN_BATCH if batch else postgres_server.BEGIN_BATCH_READ_COMMITTED


def _begin(connection: Any, statement: str) -> None:
    """Begin with these settings; on a connection that begins transactions itself, set them in the first statement."""
    if getattr(connection, "autocommit", False):
        postgres_server.run(connection, postgres_server.signed(connection, statement))
    else:
        connection.cursor().execute("SET LOCAL synchronous_commit TO on")


def statements_of(script: str) -> list[str]:
    """The single statements of a script."""
    ends = [found.start() for found in _WITH_QUOTES.finditer(script) if found["end"]]
    parts = [
        script[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(script)], strict=True)
    ]
    return [part.strip() for part in parts if part.strip()]
