"""What an event costs as the log grows: the same backlog drained where the log holds little, and where much.

Neither component's own tables grow with it: ten million rows under random identifiers cost their writer more
and more, with or without events.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Measured, in_turns
from benchmarks.shop import ItemPurchased, Shop, open_shop, purchases
from preterite import Component

LITTLE = 10_000
MUCH = int(os.environ.get("BENCH_GROWN_EVENTS", "10000000"))
DRAINED_EVENTS = 20_000
UNIT_EVENTS = 1_000
SETTLE_EVENTS = 10_000
ROUNDS = 5


def measure(rounds: int = ROUNDS, much: int = MUCH) -> list[Measured]:
    """Events per second drained, in turns; what was drained before is part of the log of the next round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        grown = _shop(stack, folder / "much")
        _fill(grown, much)
        published = [much]

        def where_much_lies() -> float:
            published[0] += DRAINED_EVENTS
            return drained(grown, published[0] - DRAINED_EVENTS)

        def where_little_lies() -> float:
            with TemporaryDirectory(dir=folder) as small, ExitStack() as own:
                shop = _shop(own, Path(small) / "little")
                _fill(shop, LITTLE)
                return drained(shop, LITTLE)

        return in_turns(
            {f"{LITTLE:,} events in the log": where_little_lies, f"{much:,} events in the log": where_much_lies}, rounds
        )


def drained(shop: Shop, before: int) -> float:
    """Events per second from the last commit of a backlog to its last effect."""
    for first in range(before, before + DRAINED_EVENTS, UNIT_EVENTS):
        _publish(shop, UNIT_EVENTS, first)
    started = time.perf_counter()
    shop.opened.settle()
    return DRAINED_EVENTS / (time.perf_counter() - started)


def _shop(stack: ExitStack, folder: Path) -> Shop:
    folder.mkdir()
    shop = open_shop(folder, _counting)
    stack.enter_context(shop.opened)
    return shop


def _counting(finance: Component) -> None:
    """A batch handler that counts, in a table of one row for each product."""

    @finance.handles(ItemPurchased)
    def count(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        times = Counter(str(event.product_id) for event in events)
        rows = [(count, product) for product, count in times.items()]
        connection.executemany("UPDATE price SET pence = pence + ? WHERE product = ?", rows)


def _fill(shop: Shop, events: int) -> None:
    for first in range(0, events, UNIT_EVENTS):
        _publish(shop, min(UNIT_EVENTS, events - first), first)
        if (first + UNIT_EVENTS) % SETTLE_EVENTS == 0:
            shop.opened.settle()
            print(f"\r  filling: {first + UNIT_EVENTS:,} of {events:,}\x1b[K", end="", file=sys.stderr)
    shop.opened.settle()


def _publish(shop: Shop, events: int, first: int) -> None:
    """One unit of work of Sales, which writes no rows of its own."""
    with shop.opened.connection(shop.sales) as connection, shop.sales.unit_of_work(connection) as unit_of_work:
        for event in purchases(events, first):
            unit_of_work.publish(event)
