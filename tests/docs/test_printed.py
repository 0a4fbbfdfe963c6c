"""What a page shows of a terminal is what the commands print today, in the order of the page.

Ages, moments of the machine's clock, places in files and names of processes differ from run to run. A line `…` stands
for any lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import pricing
from support.command_line import runner
from support.documents import GROUP, agree
from support.processes import until

from preterite import OpenSystem, System
from preterite.demo_clock import SharedClock
from preterite.hosting.host import Host

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"```\w*\n(\$ preterite .*?)```", re.DOTALL)
BEGINNING = datetime(2013, 7, 30, 12, tzinfo=UTC)

Actions = Mapping[str, Callable[[], None]]
"""What is done before a command of the page, by the command's beginning."""


def printed(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page, with the lines that it is said to print."""
    for block in BLOCK.findall((PAGES / page).read_text(encoding="utf-8")):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, *lines = part.rstrip("\n").split("\n")
            yield command, lines


@contextmanager
def at_noon(system: System) -> Generator[OpenSystem]:
    """The shop at a moment at which the clock stops, with a price for a lantern."""
    system.begin_clock(BEGINNING)
    with system.open(create_tables=True) as shop:
        pricing.enter_price(shop, "lantern")
        yield shop


@contextmanager
def host(shop: OpenSystem) -> Generator[None]:
    running = Host(shop.runtime)
    running.start()
    try:
        yield
    finally:
        running.stop()


@contextmanager
def failures() -> Generator[Actions]:
    """Seven purchases of a product without a price, two of a wrong quantity, and what waits behind them."""
    nameless = [(f"customer {number}", "85123A", 1) for number in range(7)]
    waiting = [(f"customer {number % 7}", "lantern", 1) for number in range(12)]
    wrong = [("anna", "lantern", 0), ("ben", "lantern", 0)]
    with at_noon(pricing.system) as shop:
        pricing.publish(shop, *nameless, *waiting, *wrong, *((f"other {number}", "lantern", 1) for number in range(5)))
        shop.settle(failures="park")
        clock = SharedClock(shop.log)
        for seconds in (10, 40, 120, 480):
            clock.advance(timedelta(seconds=seconds))
            shop.settle(failures="park")
        clock.advance(timedelta(minutes=29))
    with pricing.system.open() as shop, host(shop):
        until(lambda: all(one.state == "running" for one in shop.status().values()), "every component runs")
        yield {"preterite dead-letters redrive finance/": lambda: pricing.enter_price(shop, "85123A")}


@contextmanager
def history() -> Generator[Actions]:
    """A handler that is added when there is a history."""
    with at_noon(pricing.system) as shop:
        pricing.publish(shop, *((f"customer {number}", "lantern", 1) for number in range(1_240)))
        shop.settle()
    with pricing.with_mail.open() as shop:
        pricing.publish(shop, *((f"customer {number}", "lantern", 1) for number in range(12)))
        shop.settle()
        yield {}


@contextmanager
def restored() -> Generator[Actions]:
    """Sales' database is restored from a backup that lacks two events; then the log is lost, and then a database."""
    with at_noon(pricing.system) as shop:
        pricing.publish(shop, ("anna", "lantern", 1))
        shop.settle()
    file = Path(".preterite/shop/sales.sqlite")
    backup = file.read_bytes()
    with pricing.system.open() as shop:
        clock = SharedClock(shop.log)
        for seconds in (4, 5):
            clock.advance(timedelta(seconds=seconds))
            pricing.publish(shop, ("anna", "lantern", 1))
            shop.settle()
    file.write_bytes(backup)

    def lose(name: str) -> None:
        for lost in Path(".preterite/shop").glob(f"{name}.sqlite*"):
            lost.unlink()

    yield {
        "preterite recover new-log": lambda: lose("log"),
        "preterite recover new-database": lambda: lose("finance"),
    }


@contextmanager
def demo() -> Generator[Actions]:
    """A demo whose clock was set when it began, and runs."""
    with at_noon(pricing.system) as shop:
        SharedClock(shop.log).run()
        yield {}


SCENES = {
    "handle-failures.md": failures,
    "recover.md": restored,
    "replay-history.md": history,
    "schedule-commands.md": demo,
}

WITHOUT_SCENE = {
    "use-postgresql.md": "test_postgres_page.py follows it, but for what needs several hosts",
    "migrate-your-tables.md": "it shows nothing that is printed; test_migrations.py does what it says",
}


def test_every_page_that_shows_a_terminal_has_a_scene() -> None:
    assert {page.name for page in PAGES.glob("*.md") if [*printed(page.name)]} == {*SCENES, *WITHOUT_SCENE}


@pytest.mark.parametrize("page", SCENES)
def test_a_page_shows_what_the_commands_print(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    app = "with_mail" if page == "replay-history.md" else "system"
    (tmp_path / "pyproject.toml").write_text(f'[tool.preterite]\napp = "support.pricing:{app}"\n')
    run = runner(capsys)
    groups: dict[str, str] = {}
    with SCENES[page]() as actions:
        for command, lines in printed(page):
            for beginning, action in actions.items():
                if command.startswith(beginning):
                    action()
            words = [groups.get(word, word) for word in shlex.split(command)[1:]]
            _, out, err = run(*words)
            groups.update(zip(re.findall(GROUP, "\n".join(lines)), re.findall(GROUP, out), strict=False))

            assert agree(lines, out.splitlines()) or agree(lines, (err + out).splitlines()), f"{command}\n{err}{out}"
