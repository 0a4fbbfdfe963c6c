"""Fills the shop before it opens: the whole catalogue, and two months of real purchases.

The customers of March and April 2011 purchase, pay and are late as in the replayed year. Then it is Monday, 2 May 2011,
nine o'clock, and the clock stands until a visitor or the scripted customer moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from preterite.clock import SystemClock
from preterite.demo_clock import SharedClock
from retail.replay.lines import Line, read
from retail.replay.notebook import Notebook
from retail.replay.progress import ProgressBar
from retail.replay.year import Year, enter_lists
from retail.system import system
from retail.web.personas import Personas, choose

FIRST = datetime(2011, 3, 1, tzinfo=UTC)
OPENING = datetime(2011, 5, 2, 9, tzinfo=UTC)
SAMPLE = Path(__file__).parents[2] / "data" / "online-retail-sample.csv.gz"
PERSONAS = "personas.json"
EVERY = 2
"""Every second customer purchases before the opening: that takes a quarter of a minute."""


def urls_in(folder: Path) -> dict[str, str]:
    """Where the databases of the shop are: files in a folder."""
    names = [*(component.name for component in system.components), "log"]
    return {name: f"sqlite:///{folder.absolute()}/{name}.sqlite" for name in names}


def is_prepared(folder: Path) -> bool:
    """Whether the shop in this folder was filled completely."""
    return (folder / PERSONAS).exists()


def prepare(folder: Path, *, every: int = EVERY) -> Personas:
    """Fill a shop in a folder, whose databases are deleted first; takes a while, and shows its progress.

    `every`: one in so many customers purchases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.sqlite*"):
        file.unlink()
    lines, _ = read(SAMPLE)
    spring = [line for line in lines if FIRST <= line.at < OPENING and _plays(line, every)]
    urls = urls_in(folder)
    system.begin_clock(FIRST, log=urls["log"])
    _play(urls, folder, lines, spring)
    personas = choose(spring)
    personas.write(folder / PERSONAS)
    return personas


def _plays(line: Line, every: int) -> bool:
    return line.customer is not None and (line.customer // 10) % every == 0


def _play(urls: Mapping[str, str], folder: Path, lines: Sequence[Line], spring: Sequence[Line]) -> None:
    databases = {name: url for name, url in urls.items() if name != "log"}
    notebook = Notebook(folder / "replay.sqlite")
    with system.open(databases=databases, log=urls["log"], create_tables=True) as shop:
        print(
            f"the shop is filled: {len(lines):,} lines of the sample for its lists, two months of them played",
            flush=True,
        )
        enter_lists(shop, lines)
        clock = SharedClock(shop.log)
        year = Year(shop, clock, notebook, spring, lambda: None, lambda: shop.settle(failures="park"))
        progress = ProgressBar(len(spring), 0, SystemClock().monotonic)
        done = 0
        for done, _ in year.play(until=OPENING):
            progress.show(done, clock.now(), year.refused)
        progress.end(done, year.refused)
        clock.to(OPENING)
    notebook.close()
