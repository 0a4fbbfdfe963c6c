"""Promise 6 at length: timeouts of a simulated year, while processes are killed again and again.

`CASES=100000` in the environment makes it a hundred thousand timeouts and fifty kills on SQLite.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from uuid import UUID

from support.any_store import IS_SQLITE, log_place, places, sql
from support.import_path import import_path
from support.processes import until
from support.time_shop import CaseClosed, CaseOpened, finance, sales, system

from preterite import OpenSystem
from preterite.demo_clock import SharedClock

# Fewer where a server does the work: a kill and a stop of the clock take their time.
CASES = int(os.environ.get("CASES", "20_000" if IS_SQLITE else "5_000"))
MOMENTS = CASES // (200 if IS_SQLITE else 100)
KILLS = MOMENTS // 10
SEED = 20_110_101
START = datetime(2011, 1, 1, tzinfo=UTC)
SPREAD = timedelta(seconds=5)
UNIT = 500
LATE_SECONDS = 60.0


def due_times(chance: random.Random) -> list[datetime]:
    """So many times in a year, in clusters of seconds: the clock stops after each cluster."""
    year = timedelta(days=365)
    moments = sorted(START + timedelta(hours=1) + year * chance.random() for _ in range(MOMENTS))
    return [moments[number % MOMENTS] + SPREAD * chance.random() for number in range(CASES)]


class Workers:
    """`preterite run`, killed and started again."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = (folder / "errors").open("ab")

    def start(self) -> None:
        command = [sys.executable, "-m", "preterite", "run", "-A", "support.time_shop:system", "--only", "finance"]
        self._process = subprocess.Popen(
            command, env=self._environment, stderr=self._errors, cwd=self._folder, start_new_session=True
        )

    def kill(self) -> None:
        """The supervisor and its worker, at once, with SIGKILL."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._errors.close()


@contextmanager
def office(folder: Path) -> Generator[tuple[OpenSystem, Workers]]:
    urls = places(folder, ("sales", "finance"))
    log = log_place(folder)
    environment = {f"PRETERITE_{name.upper()}_URL": url for name, url in urls.items()}
    everything = {**os.environ, **environment, "PRETERITE_LOG_URL": log, "PYTHONPATH": import_path()}
    system.begin_clock(START, log=log)
    workers = Workers(folder, everything)
    with system.open(databases=urls, log=log, create_tables=True) as opened:
        try:
            yield opened, workers
        finally:
            workers.close()


def open_cases(opened: OpenSystem, dues: list[datetime], closed: set[int]) -> None:
    for first in range(0, CASES, UNIT):
        with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            for number in range(first, min(first + UNIT, CASES)):
                unit_of_work.publish(CaseOpened(case_id=UUID(int=number), due_at=dues[number]))
                if number in closed:
                    unit_of_work.publish(CaseClosed(case_id=UUID(int=number)))
    opened.settle()


def test_every_timeout_comes_once_in_order_within_seconds_and_none_after_its_saga_has_ended(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    dues = due_times(chance)
    closed = {number for number in range(CASES) if number % 10 == 0}
    kills = set(chance.sample(range(MOMENTS), KILLS))
    stops = [max(dues[first::MOMENTS]) for first in range(MOMENTS)]
    with office(tmp_path) as (opened, workers):
        open_cases(opened, dues, closed)
        opened._receivers.pop("finance").close()  # pyright: ignore[reportPrivateUsage] - the workers have it from here
        clock = SharedClock(opened.log)
        workers.start()
        for number, stop in enumerate(sorted(stops)):
            clock.to(max(stop, clock.now()))
            if number in kills:
                wait_a_little(opened, chance)
                workers.kill()
                workers.start()
            let_all_be_handled(opened, clock, stop)
        with opened.connection(finance) as connection:
            rows = connection.execute(sql("select case_id, meant, at from called order by position")).fetchall()
            left = connection.execute(sql("select count(*) from preterite_scheduled")).fetchone()[0]

    assert len({row[0] for row in rows}) == len(rows) == CASES - len(closed)
    assert {row[0] for row in rows}.isdisjoint({str(UUID(int=number)) for number in closed})
    assert left == 0
    assert min(at - meant for _, meant, at in rows) >= 0.0
    assert max(at - meant for _, meant, at in rows) <= LATE_SECONDS
    latest = list(accumulate((meant for _, meant, _ in rows), max))
    assert max(before - meant for before, (_, meant, _) in zip(latest, rows, strict=True)) <= LATE_SECONDS
    assert sum(at - meant > SPREAD.total_seconds() for _, meant, at in rows) <= KILLS, "only what a kill interrupted"


def let_all_be_handled(opened: OpenSystem, clock: SharedClock, stop: datetime) -> None:
    """What was being handled when its process was killed waits a few seconds, by the clock that is moved here."""

    def nothing_is_due() -> bool:
        counts = opened.status()["finance"].counts
        if counts.due == 0 and counts.parked > 0:
            clock.advance(timedelta(seconds=1))
        return counts.due == 0 and counts.parked == 0

    until(nothing_is_due, f"everything due by {stop} is handled")


def wait_a_little(opened: OpenSystem, chance: random.Random) -> None:
    """Kill before anything is handled, or in the midst of it."""
    due = opened.status()["finance"].counts.due
    wanted = chance.choice((due, max(due - 1, 0), due // 2))
    until(lambda: opened.status()["finance"].counts.due <= wanted, "some are handled")
