"""Where the parts of one component are asked: its own few threads, and read-only sessions on its own database.

A component that answers slowly takes no threads from the others. What did not answer in time runs to its end here, and
its answer is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from preterite.component import Component
from preterite.composition.parts import Filled, Part
from preterite.opened import OpenSystem

THREADS = 4
WAITING_MAX = 256
"""Calls of one component that run or wait for a thread; one more is refused at once."""


class Busy(Exception):
    """So many calls wait already that one more would only wait longer."""


class Desk:
    """Calls the parts of one component, each in a transaction of its own that only reads. Used by several threads."""

    def __init__(self, system: OpenSystem, component: Component) -> None:
        self._database = system.databases[component.name]
        self._binding = system.binding(component.name)
        self._threads = ThreadPoolExecutor(THREADS, f"parts of {component.name}")
        self._lock = threading.Lock()
        self._waiting = 0
        self._engine: Any = None

    def ask(self, part: Part, arguments: Mapping[str, Any]) -> Future[Any]:
        """Begin to ask a part; what comes of it has what it answers or raises. Raises `Busy` beyond the bound."""
        with self._lock:
            if self._waiting >= WAITING_MAX:
                raise Busy(f"is not asked, since {WAITING_MAX} calls of its component wait already")
            self._waiting += 1
        asked = self._threads.submit(self._call, part, arguments)
        asked.add_done_callback(self._done)
        return asked

    def close(self) -> None:
        """Give threads and connections up; a part that still runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    def _done(self, _asked: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1

    def _call(self, part: Part, arguments: Mapping[str, Any]) -> Any:
        names = {filled: name for name, filled in part.filled.items()}
        if Filled.SESSION in names:
            from sqlalchemy.orm import Session

            with Session(self._reading_engine()) as session:
                return part.function(**arguments, **{names[Filled.SESSION]: session})
        if Filled.CONNECTION not in names:
            return part.function(**arguments)
        connection = self._database.connect()
        try:
            self._database.store.begin_reading(connection)
            return part.function(**arguments, **{names[Filled.CONNECTION]: connection})
        finally:
            connection.close()

    def _reading_engine(self) -> Any:
        with self._lock:
            if self._engine is None:
                self._engine = self._database.reading_engine(self._binding)
            return self._engine
