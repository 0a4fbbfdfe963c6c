"""A pool for each component: calls a few of its parts at a time, each with a read-only connection to its database.

A component that answers slowly takes no more threads than it has places. A part that did not answer in time runs to
its end here, and its result is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from preterite.component import Component
from preterite.composition.parts import Injected, Part
from preterite.drivers.extras import needing
from preterite.open_system import OpenSystem

CALLS_AT_A_TIME = 4
"""Calls to one component that run at the same time in a process."""


class ComponentPool:
    """Calls the parts of one component, each in a read-only transaction of its own. Used by several threads."""

    def __init__(self, system: OpenSystem, component: Component) -> None:
        self._component = component.name
        self._runtime = system.runtime
        self._database = system.databases[component.name]
        self.reads_files = not self._database.store.writes_at_once
        """Whether its database is a file that this process reads, rather than a server."""
        self._places = threading.Semaphore(CALLS_AT_A_TIME)
        self._lock = threading.Lock()
        self._engine: Any = None
        self._free: list[Any] = []
        """SQLAlchemy's connections that are not in use.

        For SQLAlchemy each stays in one transaction. The transactions of the database begin and end without it, since
        otherwise that would take most of a part's time.
        """
        self._closed = False

    def enter(self) -> bool:
        """Take a place, if one is free; `call` releases it."""
        return self._places.acquire(blocking=False)

    def call(self, part: Part, arguments: Mapping[str, Any]) -> Any:
        """Call a part and return what it returns or raises."""
        try:
            return self._call(part, arguments)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close the connections; that of a part that is still running is closed when the part ends."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()
        if self._engine is not None:
            self._engine.dispose()

    def _call(self, part: Part, arguments: Mapping[str, Any]) -> Any:
        injected = next(((name, what) for name, what in part.injected.items() if what is not Injected.REQUEST), None)
        if injected is None:
            return part.function(**arguments)
        name, what = injected
        if what is Injected.DRIVER:
            return self._call_with_driver(part, arguments, name)
        connection = self._connection()
        driver = connection.connection.driver_connection
        try:
            self._database.store.begin_reading(driver)
            if what is Injected.CONNECTION:
                found = part.function(**arguments, **{name: connection})
            else:
                found = self._call_with_session(part, arguments, name, connection)
            driver.rollback()
        except BaseException:
            # Whatever the error, the next call uses another connection.
            with suppress(Exception):
                connection.invalidate()
            connection.close()
            raise
        self._keep(connection)
        return found

    def _call_with_session(self, part: Part, arguments: Mapping[str, Any], name: str, connection: Any) -> Any:
        with needing(f"Part {part.full_name}, which takes a Session,"):
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
            while self._free:
                kept = self._free.pop()
                if self._database.store.is_open(kept.connection.driver_connection):
                    return kept
                kept.invalidate()
                kept.close()
            if self._engine is None:
                self._engine = self._database.reading_engine(self._runtime.context(self._component))
        connection = self._engine.connect()
        connection.begin()
        connection.connection.driver_connection.rollback()
        return connection

    def _keep(self, connection: Any) -> None:
        with self._lock:
            # A part may have ended SQLAlchemy's transaction.
            if not self._closed and connection.in_transaction():
                self._free.append(connection)
                return
        connection.close()
