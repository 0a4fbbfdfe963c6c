"""One SQLite file: how it is opened, what its settings promise, and how its write-ahead log is kept small.

Shared by the SQLite store and the SQLite log. Rules R20 and R23 of the field:
WAL, `synchronous=FULL`, `BEGIN IMMEDIATE` for every transaction, owned checkpoints.

SQLite 3.7.0 to 3.51.2 (but for 3.44.6 and 3.50.7) can lose commits when one connection resets the write-ahead log
while another checkpoints, also where only one ever checkpoints. On such a library no connection checkpoints by itself:
a connection that has committed and finds the log too large does, by `keep_wal_small`, while it locks out writers.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from preterite.drivers.private_folder import make_private_folder, refuse_link
from preterite.drivers.sqlite_guard import GuardedConnection, OpenedFile
from preterite.errors import (
    ConfigurationError,
    NotDurable,
    StoreUnavailable,
    WrongDatabase,
)
from preterite.printing.raised import is_a, original_of
from preterite.printing.text import clause
from preterite.printing.urls import shown

WAL_ATTEMPTS_MAX = 5
"""How often a connection tries to switch a new file to WAL mode, which others may be switching at the same time."""
BUSY_TIMEOUT_MS = 10_000
"""How long a SQLite connection waits for another one's lock."""
CHECKPOINT_PAGES = 1000
"""Size of the write-ahead log at which SQLite checkpoints by itself."""
WAL_BYTES_MAX = 4 * 1024 * 1024
"""Size of the write-ahead log at which a commit is followed by a checkpoint, where SQLite must run none by itself."""
WAL_STEP_BYTES = 1024 * 1024
"""By how much a write-ahead log that a reader holds back grows until it is checkpointed again."""
WAL_WAIT_BYTES = 2 * WAL_BYTES_MAX
"""Size of the write-ahead log from which on a checkpoint waits for other writers; below it is left to the next one."""
CACHE_KIB = 4 * 1024
"""Size of the page cache of a SQLite connection."""
STATEMENTS_CACHED = 256
"""Prepared statements that a SQLite connection keeps."""
_LIMIT_WAL = f"PRAGMA journal_size_limit={WAL_BYTES_MAX}"
"""A write-ahead log that begins anew is cut to so many bytes."""
_SYNCHRONOUS_FULL = 2
_WAL_RESET_BUG = ((3, 7, 0), (3, 51, 3))
_WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7))
_GONE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def has_wal_reset_bug(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite can lose commits when two connections checkpoint."""
    first, fixed = _WAL_RESET_BUG
    in_fixed_series = any(version[:2] == fix[:2] and version >= fix for fix in _WAL_RESET_FIXED)
    return first <= version < fixed and not in_fixed_series


def is_unavailable(error: BaseException) -> bool:
    """Whether a lock, the disk or the file failed, not the statement."""
    original = original_of(error)
    if not is_a(original, sqlite3.OperationalError):
        return False
    code = getattr(original, "sqlite_errorcode", None)
    return isinstance(code, int) and (code & 0xFF) in _GONE_AWAY


def is_locked(error: BaseException) -> bool:
    """Whether another connection did not give back its lock in time."""
    original = original_of(error)
    return is_unavailable(original) and original.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damaged(error: BaseException) -> bool:
    """Whether what stands in the file is no database, or no longer a whole one."""
    original = original_of(error.__context__ if isinstance(error, StoreUnavailable) and error.__context__ else error)
    code = getattr(original, "sqlite_errorcode", None) if is_a(original, sqlite3.DatabaseError) else None
    return isinstance(code, int) and (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def path_of(url: str) -> Path:
    """The file that a `sqlite:///…` URL names (`sqlite+pysqlite:` and `sqlite+aiosqlite:` too).

    A relative path is read from the present working directory; where that changes later, the file stays the same.
    """
    scheme, separator, path = url.partition(":///")
    if not separator or scheme.partition("+")[0] != "sqlite" or not path or path == ":memory:":
        raise ConfigurationError(
            f"{shown(url)} names no SQLite file; write sqlite:///relative/path or sqlite:////absolute/path."
        )
    return Path(path).absolute()


Opened = TypeVar("Opened", bound=GuardedConnection)


def open_file(path: Path, factory: type[Opened] = GuardedConnection) -> Opened:
    """Open the file, made readable by its owner only, with the settings that the promises need.

    Raises `StoreUnavailable` if it cannot be opened just now, `WrongDatabase` if it is something else.
    """
    try:
        make_private(path)
        connection = sqlite3.connect(
            path,
            isolation_level=None,
            check_same_thread=False,
            factory=factory,
            cached_statements=STATEMENTS_CACHED,
        )
        try:
            configure(connection)
            note_file(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        if is_unavailable(error):
            raise StoreUnavailable(
                f"{path} cannot be opened just now: {clause(error)}{_if_full(path.parent)}{_if_closed(path)}. "
                "Nothing was written."
            ) from None
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise StoreUnavailable(
                f"{path} is damaged: {clause(error)}. Nothing was written. Restore it from a backup."
            ) from None
        raise WrongDatabase(
            f"{path} is no SQLite database that can be read: {clause(error)}. Nothing was written."
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {clause(error.strerror)}. Nothing was written.") from None
    return connection


def _if_full(folder: Path) -> str:
    """What a disk without space adds to an error: SQLite calls it an error of the disk where it opens a file."""
    with suppress(OSError):
        if os.statvfs(folder).f_bavail == 0:
            return ", and no space is left on its disk"
    return ""


def _if_closed(path: Path) -> str:
    """What this user may not write of what SQLite writes; SQLite does not say which it is."""
    files = (path, Path(f"{path}-wal"), Path(f"{path}-shm"))
    needed = [path.parent, *(file for file in files if os.path.exists(file))]
    closed = [str(one) for one in needed if not os.access(one, os.W_OK)]
    return f"; this user, {os.geteuid()}, may not write {', '.join(closed)}" if closed else ""


def exists(path: Path) -> bool:
    """Whether there is a file, as far as this user may know: one in a folder that is closed to it is there."""
    try:
        return path.exists()
    except PermissionError:
        return True


def note_file(connection: GuardedConnection, path: Path) -> None:
    """Note which file the connection has just opened, and what keeps its write-ahead log small."""
    found = os.stat(path)
    connection.opened_file = OpenedFile(path, found.st_dev, found.st_ino)
    if has_wal_reset_bug():
        connection.after_commit = partial(keep_wal_small, path)


def require_same_file(connection: Any) -> None:
    """Raise `StoreUnavailable` if the file of a connection that was opened here was deleted or replaced."""
    opened: OpenedFile | None = getattr(getattr(connection, "preterite_guard", connection), "opened_file", None)
    if opened is not None:
        opened.require()


def make_private(path: Path) -> None:
    """Make the file and its folder if they are missing, for their owner only.

    A file that exists is never opened here: closing it again would drop the locks that SQLite holds on it for
    this process (POSIX drops them all), and another process could then delete the write-ahead log in use.
    """
    make_private_folder(path.parent)
    refuse_link(path)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def configure(connection: Any) -> None:
    """Set what the promises need, on any connection to the file; outside a transaction."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.fetchall()
    _switch_to_wal(cursor)
    for pragma in (
        "PRAGMA synchronous=FULL",
        f"PRAGMA cache_size=-{CACHE_KIB}",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA wal_autocheckpoint={0 if has_wal_reset_bug() else CHECKPOINT_PAGES}",
        _LIMIT_WAL,
    ):
        cursor.execute(pragma)
        cursor.fetchall()


def _switch_to_wal(cursor: Any) -> None:
    """Switch the file to WAL mode, which does nothing where it is in it.

    Of two connections that switch a new file at once, one is refused without any wait; so it waits for the other here.
    """
    for attempt in range(WAL_ATTEMPTS_MAX):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.fetchall()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == WAL_ATTEMPTS_MAX - 1:
                raise
        cursor.execute("BEGIN EXCLUSIVE")
        cursor.execute("COMMIT")


def plain_cursor(connection: Any) -> Any:
    """A cursor whose rows are tuples, whatever was set on the connection."""
    cursor = connection.cursor()
    if isinstance(cursor, sqlite3.Cursor):
        cursor.row_factory = None
    return cursor


def prepare(connection: Any) -> None:
    """Verify what a user's own connection promises, and take automatic checkpoints off where they are unsafe.

    A setting can only be changed outside a transaction; inside one a weak setting is refused.
    """
    cursor = plain_cursor(connection)
    if has_wal_reset_bug():
        cursor.execute("PRAGMA wal_autocheckpoint=0").fetchall()
    if cursor.execute("PRAGMA synchronous").fetchone()[0] >= _SYNCHRONOUS_FULL:
        return
    try:
        cursor.execute("PRAGMA synchronous=FULL")
    except Exception:
        raise NotDurable(
            "This connection runs with synchronous below FULL inside an open transaction: "
            "a commit could be lost on power failure. Nothing was written. "
            "Set PRAGMA synchronous=FULL when you connect."
        ) from None


def promise(connection: sqlite3.Connection) -> str:
    """Verify the settings and return which promise holds under them; raises `NotDurable` if none does."""
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous < _SYNCHRONOUS_FULL:
        raise NotDurable(
            f"SQLite runs with journal_mode={mode}, synchronous={synchronous}; "
            "commits are only safe with wal and 2 (FULL). Nothing was started. Put the file on a local disk."
        )
    checkpoints = (
        "checkpoints lock out writers, because this version of SQLite can lose commits otherwise"
        if has_wal_reset_bug()
        else "checkpoints are automatic"
    )
    return f"SQLite {sqlite3.sqlite_version}, wal, synchronous=FULL: commits survive power failure; {checkpoints}"


class _Checkpoints:
    """The checkpoints of one file by this process: one at a time, and the size at which the next one is due."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.due_bytes = WAL_BYTES_MAX


_checkpoints: dict[tuple[int, Path], _Checkpoints] = {}
"""By process, for a forked one does not share the locks of its parent; only of files whose log is large."""


def wal_bytes(path: Path) -> int:
    """Size of the file's write-ahead log; 0 where there is none that can be seen."""
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


def keep_wal_small(path: Path) -> None:
    """Checkpoint the file if its write-ahead log is too large; costs a look into the folder where it is not.

    To call after every commit. A commit must not fail afterwards, so what keeps the file from being checkpointed is
    left to the next one. A reader that is still at an older state holds the log back.
    """
    size, key = wal_bytes(path), (os.getpid(), path)
    if size <= WAL_BYTES_MAX:
        if key in _checkpoints:
            _checkpoints.pop(key, None)
        return
    known = _checkpoints.setdefault(key, _Checkpoints())
    if size <= known.due_bytes or not known.lock.acquire(blocking=False):
        return
    try:
        with suppress(sqlite3.Error):
            checkpoint(path, wait_ms=BUSY_TIMEOUT_MS if size > WAL_WAIT_BYTES else 0)
            known.due_bytes = size + WAL_STEP_BYTES
    finally:
        known.lock.release()


def checkpoint(path: Path, *, wait_ms: int = BUSY_TIMEOUT_MS) -> None:
    """Move what is possible from the write-ahead log into the file, without waiting for readers.

    One connection holds the lock of writers while another one checkpoints. So no writer can reset the log meanwhile,
    which is what loses commits (above). Raises `sqlite3.OperationalError` if the lock is not free within `wait_ms`.
    """
    # A file that was deleted is not made again.
    url = f"{path.as_uri()}?mode=rw"
    with closing(sqlite3.connect(url, timeout=wait_ms / 1000, isolation_level=None, uri=True)) as locking:
        locking.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(url, timeout=0.0, isolation_level=None, uri=True)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        locking.execute("ROLLBACK")


def upkeep(connection: Any) -> Callable[[], None] | None:
    """What keeps the write-ahead log small after a commit on a connection that a user has brought."""
    if not has_wal_reset_bug() or getattr(connection, "preterite_guard", None) is not None:
        return None
    cursor = plain_cursor(connection)
    cursor.execute(_LIMIT_WAL).fetchall()
    files = cursor.execute("PRAGMA database_list").fetchall()
    file = next((file for _, name, file in files if name == "main"), None)
    return partial(keep_wal_small, Path(file)) if file else None


def changes(path: Path) -> int:
    """A number that changes, as a rule, after a commit to the file: read from the folder, at little cost.

    A hint: two commits within one tick of the file system's clock may look like one.
    """
    try:
        found = os.stat(f"{path}-wal")
    except FileNotFoundError:
        return 0
    return hash((found.st_mtime_ns, found.st_size))


def data_version(connection: Any) -> int:
    """A number that changes when another connection has committed."""
    return connection.cursor().execute("PRAGMA data_version").fetchone()[0]
