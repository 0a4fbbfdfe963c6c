"""Connections to PostgreSQL that refuse to end a transaction while handlers run, and report what runs to a watch."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, cast

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from preterite.drivers.settings import SettingsChanged, settings_changed
from preterite.drivers.transaction_watch import Watched, own_table_written
from preterite.errors import HandlerEndedTransaction, OwnTableRefused

STATEMENTS_MAX = 1000
"""Texts of statements whose reading is kept."""
CURSOR_CLASSES_MAX = 100
"""Classes of cursors that the application has chosen and that are kept."""
_ENDS_TRANSACTION = re.compile(
    r"(?:\A|;)\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE,
)
_NOT_CODE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL
)


_BELOW = frozenset({"preterite", "psycopg", "psycopg_pool", "sqlalchemy"})
"""Packages that may use libpq's connection while handlers run."""


class _Info(psycopg.ConnectionInfo):
    """What is known of a connection. It does not give away libpq's."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard

    @property
    def pgconn(self) -> Any:
        """libpq's connection, refused as the connection's own `pgconn` is."""
        return self._guard.libpq_for(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]


class _Guard(Watched):
    """What a guarded connection refuses (protocol rule 9). Its cursors ask it before each statement."""

    flushing: bool = False
    """While a session flushes. If the flush fails, the session rolls back, which is allowed then."""
    pooled: bool = False
    reads_only: bool = False
    """Whether its session refuses to write, also outside of the transaction that a part of a page reads in."""
    reads_committed: bool = False
    """Whether a single statement, outside of an explicit transaction, sees what was committed before it."""
    context: Any = None
    changed: SettingsChanged = SettingsChanged.NO
    """What statements have changed while it was guarded; who runs handlers sets it back."""
    outbox_floor: Any = None
    """Where the store starts to read the outbox on this connection."""
    process: int = 0
    """The process that opened it; 0 until it is open."""
    lent_adapters: AdaptersMap | None = None
    """How values are read and written while a handler runs, which may change it for itself."""
    is_checked: bool = False
    """Whether the statement that is about to be sent was checked."""
    _libpq: Any = None

    @property
    def pgconn(self) -> Any:
        """libpq's connection. What is sent by it cannot be checked, so handlers and units of work may not use it."""
        return self.libpq_for(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]

    @pgconn.setter
    def pgconn(self, opened: Any) -> None:
        self._libpq = opened

    def _known(self) -> Any:
        return _Info(self)

    info = property(_known)
    """What is known of it."""

    def libpq_for(self, frame: Any) -> Any:
        """libpq's connection, for the code that runs in a frame."""
        if self.own_tables_closed:
            # Asked several times for each statement: by the driver itself, nearly always.
            package = frame.f_globals.get("__package__")
            if package != "psycopg" and (package or "").partition(".")[0] not in _BELOW:
                self._refuse_libpq()
        if self._libpq is None:
            raise AttributeError("pgconn")  # as psycopg has it before it has connected
        return self._libpq

    def _refuse_libpq(self) -> None:
        what = "use libpq's connection, past the driver's"
        if self.guarded:
            raise HandlerEndedTransaction.refused(what)
        if self.watch is not None and self.watch.refuses:
            self.watch.refuse(what)

    def lent(self, adapters: AdaptersMap) -> AdaptersMap:
        """The connection's adapters, or while a handler runs a copy of them."""
        if not (self.guarded and self.own_tables_closed):
            return adapters
        if self.lent_adapters is None:
            self.lent_adapters = AdaptersMap(adapters)
        return self.lent_adapters

    @property
    def cursor_factory(self) -> Any:
        """The class of its cursors. Whichever is set, its cursors ask the connection."""
        return self._cursor_factory

    @cursor_factory.setter
    def cursor_factory(self, kind: Any) -> None:
        self._cursor_factory = _guarded(kind)

    @property
    def belongs_here(self) -> bool:
        """Whether this process may close it; closed by a forked one, it would be closed for its parent, too."""
        return self.process in (0, os.getpid())

    @contextmanager
    def guarding(self) -> Generator[None]:
        """Refuse to end the open transaction, and verify at the end that there still is one."""
        self.flushing = False
        self.guarded = True
        try:
            yield
        finally:
            self.guarded = False
        if not is_in_transaction(self):
            raise HandlerEndedTransaction("The batch's transaction ended before the batch did; it was rolled back.")

    def before_statement(self, statement: Any) -> None:
        """Raise for a statement that would begin or end a transaction."""
        if not self.guarded and self.watch is None and not self.own_tables_closed:
            return
        text = statement if isinstance(statement, str) else _text_of(statement)
        if self.watch is not None:
            self.watch.before_statement(text, in_transaction=is_in_transaction(self))
        if not self.guarded and not self.own_tables_closed:
            return
        ends, changes, own_table = _read(text)
        if self.guarded and ends:
            raise HandlerEndedTransaction.refused("begin, commit or roll back (not authorized in SQL either)")
        if self.own_tables_closed and own_table is not None:
            raise OwnTableRefused(own_table)
        if self.guarded:
            self.changed = max(self.changed, changes)

    def before_sending(self, work: Any) -> None:
        """The same for what any cursor of the driver is about to send: COPY, a stream, another class of cursors."""
        if self.is_checked or not (self.guarded or self.watch is not None or self.own_tables_closed):
            return
        frame = getattr(work, "gi_frame", None)
        given: Mapping[str, Any] = {} if frame is None else frame.f_locals
        statement = given.get("query", given.get("statement"))
        if statement is not None:
            self.before_statement(statement)

    def after_statement(self) -> None:
        """Let the watch follow savepoints."""
        if self.watch is not None:
            self.watch.after_statement()

    def before_commit(self) -> None:
        """Raise if the transaction may not be committed here."""
        if self.guarded:
            raise HandlerEndedTransaction.refused("commit")
        if self.watch is not None:
            self.watch.before_commit()

    def before_rollback(self) -> None:
        """Raise if the transaction may not be rolled back here."""
        if self.guarded and not self.flushing:
            raise HandlerEndedTransaction.refused("roll back")
        if self.watch is not None:
            self.watch.before_rollback()

    def before_close(self) -> None:
        """Raise while handlers run: the connection is the batch's. One that is lost may be closed."""
        if self.guarded and is_in_transaction(self):
            raise HandlerEndedTransaction.refused("close the connection")

    @contextmanager
    def following(self) -> Generator[None]:
        """Follow a savepoint of `transaction()`: it is undone where an exception leaves it."""
        watch = self.watch
        position = None if watch is None else watch.position()
        try:
            yield
        except BaseException:
            if watch is not None and position is not None:
                watch.undo_since(position)
            raise


class _Guarded:
    """What a cursor does that asks its connection before each statement; mixed into a class of the driver's cursors."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        guard = _guard_of(self)
        guard.before_statement(query)
        guard.is_checked = True
        try:
            cast(Any, super()).execute(query, *arguments, **options)
        finally:
            guard.is_checked = False
        guard.after_statement()
        return self

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> Any:
        _guard_of(self).before_statement(query)
        return cast(Any, super()).executemany(query, *arguments, **options)

    def stream(self, query: Any, *arguments: Any, **options: Any) -> Generator[Any]:
        _guard_of(self).before_statement(query)
        yield from cast(Any, super()).stream(query, *arguments, **options)

    @contextmanager
    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Generator[Any]:
        _guard_of(self).before_statement(statement)
        with cast(Any, super()).copy(statement, *arguments, **options) as copying:
            yield copying


class _GuardedAsync:
    """The same for asyncio."""

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        guard = _guard_of(self)
        guard.before_statement(query)
        guard.is_checked = True
        try:
            await cast(Any, super()).execute(query, *arguments, **options)
        finally:
            guard.is_checked = False
        guard.after_statement()
        return self

    async def executemany(self, query: Any, *arguments: Any, **options: Any) -> Any:
        _guard_of(self).before_statement(query)
        return await cast(Any, super()).executemany(query, *arguments, **options)

    async def stream(self, query: Any, *arguments: Any, **options: Any) -> AsyncGenerator[Any]:
        _guard_of(self).before_statement(query)
        async for row in cast(Any, super()).stream(query, *arguments, **options):
            yield row

    @asynccontextmanager
    async def copy(self, statement: Any, *arguments: Any, **options: Any) -> AsyncGenerator[Any]:
        _guard_of(self).before_statement(statement)
        async with cast(Any, super()).copy(statement, *arguments, **options) as copying:
            yield copying


@lru_cache(maxsize=CURSOR_CLASSES_MAX)
def _guarded(kind: Any) -> Any:
    """A class of cursors that ask their connection, whichever class the application has chosen."""
    if not _is_subclass(kind, (psycopg.Cursor, psycopg.AsyncCursor)) or _is_subclass(kind, (_Guarded, _GuardedAsync)):
        return kind
    asking = _GuardedAsync if _is_subclass(kind, psycopg.AsyncCursor) else _Guarded
    return type(f"Guarded{kind.__name__}", (asking, kind), {})


def _is_subclass(kind: object, classes: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, classes)


GuardedCursor = _guarded(psycopg.Cursor)
GuardedAsyncCursor = _guarded(psycopg.AsyncCursor)


class GuardedConnection(_Guard, psycopg.Connection[Any]):
    """A connection that, while guarded, refuses to begin, commit or roll back."""

    @property
    def preterite_guard(self) -> GuardedConnection:
        """What refuses to end its transactions: itself."""
        return self

    def restore(self) -> None:
        """Set back what decides how rows are read, which a handler may have set."""
        self.row_factory = tuple_row
        self.cursor_factory = GuardedCursor
        self.lent_adapters = None

    @property
    def adapters(self) -> AdaptersMap:
        """How values are read and written; what a handler registers here ends with its call."""
        return self.lent(super().adapters)

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        self.before_sending(gen)
        return super().wait(gen, *arguments, **options)

    def commit(self) -> None:
        self.before_commit()
        super().commit()

    def rollback(self) -> None:
        self.before_rollback()
        super().rollback()

    def close(self) -> None:
        self.before_close()
        if self.belongs_here:
            super().close()

    @contextmanager
    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Generator[Any]:
        with super().transaction(savepoint_name, force_rollback) as opened, self.following():
            yield opened
            if force_rollback:
                raise psycopg.Rollback(opened)


class GuardedAsyncConnection(_Guard, psycopg.AsyncConnection[Any]):
    """The same for asyncio; it is its own guard."""

    @property
    def preterite_guard(self) -> GuardedAsyncConnection:
        """What transaction runners ask for the guard."""
        return self

    def restore(self) -> None:
        """Set back what decides how rows are read, which a handler may have set."""
        self.row_factory = tuple_row
        self.cursor_factory = GuardedAsyncCursor
        self.lent_adapters = None

    @property
    def adapters(self) -> AdaptersMap:
        """How values are read and written; what a handler registers here ends with its call."""
        return self.lent(super().adapters)

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        self.before_sending(gen)
        return await super().wait(gen, *arguments, **options)

    async def commit(self) -> None:
        self.before_commit()
        await super().commit()

    async def rollback(self) -> None:
        self.before_rollback()
        await super().rollback()

    async def close(self) -> None:
        self.before_close()
        if self.belongs_here:
            await super().close()

    @asynccontextmanager
    async def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> AsyncGenerator[Any]:
        async with super().transaction(savepoint_name, force_rollback) as opened:
            with self.following():
                yield opened
                if force_rollback:
                    raise psycopg.Rollback(opened)


def is_in_transaction(connection: Any) -> bool:
    """Whether a transaction is open."""
    return connection.info.transaction_status not in (pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN)


def _guard_of(cursor: Any) -> _Guard:
    return cursor.connection


@lru_cache(maxsize=STATEMENTS_MAX)
def _read(text: str) -> tuple[bool, SettingsChanged, str | None]:
    """Whether statements end a transaction, what they set, and to which table of Preterite's own they write."""
    code = _NOT_CODE.sub(" ", text)
    return _ENDS_TRANSACTION.search(code) is not None, settings_changed(code), own_table_written(text)


def _text_of(statement: Any) -> str:
    if isinstance(statement, bytes):
        return statement.decode(errors="replace")
    return statement.as_string(None)
