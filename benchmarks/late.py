"""A subscriber that comes late: a new component reads a million events, beside what others did live."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Measured, both_in_turns
from benchmarks.shop import FINANCE_TABLES, INSERT_PRICE, PRICES, ItemPurchased, in_batches, purchases
from preterite import Component, OpenSystem, System

EVENTS = 1_000_000
UNIT_EVENTS = 1_000
SETTLE_EVENTS = 10_000
ROUNDS = 5
LIVE, LATE = "batch handler, as events come in", "a component that comes late"


def measure(rounds: int = ROUNDS, events: int = EVENTS) -> list[Measured]:
    """Events per second drained as they come in, and read by a late subscriber."""
    live, late = both_in_turns({LIVE: lambda: _once(events)}, rounds)[LIVE]
    return [live, Measured(LATE, late.values)]


def _once(events: int) -> tuple[float, float]:
    with TemporaryDirectory() as folder:
        return _live(Path(folder), events), _late(Path(folder), events)


def _live(folder: Path, events: int) -> float:
    """Sales publishes and Finance bills, ten thousand at a time; only relay and bill are timed."""
    took = 0.0
    sales, finance = _sales(), _billing("finance")
    with _open(folder, [sales, finance]) as shop, shop.connection(sales) as connection:
        for first in range(0, events, SETTLE_EVENTS):
            for start in range(first, min(first + SETTLE_EVENTS, events), UNIT_EVENTS):
                with sales.unit_of_work(connection) as unit_of_work:
                    for event in purchases(min(UNIT_EVENTS, events - start), start):
                        unit_of_work.publish(event)
            began = time.perf_counter()
            shop.settle()
            took += time.perf_counter() - began
            print(f"\r  {first + SETTLE_EVENTS:,} of {events:,} events\x1b[K", end="", file=sys.stderr)
    return events / took


def _late(folder: Path, events: int) -> float:
    """Marketing is new; everything lies in the log."""
    sales, finance, marketing = _sales(), _billing("finance"), _billing("marketing")
    with _open(folder, [sales, finance, marketing]) as shop:
        began = time.perf_counter()
        shop.settle()
        took = time.perf_counter() - began
        with shop.connection(marketing) as connection:
            handled = connection.execute("SELECT count(*) FROM billable").fetchone()[0]
    assert handled == events, "it has handled all of them, once"
    return events / took


def _sales() -> Component:
    return Component("sales", publishes=[ItemPurchased])


def _billing(name: str) -> Component:
    component = Component(name, tables=FINANCE_TABLES)
    in_batches(component)
    return component


def _open(folder: Path, components: list[Component]) -> OpenSystem:
    shop = System("bench", components).open(
        databases={one.name: f"sqlite:///{folder}/{one.name}.sqlite" for one in components},
        log=f"sqlite:///{folder}/log.sqlite",
        create_tables=True,
    )
    for component in components[1:]:
        with shop.connection(component) as connection:
            connection.executemany(INSERT_PRICE.replace("INSERT", "INSERT OR IGNORE"), PRICES)
    return shop
