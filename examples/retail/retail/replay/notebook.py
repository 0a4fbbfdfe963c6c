"""What the replay itself remembers, beside the components: how far it is, and which lines it set aside, and why."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

TABLES = """
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), lines_done INTEGER, stop TEXT);
CREATE TABLE IF NOT EXISTS set_aside (line INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""


class Progress(NamedTuple):
    """Lines done, in time order, and the last stop at which everybody has acted."""

    lines_done: int
    stop: datetime | None


class Notebook:
    """One SQLite file. What is noted counts once `save` has returned."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(TABLES)
        self._connection.execute("BEGIN")

    def progress(self) -> Progress:
        """How far the replay was when it was last saved."""
        row = self._connection.execute("SELECT lines_done, stop FROM progress").fetchone()
        if row is None:
            return Progress(0, None)
        return Progress(row[0], None if row[1] is None else datetime.fromisoformat(row[1]))

    def set_aside(self, line: int, reason: str) -> None:
        """Note why a line is no purchase; noted once, however often it is said."""
        self._connection.execute("INSERT OR IGNORE INTO set_aside VALUES (?, ?)", (line, reason))

    def save(self, progress: Progress) -> None:
        """Keep everything noted so far."""
        stop = None if progress.stop is None else progress.stop.isoformat()
        self._connection.execute("INSERT OR REPLACE INTO progress VALUES (1, ?, ?)", (progress.lines_done, stop))
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")

    def reasons(self) -> dict[str, int]:
        """Lines set aside, per reason; whatever could not be read counts as one."""
        rows = self._connection.execute(
            "SELECT CASE WHEN reason LIKE 'unreadable%' THEN 'unreadable' ELSE reason END AS kind, count(*) "
            "FROM set_aside GROUP BY kind ORDER BY kind"
        )
        return dict(rows.fetchall())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
