"""SQLAlchemy engines on a component's PostgreSQL database, by psycopg.

Connections are the guarded ones; each transaction is begun in words, with the settings that the store needs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DisconnectionError

from preterite.drivers import postgres as postgres_server
from preterite.drivers.extras import require
from preterite.drivers.postgres_place import Place
from preterite.drivers.transaction_watch import forget_watch, let_close

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

POOL_CONNECTIONS = 5
"""Connections that the pool of an engine keeps open."""
POOL_OVERFLOW = 10
"""Connections that an engine may open beyond its pool."""
_USED = "preterite_used"


def engine(place: Place, context: Any, beginning: str) -> Engine:
    """An engine for plain sessions; `beginning` opens each transaction."""

    def connect() -> Any:
        connection = postgres_server.connect(place)
        connection.context = context
        return connection

    made = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=connect, pool_size=POOL_CONNECTIONS, max_overflow=POOL_OVERFLOW
    )
    event.listen(made, "begin", partial(_begin, beginning))
    event.listen(made, "checkout", _refuse_dropped)
    event.listen(made, "checkin", forget_watch)
    event.listen(made, "invalidate", let_close)
    return made


def async_engine(place: Place, context: Any, beginning: str) -> AsyncEngine:
    """The same for asyncio sessions."""
    require("A session for asyncio", "greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> Any:
        connection = await postgres_server.connect_async(place)
        connection.context = context
        return connection

    made = create_async_engine(
        "postgresql+psycopg://", async_creator=connect, pool_size=POOL_CONNECTIONS, max_overflow=POOL_OVERFLOW
    )
    event.listen(made.sync_engine, "begin", partial(_begin, beginning))
    event.listen(made.sync_engine, "checkout", _refuse_dropped)
    event.listen(made.sync_engine, "checkin", forget_watch)
    event.listen(made.sync_engine, "invalidate", let_close)
    return made


def _begin(beginning: str, connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if driver.guarded:
        return  # the call of a handler, in the batch's transaction
    postgres_server.run(connection.connection.dbapi_connection, postgres_server.signed(driver, beginning))


def _refuse_dropped(connection: Any, record: Any, _proxy: Any) -> None:
    """SQLAlchemy then takes another connection: the first request after a server was restarted does not fail.

    A session that only reads, and was used before, may have begun while the server did not write.
    """
    driver = getattr(connection, "driver_connection", connection)
    was_used, record.info[_USED] = _USED in record.info, True
    if postgres_server.is_dropped(driver) or (was_used and postgres_server.is_read_only(driver)):
        raise DisconnectionError
