"""One PostgreSQL database: connecting, what its settings promise, and which errors are not the statement's fault.

Shared by the PostgreSQL store and the PostgreSQL log. Rules R8, R13, R20 and R24 of the field: `synchronous_commit`
set in every transaction, the primary only, NOTIFY as a hint after the commit, no state of a session that a pooler in
transaction mode would carry to another client.

Every connection made here commits by itself until a transaction is begun explicitly, so that its isolation is stated
where it begins. Behind a pooler statements are not prepared and LISTEN is not used; connecting detects a pooler.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Any, cast

import psycopg
from psycopg import generators, pq
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg.postgres import register_default_adapters
from psycopg.rows import tuple_row

from preterite.drivers.postgres_guard import (
    GuardedAsyncConnection,
    GuardedAsyncCursor,
    GuardedConnection,
    GuardedCursor,
    is_in_transaction,
)
from preterite.drivers.postgres_place import Place, first_line, secrecy, unreachable
from preterite.errors import NotDurable, StoreUnavailable
from preterite.printing.raised import is_a, original_of
from preterite.printing.text import clause

CONNECT_SECONDS = 5
"""How long a connection to PostgreSQL may take."""
LOCK_SECONDS = 5.0
"""How long the commands, the start of a component and any use of the log wait for a lock, as `LOCK TABLE` takes it."""
APPLICATION_NAME = "preterite"
APPLICATION_NAME_MAX = 63
"""Characters of `application_name` that PostgreSQL keeps."""
VERSION_MIN = 14
"""The oldest supported major version of PostgreSQL."""
KEEPALIVE_IDLE_SECONDS = 30
"""After so long without traffic the operating system probes whether a connection's other end is there."""
KEEPALIVE_INTERVAL_SECONDS = 10
"""How long it waits between probes."""
KEEPALIVE_PROBES = 3
"""Probes without an answer after which the connection is dropped."""
NOTIFICATIONS_MAX = 10_000
"""Notifications that are taken from a connection at a time."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO on"
BEGIN_BATCH = """
BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL synchronous_commit TO on; SET LOCAL preterite.batch TO 'open'
"""
BEGIN_BATCH_READ_COMMITTED = """
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO on; SET LOCAL preterite.batch TO 'open'
"""
# After the first query no statement can allow the transaction to write.
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1"
READ_ONLY = "SET default_transaction_read_only TO on"
MARK = "SET LOCAL preterite.batch TO 'open'"
_IN_BATCH = "SELECT current_setting('preterite.batch', true) = 'open'"
# The division fails, and the commit with it, where the mark is missing.
_COMMIT_BATCH = "SELECT 1 / (coalesce(current_setting('preterite.batch', true), '') = 'open')::int; COMMIT"
_SETTINGS = """
SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
    pg_is_in_recovery(), current_setting('server_version'), current_setting('server_version_num')::int / 10000
"""
_SESSION = "SELECT pg_backend_pid(), current_setting('default_transaction_isolation') = 'read committed'"
_WAL_POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"

# Connection gone or refused, shutting down, out of resources, disk trouble, read-only, or waited too long for a lock.
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_UNAVAILABLE_CODES = frozenset({"25006", "55P03", "25P03", "25P04"})
_NOT_UNAVAILABLE_CODES = frozenset({"57014"})
_CONFLICT_CODES = frozenset({"40001", "40P01"})


def _default_adapters() -> AdaptersMap:
    adapters = AdaptersMap(types=psycopg.postgres.types)
    register_default_adapters(adapters)
    return adapters


class CoreCursor(psycopg.Cursor[Any]):
    """A cursor of the core: its rows are tuples, and its values are read and written as the driver does by itself.

    What a user has registered on the connection, or on the driver, is not asked.
    """

    _own = _default_adapters()

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """How values are read and written."""
        return self._own


class _Bounded:
    """What a cursor does behind a pooler, where only a transaction can bound its waits; mixed into a class of cursors.

    A statement outside of one gets its own. Not for `executemany`.
    """

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        connection: Any = cast(Any, self).connection
        execute = cast(Any, super()).execute
        if is_in_transaction(connection):
            return execute(query, *arguments, **options)
        if isinstance(query, str) and query.lstrip().startswith("BEGIN"):
            return execute(f"{query}; {_lock_timeout('LOCAL')}", *arguments, **options)
        with connection.transaction():
            execute(_lock_timeout("LOCAL"), prepare=False)
            return execute(query, *arguments, **options)


class _BoundedCursor(_Bounded, GuardedCursor):
    """A guarded cursor whose waits are bounded."""


class _BoundedCoreCursor(_Bounded, CoreCursor):
    """A cursor of the core whose waits are bounded."""


def plain_cursor(connection: Any) -> Any:
    """A cursor whose rows are tuples and whose parameters are `%s`, whatever was set on the connection."""
    if isinstance(connection, psycopg.Connection):
        given = cast("psycopg.Connection[Any]", connection)
        return (_BoundedCoreCursor if issubclass(given.cursor_factory, _BoundedCursor) else CoreCursor)(given)
    return connection.cursor()


def connect(place: Place) -> GuardedConnection:
    """A new connection that commits by itself. Raises `StoreUnavailable` if the server cannot be reached."""
    try:
        connection = GuardedConnection.connect(place.conninfo, autocommit=True, **_options(place))
    except psycopg.OperationalError as error:
        raise unreachable(place, error) from None
    connection.cursor_factory = GuardedCursor
    _note_session(connection, _one(connection, _SESSION))
    return connection


async def connect_async(place: Place) -> GuardedAsyncConnection:
    """The same for asyncio."""
    try:
        connection = await GuardedAsyncConnection.connect(place.conninfo, autocommit=True, **_options(place))
    except psycopg.OperationalError as error:
        raise unreachable(place, error) from None
    connection.cursor_factory = GuardedAsyncCursor
    _note_session(connection, await (await connection.execute(_SESSION)).fetchone())
    return connection


def bound_waits(connection: GuardedConnection) -> None:
    """Let no statement on this connection wait for a lock for longer than `LOCK_SECONDS`.

    Behind a pooler each transaction sets it for itself: a setting of the session would reach other clients.
    """
    if connection.pooled:
        connection.cursor_factory = _BoundedCursor
    else:
        run(connection, _lock_timeout("SESSION"))


def _lock_timeout(scope: str) -> str:
    return f"SET {scope} lock_timeout TO '{LOCK_SECONDS * 1000:.0f}ms'"


def is_locked(error: BaseException) -> bool:
    """Whether a statement has waited for a lock for too long."""
    original = original_of(error)
    return is_a(original, psycopg.Error) and original.sqlstate == "55P03"


def _note_session(connection: GuardedConnection | GuardedAsyncConnection, session: Any) -> None:
    """Detect a pooler: behind one, no state of a session can be relied upon, and none may be left behind."""
    connection.process = os.getpid()
    backend, reads_committed = session
    if backend == connection.info.backend_pid:
        connection.reads_committed = reads_committed
        return
    connection.pooled = True
    connection.prepare_threshold = None


def _options(place: Place) -> dict[str, Any]:
    """What a connection is opened with, where the URL does not say otherwise."""
    keepalives = {
        "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
        "keepalives_interval": KEEPALIVE_INTERVAL_SECONDS,
        "keepalives_count": KEEPALIVE_PROBES,
    }
    chosen = conninfo_to_dict(place.conninfo)
    kept = {name: value for name, value in keepalives.items() if name not in chosen}
    return {"connect_timeout": CONNECT_SECONDS, "application_name": APPLICATION_NAME, **kept}


def signature(owner: str) -> str:
    """The `application_name` of a loop's sessions while they are in a transaction."""
    return f"{APPLICATION_NAME} {owner.split('/')[3] if owner.count('/') > 3 else owner}"[:APPLICATION_NAME_MAX]


def signed(connection: Any, beginning: str) -> str:
    """The statement that begins a transaction, under the name of the loop that the connection belongs to, if any."""
    owner = getattr(getattr(connection, "context", None), "owner", "")
    if not owner:
        return beginning
    name = signature(owner).replace("'", "''")
    return f"{beginning}; SET LOCAL application_name TO '{name}'"


def can_commit(connection: Any) -> bool:
    """Whether a transaction is open that a commit would keep: after a failed statement it would roll back instead."""
    return is_in_transaction(connection) and connection.info.transaction_status != pq.TransactionStatus.INERROR


def is_dropped(connection: Any) -> bool:
    """Whether a connection is closed, by the server or the network too, as far as this machine knows, or of no use.

    One in a pipeline is of no use: a statement was cancelled in it, or a handler has left it open.

    To one that is idle a server says something only at its end, or where its settings were changed; then it counts as
    dropped, too.
    """
    if connection.closed or connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
        return True
    waiting = select.poll()
    try:
        waiting.register(connection.fileno(), select.POLLIN)
        while waiting.poll(0):
            if connection.info.transaction_status == pq.TransactionStatus.IDLE:
                return True
            connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return connection.pgconn.status != pq.ConnStatus.OK


def is_in_batch(connection: Any) -> bool:
    """Whether the open transaction is still the one that the batch began: a mark that was set in it ends with it."""
    return bool(plain_cursor(connection).execute(_IN_BATCH).fetchone()[0])


def commit_batch(connection: GuardedConnection) -> bool:
    """Commit. If the open transaction is not the one that the batch began, roll it back and return false."""
    try:
        run(connection, _COMMIT_BATCH)
    except psycopg.errors.DivisionByZero:
        return False
    return True


def is_unavailable(error: BaseException) -> bool:
    """Whether the server or the network failed, not the statement."""
    original = original_of(error)
    if not is_a(original, psycopg.Error):
        return False
    code = original.sqlstate
    if not isinstance(code, str):
        return is_a(original, (psycopg.OperationalError, psycopg.InterfaceError))
    return code in _UNAVAILABLE_CODES or (code[:2] in _UNAVAILABLE_CLASSES and code not in _NOT_UNAVAILABLE_CODES)


def is_conflict(error: BaseException) -> bool:
    """Whether this transaction was rolled back because of a conflict with another; it may be run again."""
    original = original_of(error)
    return is_a(original, psycopg.Error) and original.sqlstate in _CONFLICT_CODES


def promise(connection: GuardedConnection) -> str:
    """Verify the settings and return which promise holds under them; raises `NotDurable` if none does."""
    fsync, full_pages, synchronous, replica, version, major = _one(connection, _SETTINGS)
    if major < VERSION_MIN:
        raise NotDurable(f"PostgreSQL {version} is too old; it takes {VERSION_MIN} or newer. Nothing was started.")
    if replica:
        raise NotDurable(
            "This server is a replica; it shows transactions late and in another order. Nothing was started. "
            "Give the URL of the primary."
        )
    weak = [f"{name}={value}" for name, value in (("fsync", fsync), ("full_page_writes", full_pages)) if value != "on"]
    if synchronous == "off":
        weak.append("synchronous_commit=off")
    if weak:
        raise NotDurable(
            f"PostgreSQL runs with {', '.join(weak)}: a commit could be lost on a crash. Nothing was started. "
            "Set it to on, for the server, this database or this role."
        )
    through = " behind a pooler" if connection.pooled else ""
    kept = f"PostgreSQL {version}{through}, fsync, synchronous_commit={synchronous}: commits survive power failure"
    return kept + secrecy(connection.pgconn.ssl_in_use, connection.info.host, connection.info.hostaddr)


def is_primary(connection: GuardedConnection) -> bool:
    """Whether the server writes, and is no replica."""
    return not _one(connection, "SELECT pg_is_in_recovery()")[0]


def is_read_only(connection: Any) -> bool:
    """Whether the server has said that this session's transactions only read; behind a pooler it does not say it.

    A setting of the session at its beginning stays, also where it was changed back meanwhile.
    """
    reported = [connection.info.parameter_status(name) for name in ("default_transaction_read_only", "in_hot_standby")]
    return "on" in reported and not connection.reads_only


def wal_position(connection: GuardedConnection) -> int:
    """A number that grows with everything that any client writes on this server."""
    return _one(connection, _WAL_POSITION)[0]


class Listener:
    """Listens for commits of other connections; used by one thread. Hints only: what is missed is found by reading."""

    def __init__(self, place: Place, channel: str) -> None:
        self._place = place
        self._channel = channel
        self._connection: GuardedConnection | None = None
        self._notified = 0
        self.own_backend: int | None = None
        """The server's process whose notifications are not counted here: their sender counts them itself."""

    def version(self) -> int:
        """A number that changes when another connection has committed; raises `StoreUnavailable`."""
        try:
            if self._connection is None:
                self._connection = connect(self._place)
                self._notified += 1
                if not self._connection.pooled:
                    run(self._connection, f"LISTEN {self._channel}")
            if self._connection.pooled:
                return wal_position(self._connection)
            notifications = self._connection.notifies(timeout=0, stop_after=NOTIFICATIONS_MAX)
            self._notified += sum(1 for notification in notifications if notification.pid != self.own_backend)
        except psycopg.Error as error:
            self.close()
            raise StoreUnavailable(f"{self._place.shown} is out of reach: {clause(first_line(error))}.") from None
        return self._notified

    def fileno(self) -> int | None:
        """A descriptor that is readable when a notification has arrived; None behind a pooler or while unreachable."""
        if self._connection is None or self._connection.pooled or self._connection.closed:
            return None
        return self._connection.fileno()

    def close(self) -> None:
        """Stop listening and close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def notify(connection: GuardedConnection, channel: str) -> None:
    """Notify the listeners, in a transaction of its own that is not waited for: `settle` before the next statement."""
    settle(connection)
    statements = f"BEGIN; SET LOCAL synchronous_commit TO off; NOTIFY {channel}; COMMIT"
    connection.pgconn.send_query(statements.encode())
    connection.pgconn.flush()


def settle(connection: GuardedConnection) -> None:
    """Read the server's answer to `notify`, if that was not read yet; an error in it is ignored."""
    if connection.info.transaction_status == pq.TransactionStatus.ACTIVE:
        connection.wait(generators.fetch_many(connection.pgconn))
        if is_in_transaction(connection):
            connection.rollback()


def run(connection: Any, statements: str) -> None:
    """Run several statements as one, which is therefore not prepared; also on SQLAlchemy's adapter for asyncio."""
    awaited = getattr(connection, "driver_connection", None)
    if awaited is None:
        connection.execute(statements, prepare=False)
        return
    from sqlalchemy.util import await_only

    await_only(awaited.execute(statements, prepare=False))


def _one(connection: Any, statement: str) -> Any:
    return connection.execute(statement).fetchone()
