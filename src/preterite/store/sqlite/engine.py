"""SQLAlchemy engines on a component's SQLite file.

Every transaction begins as a writer, with the settings that the store needs; but for those that only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from preterite.drivers import sqlite as sqlite_file
from preterite.drivers.extras import require
from preterite.drivers.sqlite_guard import GuardedConnection
from preterite.drivers.transaction_watch import forget_watch, let_close

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def engine(connect: Callable[[], GuardedConnection], context: Any, *, reading: bool = False) -> Engine:
    """An engine for plain sessions, on connections that are opened so; `reading`, they refuse to write."""

    def connect_bound() -> sqlite3.Connection:
        connection = connect()
        connection.context = context
        if reading:
            connection.execute("PRAGMA query_only = 1")
            connection.reads_only = True
        return connection

    made = sqlalchemy.create_engine("sqlite://", creator=connect_bound, poolclass=sqlalchemy.QueuePool)
    event.listen(made, "begin", _begin_reading if reading else _begin)
    event.listen(made, "checkin", forget_watch)
    event.listen(made, "invalidate", let_close)
    return made


def async_engine(path: Path, context: Any, require_file: Callable[[], None]) -> AsyncEngine:
    """An engine for asyncio sessions, by aiosqlite. Its connections carry their guard as `preterite_guard`.

    `require_file` raises where the file is gone.
    """
    require("A session for asyncio", "greenlet", "aiosqlite")
    import aiosqlite
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> aiosqlite.Connection:
        opened: list[GuardedConnection] = []

        def open_guarded(*arguments: Any, **options: Any) -> sqlite3.Connection:
            opened.append(GuardedConnection(*arguments, **options))
            return opened[0]

        require_file()
        sqlite_file.make_private(path)
        connection = await aiosqlite.connect(path, isolation_level=None, check_same_thread=False, factory=open_guarded)
        try:
            sqlite_file.configure(opened[0])
            sqlite_file.note_file(opened[0], path)
        except BaseException:
            await connection.close()
            raise
        opened[0].context = context
        connection.preterite_guard = opened[0]  # pyright: ignore[reportAttributeAccessIssue] - aiosqlite has no place for it
        return connection

    made = create_async_engine("sqlite+aiosqlite://", async_creator=connect, poolclass=sqlalchemy.AsyncAdaptedQueuePool)
    event.listen(made.sync_engine, "begin", _begin)
    event.listen(made.sync_engine, "checkin", forget_watch)
    event.listen(made.sync_engine, "invalidate", let_close)
    return made


def _begin(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if getattr(driver, "preterite_guard", driver).guarded:
        return  # the call of a handler, in the batch's transaction
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    # Past SQLAlchemy, whose way to the driver takes ten times as long as this statement.
    connection.connection.cursor().execute("BEGIN")
