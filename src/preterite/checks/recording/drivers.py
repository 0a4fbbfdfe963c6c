"""What each driver runs: SQLite's trace, psycopg's cursors, SQLAlchemy's engines, Django's connections.

A statement that SQLAlchemy or Django runs is not recorded again when their driver runs it.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from preterite.checks.sql.databases import database_at
from preterite.checks.sql.tables import Dialect

RecordStatement = Callable[[Callable[[], Any], object, Dialect], None]
RecordConnection = Callable[[Callable[[], str]], None]
Hook = Callable[[RecordStatement, RecordConnection], AbstractContextManager[None]]
_under_way: set[int] = set()
"""The connections on which SQLAlchemy or Django runs a statement that is recorded already, by identity."""


@contextmanager
def replaced(owner: Any, name: str, made: Callable[[Any], Any]) -> Generator[None]:
    """Put something made of an attribute in its place, for a while."""
    before = getattr(owner, name)
    setattr(owner, name, made(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def hook_sqlite(record: RecordStatement, connected: RecordConnection) -> Generator[None]:
    """Connections that are opened from now on record what they run."""

    def around(connect: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*arguments: Any, **named: Any) -> Any:
            connection = connect(*arguments, **named)
            identity = id(connection)  # A reference would keep it open.

            def trace(statement: str) -> None:
                if identity not in _under_way:
                    record(lambda: statement, None, "sqlite")

            connection.set_trace_callback(trace)
            return connection

        return traced

    with replaced(sqlite3, "connect", around), replaced(importlib.import_module("sqlite3.dbapi2"), "connect", around):
        yield


@contextmanager
def hook_psycopg(record: RecordStatement, connected: RecordConnection) -> Generator[None]:
    """Cursors and connections of psycopg, if it is installed."""
    try:
        import psycopg
    except ModuleNotFoundError:
        yield
        return

    def around(execute: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(self: Any, query: Any, *others: Any, **named: Any) -> Any:
            if id(self.connection) not in _under_way:
                record(lambda: _text(query, self), self.connection, "postgres")
            return execute(self, query, *others, **named)

        return recorded

    def connecting(before: Any) -> Any:
        def connect(cls: Any, conninfo: str = "", **named: Any) -> Any:
            connected(lambda: _target(conninfo, named))
            return before.__func__(cls, conninfo, **named)

        return classmethod(connect)

    with ExitStack() as stack:
        for kind in (psycopg.Cursor, psycopg.AsyncCursor, psycopg.ServerCursor, psycopg.AsyncServerCursor):
            for name in ("execute", "executemany", "copy", "stream"):
                if name in vars(kind):
                    stack.enter_context(replaced(kind, name, around))
        for kind in (psycopg.Connection, psycopg.AsyncConnection):
            before = vars(kind)["connect"]
            setattr(kind, "connect", connecting(before))  # noqa: B010 - it is a class method
            stack.callback(setattr, kind, "connect", before)
        # psycopg.connect was bound when the module was imported.
        stack.enter_context(replaced(psycopg, "connect", lambda _: psycopg.Connection.connect))
        yield


def _text(query: Any, cursor: Any) -> Any:
    """The text of a query of psycopg, which may be composed or a template."""
    from psycopg import sql

    return query if isinstance(query, (str, bytes)) else sql.as_string(query, cursor)


def _target(conninfo: str, named: dict[str, Any]) -> str:
    """The database that psycopg connects to."""
    from psycopg.conninfo import conninfo_to_dict

    given = {key: value for key, value in named.items() if key in ("host", "hostaddr", "port", "dbname")}
    parts = conninfo_to_dict(conninfo, **given)
    host = parts.get("host") or parts.get("hostaddr") or ""
    return database_at(str(host), str(parts.get("port") or ""), str(parts.get("dbname") or ""))


@contextmanager
def hook_sqlalchemy(record: RecordStatement, connected: RecordConnection) -> Generator[None]:
    """SQLAlchemy's engines, with every driver."""
    if "sqlalchemy" not in sys.modules:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def begin(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        driver = connection.connection.driver_connection
        record(lambda: statement, driver, dialect_called(connection.dialect.name))
        _under_way.add(_identity(driver))

    def end(connection: Any, *_: Any) -> None:
        _under_way.discard(_identity(connection.connection.driver_connection))

    def fail(context: Any) -> None:
        if context.connection is not None and not context.connection.invalidated:
            end(context.connection)

    hooks: dict[str, Callable[..., None]] = {
        "before_cursor_execute": begin,
        "after_cursor_execute": end,
        "handle_error": fail,
    }
    with ExitStack() as stack:
        for name, hook in hooks.items():
            event.listen(Engine, name, hook)
            stack.callback(event.remove, Engine, name, hook)
        yield


@contextmanager
def hook_django(record: RecordStatement, connected: RecordConnection) -> Generator[None]:
    """Django's connections, open ones and new ones."""
    if "django" not in sys.modules:
        yield
        return
    connections: Any = importlib.import_module("django.db").connections
    created: Any = importlib.import_module("django.db.backends.signals").connection_created

    def wrapped(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        driver = context["connection"].connection
        record(lambda: sql, driver, dialect_called(context["connection"].vendor))
        _under_way.add(_identity(driver))
        try:
            return execute(sql, parameters, many, context)
        finally:
            _under_way.discard(_identity(driver))

    def add(connection: Any, **_: Any) -> None:
        if wrapped not in connection.execute_wrappers:
            connection.execute_wrappers.append(wrapped)

    def opened() -> list[Any]:
        """Empty if Django is imported but not configured."""
        configured = importlib.import_module("django.conf").settings.configured
        return connections.all(initialized_only=True) if configured else []

    created.connect(add)
    for one in opened():
        add(one)
    try:
        yield
    finally:
        created.disconnect(add)
        for one in opened():
            if wrapped in one.execute_wrappers:
                one.execute_wrappers.remove(wrapped)


def dialect_called(name: str) -> Dialect:
    """The dialect that SQLAlchemy or Django calls so."""
    return "postgres" if name.startswith("postgres") else "sqlite"


def _identity(driver: Any) -> int:
    """The identity of a driver's connection; aiosqlite keeps it in a wrapper."""
    return id(getattr(driver, "_conn", driver))
