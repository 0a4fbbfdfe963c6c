"""Events per second, end to end, with Preterite and by hand, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.by_hand import ByHand
from benchmarks.measure import Measured, in_turns
from benchmarks.shop import (
    ItemPurchased,
    billed,
    in_batches,
    open_shop,
    per_event,
    per_event_over_sqlalchemy,
    publish,
    purchases,
)
from preterite import Component

UNIT_EVENTS = 100
EVENTS = 60_000
EVENTS_OVER_SQLALCHEMY = 10_000
EVENTS_SINGLY = 4_000
ROUNDS = 5


def measure(rounds: int = ROUNDS, events: int = EVENTS) -> list[Measured]:
    """Every way in turns, so that whatever else the machine does meets them alike."""
    many = purchases(events)
    some, few = many[:EVENTS_OVER_SQLALCHEMY], many[:EVENTS_SINGLY]
    return in_turns(
        {
            "by hand, set-wise": lambda: by_hand(many, ByHand.bill),
            "batch handler": lambda: with_preterite(many, in_batches),
            "per event, sqlite3": lambda: with_preterite(many, per_event),
            "per event, SQLAlchemy": lambda: with_preterite(some, per_event_over_sqlalchemy),
            "by hand, SQLAlchemy, one transaction per event": lambda: by_hand(few, ByHand.bill_singly_by_orm),
        },
        rounds,
    )


def with_preterite(events: Sequence[ItemPurchased], declare: Callable[[Component], None]) -> float:
    """Events per second from the first unit of work to the last effect."""
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), declare)
        with shop.opened, shop.opened.connection(shop.sales) as connection:
            started = time.perf_counter()
            for start in range(0, len(events), UNIT_EVENTS):
                publish(shop, connection, events[start : start + UNIT_EVENTS])
            shop.opened.settle()
            seconds = time.perf_counter() - started
            assert billed(shop) == len(events), "every purchase was billed once"
    return len(events) / seconds


def by_hand(events: Sequence[ItemPurchased], bill: Callable[[ByHand], int]) -> float:
    """The same without any framework."""
    with TemporaryDirectory() as folder:
        shop = ByHand(Path(folder))
        started = time.perf_counter()
        for start in range(0, len(events), UNIT_EVENTS):
            shop.purchase(events[start : start + UNIT_EVENTS])
        while shop.send():
            pass
        while bill(shop):
            pass
        seconds = time.perf_counter() - started
        assert shop.billed() == len(events), "every purchase was billed once"
        shop.close()
    return len(events) / seconds
