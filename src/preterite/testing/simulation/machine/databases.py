"""Real SQLite, with a point before every statement, and with the faults that a disk and a lock bring."""

from __future__ import annotations

import sqlite3
from typing import Any

from preterite.drivers import sqlite as sqlite_file
from preterite.drivers.sqlite_guard import GuardedConnection, GuardedCursor
from preterite.store.sqlite import engine as sqlite_engine
from preterite.store.sqlite.store import SqliteDatabase
from preterite.testing.simulation.machine.faults import COMMIT_UNKNOWN, FULL, LOCKED, sqlite_error
from preterite.testing.simulation.machine.marks import MarkingStore
from preterite.testing.simulation.machine.scheduler import Scheduler

_WRITES = ("INSERT", "UPDATE", "DELETE")


class SimulatedCursor(GuardedCursor):
    """Stops before each statement."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self._before(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        self._before(sql)
        return super().executemany(sql, parameters)

    def _before(self, sql: str) -> None:
        connection: Any = self.connection
        if isinstance(connection, SimulatedConnection):
            connection.before(sql)


class SimulatedConnection(GuardedConnection):
    """A connection whose statements and commits are points of the simulation."""

    scheduler: Scheduler
    label: str = ""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(SimulatedCursor)

    def before(self, sql: str) -> None:
        """What may happen before a statement."""
        scheduler = getattr(self, "scheduler", None)
        if scheduler is None or scheduler.worker is None:
            return
        word = sql.split(None, 1)[0].upper()
        scheduler.point(f"{self.label} {word}")
        if word == "BEGIN" and scheduler.faults.strikes(LOCKED):
            raise sqlite_error("database is locked", sqlite3.SQLITE_BUSY)
        if word in _WRITES and scheduler.faults.strikes(FULL):
            scheduler.history.note(f"{self.label} disk full")
            raise sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)

    def commit(self) -> None:
        scheduler = getattr(self, "scheduler", None)
        if scheduler is None or scheduler.worker is None or not self.in_transaction:
            super().commit()
            return
        scheduler.point(f"{self.label} COMMIT")
        super().commit()
        if scheduler.faults.strikes(COMMIT_UNKNOWN):
            scheduler.history.note(f"{self.label} committed, and the answer is lost")
            raise sqlite_error("disk I/O error", sqlite3.SQLITE_IOERR)
        scheduler.point(f"{self.label} committed")


class SimulatedDatabase(SqliteDatabase):
    """A component's file in a simulated world; its connections end with the worker that opened them."""

    def __init__(self, url: str, scheduler: Scheduler) -> None:
        super().__init__(url)
        self._scheduler = scheduler
        self.store = MarkingStore(scheduler.history)
        self._engines: list[Any] = []

    def connect(self) -> GuardedConnection:
        connection = sqlite_file.open_file(self.path, SimulatedConnection)
        # The holder of the lock has no turn while another waits for it.
        connection.execute("PRAGMA busy_timeout=0")
        connection.scheduler = self._scheduler
        connection.label = self.path.stem
        worker = self._scheduler.worker
        if worker is not None:
            worker.closers.append(connection.close)
        return connection

    def engine(self, context: Any, *, batch: bool | None = None) -> Any:
        self._engines.append(sqlite_engine.engine(self.connect, context))
        return self._engines[-1]

    def dispose(self) -> None:
        """Forget the connections of engines: their worker has ended."""
        for engine in self._engines:
            engine.dispose()
