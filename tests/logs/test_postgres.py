"""The PostgreSQL log passes the suite of all logs, and keeps its own promises about retention and loss."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import psycopg
import pytest
from support import postgres
from support.lossy_logs import age, lose
from support.machine_clock import MachineClock

from preterite.clock import SystemClock
from preterite.log.contract import Log, LogIdentity, LogReader, Stream
from preterite.log.postgres.log import PostgresLog
from preterite.testing.conformance import LogAbilities, LogConformance
from preterite.testing.conformance.log_steps import SALES, SYSTEM, OpenLog, event, events, head


@pytest.fixture(params=["direct", "behind a pooler"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with postgres.databases(pooled=request.param != "direct") as make:
        yield make("log")


class TidyLog(PostgresLog):
    """Closes at the end what a test has opened: the server counts connections."""

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        self.readers = [*getattr(self, "readers", []), super().reader(starts)]
        return self.readers[-1]

    def close(self) -> None:
        super().close()
        for reader in getattr(self, "readers", []):
            reader.close()


class TestPostgresLog(LogConformance):
    abilities = LogAbilities(survives_reopening=True, loses=lose, ages=age)

    @pytest.fixture
    def open_log(self, url: str) -> Iterator[OpenLog]:
        opened: list[Log] = []

        def open_log(identity: LogIdentity = SYSTEM, retention: timedelta | None = None) -> Log:
            opened.append(TidyLog(url, identity, SystemClock(), retention))
            return opened[-1]

        yield open_log
        for log in opened:
            log.close()

    def test_retention_drops_what_is_old_and_the_stream_still_ends_where_it_ended(self, url: str) -> None:
        clock = MachineClock()
        log = PostgresLog(url, SYSTEM, clock, timedelta(hours=1))
        log.append([*events(1, 3), head(3)])
        with psycopg.connect(log.place.conninfo) as connection:
            connection.execute("UPDATE preterite_log.record SET appended_at = 0")
        log.append(events(4, 4))
        log.maintain()
        some_left = (log.first_number(SALES), log.take_over({SALES: 0}, 5, b"a")[SALES].number)
        clock.pass_by(3600)
        with psycopg.connect(log.place.conninfo) as connection:
            connection.execute("UPDATE preterite_log.record SET appended_at = 0")
        log.append([head(4, epoch=5)])
        log.maintain()
        nothing_left = (log.first_number(SALES), log.take_over({SALES: 0}, 6, b"b")[SALES].number)
        reader = log.reader({SALES: 4})
        found = reader.read(10)
        reader.close()
        log.close()

        assert some_left == (4, 4)
        assert nothing_left == (5, 4), "a relay that takes over must not send everything again"
        assert [(record.kind, record.number) for record in found] == [("head", 4)], "retention keeps the newest head"

    def test_retention_keeps_up_with_what_is_appended(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("preterite.log.postgres.log.RETENTION_RECORDS", 2)
        log = PostgresLog(url, SYSTEM, MachineClock(), timedelta(hours=1))
        log.append(events(1, 5))
        with psycopg.connect(log.place.conninfo) as connection:
            connection.execute("UPDATE preterite_log.record SET appended_at = 0")
        for _ in range(3):
            log.maintain()
        left = log.first_number(SALES)
        log.close()

        assert left == 6

    def test_writers_of_different_streams_do_not_wait_for_each_other(self, open_log: OpenLog) -> None:
        first, second = open_log(), open_log()
        first.append(events(1, 1))
        second.append([event(1, stream=Stream("finance", 0))])
        assert isinstance(first, PostgresLog)
        with psycopg.connect(first.place.conninfo) as connection:
            connection.execute("SELECT 1 FROM preterite_log.stream WHERE publisher = 'sales' FOR UPDATE")
            confirmed = second.append([event(2, stream=Stream("finance", 0))])

        assert confirmed == {Stream("finance", 0): 2}
