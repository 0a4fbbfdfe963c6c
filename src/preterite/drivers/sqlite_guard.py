"""Connections to a SQLite file that refuse to end a transaction while handlers run, and report what runs to a watch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from preterite.drivers.settings import SettingsChanged
from preterite.drivers.transaction_watch import TransactionWatch, Watched
from preterite.errors import FileReplaced, HandlerEndedTransaction, OwnTableRefused, StoreUnavailable

_TRANSACTION = sqlite3.SQLITE_TRANSACTION
_RAISED_BY = "preterite_raised_by"
_READING_PRAGMAS = frozenset(
    {
        "data_version",
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
"""Those whose value is a question, and one that ends with the transaction."""
_OUTLASTING = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
    }
)
"""Actions of statements that change the connection and not the file."""
_OWN_TABLES = "preterite_"
_STEPS_BETWEEN_LOOKS = 100_000
"""How many of SQLite's virtual-machine steps a statement runs, some milliseconds, before it looks whether to stop."""
_CHANGING_ROWS = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_CHANGING_TABLES = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_VTABLE,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)
"""Actions on a table or on what belongs to it. A temporary one of the same name would stand before the core's."""


class OpenedFile(NamedTuple):
    """A file as it was when a connection opened it."""

    path: Path
    device: int
    inode: int

    def require(self) -> None:
        """Raise if the path names that file no more: what is written to a deleted file is lost with the process.

        Raises `FileReplaced` if there is another file, `StoreUnavailable` while there is none.
        """
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise StoreUnavailable(
                f"{self.path} was deleted or moved while it was in use. Nothing was written. Put that file back, or "
                "restore a backup."
            ) from None
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise FileReplaced(
                f"{self.path} was replaced by another file while it was in use. Nothing was written. "
                "This process has to be started again."
            )


def was_raised_by(connection: Any, error: BaseException) -> bool:
    """Whether a statement on this connection has raised it; true where that is not known."""
    guard = getattr(connection, "preterite_guard", None)
    return guard is None or getattr(error, _RAISED_BY, None) == id(guard)


def _sign(error: sqlite3.Error, connection: Any) -> None:
    """Mark which connection has raised it; by a number, because a reference would keep both alive.

    Raises `OwnTableRefused` where its authorizer has refused a table of Preterite's own.
    """
    setattr(error, _RAISED_BY, id(connection))
    table: str | None = getattr(connection, "refused_table", None)
    if table is not None:
        connection.refused_table = None
        raise OwnTableRefused(table) from None


def _to_be_authorized(connection: Any, sql: str) -> str:
    """The statement, in words that are not found among the core's prepared ones: these are not authorized again."""
    return f"{sql} " if getattr(connection, "own_tables_closed", False) and _OWN_TABLES in sql else sql


class GuardedCursor(sqlite3.Cursor):
    """A cursor that reports what it runs to the watch of its connection, and signs what it raises."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        watch: TransactionWatch | None = getattr(self.connection, "watch", None)
        if watch is not None:
            watch.before_statement(sql, in_transaction=self.connection.in_transaction)
        try:
            super().execute(_to_be_authorized(self.connection, sql), parameters)
        except sqlite3.Error as error:
            _sign(error, self.connection)
            raise
        if watch is not None:
            watch.after_statement()
        return self

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        watch: TransactionWatch | None = getattr(self.connection, "watch", None)
        if watch is not None:
            watch.before_statement(sql, in_transaction=self.connection.in_transaction)
        try:
            return super().executemany(_to_be_authorized(self.connection, sql), parameters)
        except sqlite3.Error as error:
            _sign(error, self.connection)
            raise

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        watch: TransactionWatch | None = getattr(self.connection, "watch", None)
        if watch is not None and watch.refuses:
            watch.refuse("commit (executescript does)")
        return super().executescript(sql_script)


class GuardedConnection(Watched, sqlite3.Connection):
    """A connection that, while guarded, refuses to begin, commit or roll back (protocol rule 9).

    The refusal is SQLite's own, by its authorizer, so SQL text is refused like method calls. Statements
    are authorized when prepared; `commit` and `rollback` prepare theirs anew each time, and no transaction
    statement is run through the statement cache except BEGIN, which a running transaction refuses anyway.

    SQLite itself ends a transaction on INSERT OR ROLLBACK, RAISE(ROLLBACK) or a full disk. Statements
    that follow would then each commit by themselves; instead each tries to begin a transaction, and is refused.
    """

    flushing: bool = False
    """While a session flushes. If the flush fails, the session rolls back, which is allowed then."""
    refused_table: str | None = None
    """The own table that the last statement was refused for."""
    context: Any = None
    changed: SettingsChanged = SettingsChanged.NO
    """What was changed while it was guarded, besides rows; who runs handlers sets it back."""
    opened_file: OpenedFile | None = None
    after_commit: Callable[[], None] | None = None
    """What is to do after each commit; it raises nothing."""
    reads_only: bool = False
    """Whether it refuses every statement that writes."""
    is_given_up: bool = False
    """Whether it is only to be closed: no statement begins or runs on, but a ROLLBACK."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.process = os.getpid()
        """The process that opened it. SQLite forbids another one, which was forked, to use it."""
        self._set_hooks()

    @property
    def preterite_guard(self) -> GuardedConnection:
        """What refuses to end its transactions; aiosqlite's connections carry one, too."""
        return self

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or GuardedCursor)

    # sqlite3's own shortcuts make cursors past the method above.

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.watch is not None:
            return self.cursor().execute(sql, parameters)
        try:
            return super().execute(_to_be_authorized(self, sql), parameters)
        except sqlite3.Error as error:
            _sign(error, self)
            raise

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if self.watch is not None:
            return self.cursor().executemany(sql, parameters)
        try:
            return super().executemany(_to_be_authorized(self, sql), parameters)
        except sqlite3.Error as error:
            _sign(error, self)
            raise

    @contextmanager
    def guarding(self) -> Generator[None]:
        """Refuse to end the open transaction, and verify at the end that it is still the same one."""
        self.isolation_level = "IMMEDIATE"
        self.flushing = False
        self.guarded = True
        try:
            yield
        finally:
            self.guarded = False
        if not self.in_transaction:
            raise HandlerEndedTransaction("The batch's transaction ended before the batch did; it was rolled back.")

    def forget_watch(self) -> None:
        """The same, and refuse again what it refuses, whatever its session has put in that place."""
        super().forget_watch()
        if self._has_others_hooks:
            self._set_hooks()

    def _set_hooks(self) -> None:
        # SQLite prepares every statement anew after a change of the authorizer, so it is set as seldom as can be.
        super().set_authorizer(self._authorize)
        super().set_progress_handler(self._must_stop, _STEPS_BETWEEN_LOOKS)
        self._has_others_hooks = False

    def give_up(self) -> None:
        """Have the statement that runs in another thread stop, and those that wait there refused: it is to be closed.

        `sqlite3_interrupt` alone has no effect on a statement that has not begun: it would begin, and might never end.
        """
        self.is_given_up = True
        super().give_up()
        with suppress(sqlite3.Error):
            self.interrupt()

    def _must_stop(self) -> bool:
        return self.is_given_up

    def restore(self) -> None:
        """Set back what decides how rows are read, which a handler may have set."""
        self.row_factory = None
        self.text_factory = str

    def _authorize(self, action: int, *details: object) -> int:
        if self.is_given_up and (action, details[0]) != (_TRANSACTION, "ROLLBACK"):
            return sqlite3.SQLITE_DENY
        if self.guarded and not self.in_transaction:
            return sqlite3.SQLITE_DENY
        if self.own_tables_closed and self._is_own_table(action, details):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA and self.reads_only and str(details[0]).lower() == "query_only":
            return sqlite3.SQLITE_OK if details[1] is None else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA and self.guarded:
            return self._authorize_pragma(details[0], details[1])
        if action in _OUTLASTING:
            self._note_change()
        if action != _TRANSACTION:
            return sqlite3.SQLITE_OK
        if self.guarded and not (self.flushing and details[0] == "ROLLBACK"):
            return sqlite3.SQLITE_DENY
        # `with connection:` and a new isolation level commit past the methods below.
        if self.watch is not None and not self.watch.allows(str(details[0])):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _is_own_table(self, action: int, details: tuple[object, ...]) -> bool:
        names = details[:1] if action in _CHANGING_ROWS else details[:2] if action in _CHANGING_TABLES else ()
        own = [name for name in names if isinstance(name, str) and name.lower().startswith(_OWN_TABLES)]
        self.refused_table = own[0] if own else self.refused_table
        return bool(own)

    def _authorize_pragma(self, pragma: object, value: object) -> int:
        if value is None:
            return sqlite3.SQLITE_OK
        self._note_change()
        return sqlite3.SQLITE_OK if str(pragma).lower() in _READING_PRAGMAS else sqlite3.SQLITE_DENY

    def _note_change(self) -> None:
        if self.guarded:
            # Also where it ends with the transaction: a statement that is cached is not authorized again.
            self.changed = SettingsChanged.IN_SESSION

    def commit(self) -> None:
        self._refuse("commit")
        if self.watch is not None:
            self.watch.before_commit()
        super().commit()
        if self.after_commit is not None:
            self.after_commit()

    def rollback(self) -> None:
        if not self.flushing:
            self._refuse("roll back")
        if self.watch is not None:
            self.watch.before_rollback()
        try:
            super().rollback()
        except sqlite3.Error:
            if not self._has_others_hooks:
                raise
            # A hook that denies even this would leave the file locked.
            self._set_hooks()
            super().rollback()

    # What would outlast the handler, and meet the next ones and the core.

    def close(self) -> None:
        self._refuse("close the connection")
        with suppress(sqlite3.Error):
            # Cursors that were not read to their end keep a closed connection alive, and with it the file's lock.
            if self.in_transaction:
                super().rollback()
        super().close()

    def set_authorizer(self, authorizer_callback: Any) -> None:
        self._refuse_hook("replace the connection's authorizer")
        super().set_authorizer(authorizer_callback)

    def set_progress_handler(self, *arguments: Any, **options: Any) -> None:
        self._refuse_hook("set a progress handler")
        super().set_progress_handler(*arguments, **options)

    def _refuse_hook(self, what: str) -> None:
        """Refuse it to handlers and units of work; what others put there ends with their use of the connection."""
        self._refuse(what)
        if self.watch is not None and self.watch.refuses:
            self.watch.refuse(what)
        self._has_others_hooks = True

    def setlimit(self, category: int, limit: int, /) -> int:
        self._refuse("change the connection's limits")
        return super().setlimit(category, limit)

    def blobopen(self, table: str, column: str, row: int, /, **options: Any) -> sqlite3.Blob:
        if self.own_tables_closed and table.lower().startswith(_OWN_TABLES) and not options.get("readonly"):
            raise OwnTableRefused(table)
        return super().blobopen(table, column, row, **options)

    def deserialize(self, *arguments: Any, **options: Any) -> None:
        self._refuse("replace the database")
        super().deserialize(*arguments, **options)

    # What outlasts the handler as well, and is of use to it.

    def create_function(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().create_function(*arguments, **options)

    def create_aggregate(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().create_aggregate(*arguments, **options)

    def create_window_function(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().create_window_function(*arguments, **options)

    def create_collation(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().create_collation(*arguments, **options)

    def set_trace_callback(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().set_trace_callback(*arguments, **options)

    def enable_load_extension(self, *arguments: Any, **options: Any) -> None:
        self._note_change()
        super().enable_load_extension(*arguments, **options)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        self._refuse("commit (executescript does)")
        if self.watch is None:
            return super().executescript(sql_script)
        return self.cursor().executescript(sql_script)

    def _refuse(self, what: str) -> None:
        if self.guarded:
            raise HandlerEndedTransaction.refused(what)
