"""Where the parts of one component are asked: a few at a time, each with a read-only connection to its own database.

A component that answers slowly takes no more of the threads than its few. What did not answer in time runs to its end
here, and its answer is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from preterite.component import Component
from preterite.composition.parts import Filled, Part
from preterite.opened import OpenSystem

CALLS_AT_A_TIME = 4


class Desk:
    """Calls the parts of one component, each in a transaction of its own that only reads. Used by several threads."""

    def __init__(self, system: OpenSystem, component: Component) -> None:
        self._database = system.databases[component.name]
        self._binding = system.binding(component.name)
        self.computes_here = not self._database.store.writes_at_once
        """Whether its database is a file that this process reads, rather than a server that it waits for."""
        self._places = threading.Semaphore(CALLS_AT_A_TIME)
        self._lock = threading.Lock()
        self._engine: Any = None
        self._free: list[Any] = []
        """SQLAlchemy's connections that nobody uses just now.

        To SQLAlchemy each is in one transaction for good. Those of the database begin and end past it, since that is
        most of what a part would take otherwise.
        """
        self._closed = False

    def enter(self) -> bool:
        """Take one of the few places, if one is free; `call` gives it back."""
        return self._places.acquire(blocking=False)

    def call(self, part: Part, arguments: Mapping[str, Any]) -> Any:
        """What a part answers; whatever it raises passes through."""
        try:
            return self._call(part, arguments)
        finally:
            self._places.release()

    def close(self) -> None:
        """Give the connections up; that of a part that still runs goes when it ends."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()
        if self._engine is not None:
            self._engine.dispose()

    def _call(self, part: Part, arguments: Mapping[str, Any]) -> Any:
        filled = next(((name, what) for name, what in part.filled.items() if what is not Filled.ASK), None)
        if filled is None:
            return part.function(**arguments)
        name, what = filled
        if what is Filled.DRIVER:
            return self._call_with_driver(part, arguments, name)
        connection = self._connection()
        driver = connection.connection.driver_connection
        try:
            self._database.store.begin_reading(driver)
            if what is Filled.CONNECTION:
                found = part.function(**arguments, **{name: connection})
            else:
                found = self._call_with_session(part, arguments, name, connection)
            driver.rollback()
        except BaseException:
            # Whatever it was, the next call begins with another connection.
            with suppress(Exception):
                connection.invalidate()
            connection.close()
            raise
        self._keep(connection)
        return found

    def _call_with_session(self, part: Part, arguments: Mapping[str, Any], name: str, connection: Any) -> Any:
        from sqlalchemy.orm import Session

        with Session(connection) as session:
            return part.function(**arguments, **{name: session})

    def _call_with_driver(self, part: Part, arguments: Mapping[str, Any], name: str) -> Any:
        connection = self._database.connect()
        try:
            self._database.store.begin_reading(connection)
            return part.function(**arguments, **{name: connection})
        finally:
            connection.close()

    def _connection(self) -> Any:
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._engine is None:
                self._engine = self._database.reading_engine(self._binding)
        connection = self._engine.connect()
        connection.begin()
        connection.connection.driver_connection.rollback()
        return connection

    def _keep(self, connection: Any) -> None:
        with self._lock:
            # A part may have ended what is SQLAlchemy's transaction.
            if not self._closed and connection.in_transaction():
                self._free.append(connection)
                return
        connection.close()
