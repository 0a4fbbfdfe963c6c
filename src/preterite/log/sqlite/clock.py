"""Where a demo's business clock stands, kept in the log's file so that every process of the system reads the same."""

from __future__ import annotations

import threading
from pathlib import Path

from preterite.drivers import sqlite as sqlite_file
from preterite.log.contract import MACHINE_TIME, ClockSetting

SCHEMA = """CREATE TABLE IF NOT EXISTS log_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1), frozen_at REAL, offset_seconds REAL NOT NULL) STRICT"""
_READ = "SELECT frozen_at, offset_seconds FROM log_clock"
_WRITE = "INSERT OR REPLACE INTO log_clock VALUES (1, ?, ?)"


class SqliteClock:
    """The setting, on a connection of its own. Used by any thread; read again only when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite_file.open_file(path)
        # A demo's clock may lose its last move when the power goes; it is not worth waiting for the disk each time.
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._version = -1
        self._setting = MACHINE_TIME

    def read(self) -> ClockSetting:
        """Where the clock stands."""
        with self._lock:
            version = sqlite_file.data_version(self._connection)
            if version != self._version:
                self._version = version
                row = self._connection.execute(_READ).fetchone()
                self._setting = MACHINE_TIME if row is None else ClockSetting(*row)
            return self._setting

    def write(self, setting: ClockSetting) -> None:
        """Set it for every process."""
        with self._lock:
            self._connection.execute(_WRITE, setting)
            self._setting = setting

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
