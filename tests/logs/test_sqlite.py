"""The SQLite log passes the suite of all logs, and keeps its own promises about retention and loss."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from preterite.clock import SystemClock
from preterite.log import Log, LogIdentity, Stream
from preterite.logs.sqlite import SqliteLog
from preterite.testing.conformance import LogAbilities, LogConformance
from preterite.testing.conformance.log import SYSTEM, OpenLog

FILE = "log.sqlite"


def lose(log: Log, stream: Stream, numbers: Sequence[int]) -> None:
    """What restoring an older copy of the file does to the end of a stream."""
    assert isinstance(log, SqliteLog)
    with sqlite3.connect(log.path) as connection:
        marks = ",".join("?" * len(numbers))
        one = "(SELECT id FROM log_stream WHERE publisher = ? AND partition = ?)"
        connection.execute(f"DELETE FROM log_record WHERE stream = {one} AND number IN ({marks})", (*stream, *numbers))
        last = f"(SELECT max(number) FROM log_record WHERE stream = {one})"
        connection.execute(f"UPDATE log_stream SET last_number = {last} WHERE id = {one}", (*stream, *stream))
    connection.close()


class TestSqliteLog(LogConformance):
    abilities = LogAbilities(survives_reopening=True, loses=lose)

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Iterator[OpenLog]:
        opened: list[Log] = []

        def open_log(identity: LogIdentity = SYSTEM) -> Log:
            opened.append(SqliteLog(f"sqlite:///{tmp_path}/{FILE}", identity, SystemClock()))
            return opened[-1]

        yield open_log
        for log in opened:
            log.close()
