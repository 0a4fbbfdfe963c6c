"""One database is stopped for a day, again and again: the others go on, status names it, and the totals agree."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest
from support.away import away
from support.processes import until

from preterite import OpenSystem
from preterite.clock import SystemClock
from preterite.demo_clock import SharedClock
from preterite.hosting.supervisor import Supervisor, worker_command
from preterite.operations.status import verdict
from retail.demo import ORACLE, SAMPLE
from retail.replay.calendar import first_of_month
from retail.replay.lines import read
from retail.replay.notebook import Notebook
from retail.replay.summary import differences, figures, oracle_figures
from retail.replay.year import Year, enter_lists
from retail.system import system

LINES = 2_000
"""Until the middle of December."""
STOPPED_EVERY = 10
"""Baskets between two stops of the database."""
TIME_LIMIT_SECONDS = 60.0
NAMES = [component.name for component in system.components]


class Stopped:
    """Stops a component's database after some baskets, and starts it again where the replay waits for everybody."""

    def __init__(self, shop: OpenSystem, folder: Path, name: str) -> None:
        self._shop = shop
        self._folder = folder
        self.name = name
        self.times = 0
        self._away = ExitStack()
        self._is_away = False

    def stop(self) -> None:
        """Stop it, and see that everybody else has done all there is to do."""
        if self._is_away:
            return
        self._is_away = True
        self.times += 1
        self._away.enter_context(away(self._folder, self.name))
        until(lambda: self._shop.status()[self.name].fault is not None, f"{self.name} is unreachable")

    def others_are_done(self, attend: Callable[[], None]) -> None:
        """See that all others go on, and that status says which one does not."""
        if not self._is_away:
            return
        others = [name for name in NAMES if name != self.name]

        def are_quiet() -> bool:
            attend()
            status = self._shop.status()
            return all(status[name].is_quiet for name in others)

        until(are_quiet, "the others go on")
        status = self._shop.status()
        assert [name for name, one in status.items() if one.state == "unreachable"] == [self.name]
        assert verdict(status.values()) == "DEGRADED"

    def start(self) -> None:
        """Start it again."""
        self._away.close()
        self._is_away = False


@pytest.mark.slow("processes")
@pytest.mark.parametrize("name", ["finance"])
def test_a_database_that_stops_again_and_again_changes_no_total(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "lines.csv"
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as sample:
        data.write_text("".join(islice(sample, LINES + 1)))
    lines, _ = read(data)
    for place in (*NAMES, "log"):
        monkeypatch.setenv(f"PRETERITE_{place.upper()}_URL", f"sqlite:///{tmp_path}/{place}.sqlite")
    system.begin_clock(first_of_month(lines[0].at))
    notebook = Notebook(tmp_path / "replay.sqlite")
    with system.open(create_tables=True) as shop:
        enter_lists(shop, lines)
        workers = Supervisor(
            dict.fromkeys(NAMES, TIME_LIMIT_SECONDS), worker_command("retail.system:system"), SystemClock()
        )
        stopped = Stopped(shop, tmp_path, name)

        def settle() -> None:
            stopped.others_are_done(workers.step)
            stopped.start()
            shop.wait_settled(workers.step)

        year = Year(shop, SharedClock(shop.log), notebook, lines, workers.step, settle)
        try:
            for baskets, _ in enumerate(year.play()):
                if baskets % STOPPED_EVERY == 0:
                    stopped.stop()
        finally:
            workers.end()
        found = figures(shop, notebook, lines)
    notebook.close()

    assert differences(found, oracle_figures(ORACLE, data, None)) == []
    assert stopped.times > 3
