"""The SQLite log passes the suite of all logs, and keeps its own promises about retention and loss."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.lossy_logs import age, lose
from support.machine_clock import MachineClock

from preterite.clock import SystemClock
from preterite.drivers import sqlite as sqlite_file
from preterite.log.contract import Log, LogIdentity, LogReader, Stream
from preterite.log.sqlite.log import SqliteLog
from preterite.testing.conformance import LogAbilities, LogConformance
from preterite.testing.conformance.log_steps import SALES, SYSTEM, OpenLog, event, events, head

FILE = "log.sqlite"


class TidyLog(SqliteLog):
    """Closes at the end what a test has opened: Python 3.13 and newer complain of what is not."""

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        self.readers = [*getattr(self, "readers", []), super().reader(starts)]
        return self.readers[-1]

    def close(self) -> None:
        super().close()
        for reader in getattr(self, "readers", []):
            reader.close()


class TestSqliteLog(LogConformance):
    abilities = LogAbilities(survives_reopening=True, loses=lose, ages=age)

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Iterator[OpenLog]:
        opened: list[Log] = []

        def open_log(identity: LogIdentity = SYSTEM, retention: timedelta | None = None) -> Log:
            opened.append(TidyLog(f"sqlite:///{tmp_path}/{FILE}", identity, SystemClock(), retention))
            return opened[-1]

        yield open_log
        for log in opened:
            log.close()

    def test_retention_drops_what_is_old_and_the_stream_still_ends_where_it_ended(self, tmp_path: Path) -> None:
        clock = MachineClock()
        log = TidyLog(f"sqlite:///{tmp_path}/{FILE}", SYSTEM, clock, timedelta(hours=1))
        log.append([*events(1, 3), head(3)])
        clock.pass_by(2 * 3600)
        log.append(events(4, 4))
        log.maintain()
        some_left = (log.first_number(SALES), log.take_over({SALES: 0}, 5, b"a")[SALES].number)
        clock.pass_by(2 * 3600)
        log.append([head(4, epoch=5)])
        log.maintain()
        nothing_left = (log.first_number(SALES), log.take_over({SALES: 0}, 6, b"b")[SALES].number)
        found = log.reader({SALES: 4}).read(10)
        log.close()

        assert some_left == (4, 4)
        assert nothing_left == (5, 4), "a relay that takes over must not send everything again"
        assert [(record.kind, record.number) for record in found] == [("head", 4)], "retention keeps the newest head"

    def test_only_one_process_maintains_it_and_the_others_write_nothing_for_it(self, open_log: OpenLog) -> None:
        first, second = open_log(), open_log()
        first.append(events(1, 3))
        first.maintain()
        first.append(events(4, 5))
        before = first.version()
        second.maintain()

        assert first.version() == before

    def test_automatic_checkpoints_are_off_where_the_library_may_lose_commits(self, tmp_path: Path) -> None:
        log = SqliteLog(f"sqlite:///{tmp_path}/{FILE}", SYSTEM, SystemClock())
        with closing(sqlite_file.open_file(log.path)) as connection:
            pages = connection.execute("pragma wal_autocheckpoint").fetchone()[0]
        log.close()

        assert pages == (0 if sqlite_file.has_wal_reset_bug() else sqlite_file.CHECKPOINT_PAGES)

    def test_the_write_ahead_log_stays_small_under_load(self, open_log: OpenLog, tmp_path: Path) -> None:
        log = open_log()
        largest = 0
        for number in range(1, 3001, 10):
            log.append([event(n, body=b"x" * 1000) for n in range(number, number + 10)])
            log.maintain()
            largest = max(largest, (tmp_path / f"{FILE}-wal").stat().st_size)

        assert largest < 16 * 1024 * 1024
