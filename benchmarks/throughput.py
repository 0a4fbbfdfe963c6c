"""Events per second in SQLite files, with Preterite and in hand-written SQL, in turns: end to end, and drained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy
from sqlalchemy.orm import Session

from benchmarks.handwritten import Handwritten
from benchmarks.handwritten_sqlite import BillingByOrm, handwritten
from benchmarks.measure import Measured, both_in_turns
from benchmarks.shop import (
    FINANCE_TABLES,
    INSERT_PRICE,
    PRICES,
    ItemPurchased,
    bill_by_orm,
    billed,
    in_batches,
    open_shop,
    per_event,
    per_event_over_sqlalchemy,
    publish,
    purchases,
)
from preterite import Component
from preterite.handling.batch import BATCH_EVENTS

UNIT_EVENTS = 100
EVENTS = 60_000
EVENTS_OVER_SQLALCHEMY = 10_000
EVENTS_SINGLY = 4_000
ROUNDS = 5
Rates = tuple[float, float]
"""Events per second end to end, and drained."""


def measure(rounds: int = ROUNDS, events: int = EVENTS) -> dict[str, tuple[Measured, Measured]]:
    """Every way in turns, so that whatever else the machine does meets them alike; end to end, and drained."""
    many = purchases(events)
    some, few = many[:EVENTS_OVER_SQLALCHEMY], many[:EVENTS_SINGLY]
    return both_in_turns(
        {
            "hand-written, set-wise": lambda: without(many, _bill_set_wise),
            "batch handler": lambda: with_preterite(many, in_batches),
            "per event, sqlite3": lambda: with_preterite(many, per_event),
            "per event, SQLAlchemy": lambda: with_preterite(some, per_event_over_sqlalchemy),
            "the handler over SQLAlchemy alone": lambda: handler_alone(some),
            "hand-written, SQLAlchemy, one transaction per event": lambda: without(few, _bill_singly),
        },
        rounds,
    )


def with_preterite(events: Sequence[ItemPurchased], declare: Callable[[Component], None]) -> Rates:
    """With Preterite: from the first unit of work to the last effect, and from the last commit on."""
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), declare)
        with shop.opened, shop.opened.connection(shop.sales) as connection:
            started = time.perf_counter()
            for start in range(0, len(events), UNIT_EVENTS):
                publish(shop, connection, events[start : start + UNIT_EVENTS])
            committed = time.perf_counter()
            shop.opened.settle()
            done = time.perf_counter()
            assert billed(shop) == len(events), "every purchase was billed once"
    return len(events) / (done - started), len(events) / (done - committed)


def without(events: Sequence[ItemPurchased], bill: Callable[[Handwritten, Path], None]) -> Rates:
    """The same without any framework."""
    with TemporaryDirectory() as folder, closing(handwritten(Path(folder))) as shop:
        started = time.perf_counter()
        for start in range(0, len(events), UNIT_EVENTS):
            shop.purchase(events[start : start + UNIT_EVENTS])
        committed = time.perf_counter()
        while shop.send():
            pass
        bill(shop, Path(folder))
        done = time.perf_counter()
        assert shop.billed() == len(events), "every purchase was billed once"
    return len(events) / (done - started), len(events) / (done - committed)


def handler_alone(events: Sequence[ItemPurchased]) -> Rates:
    """The handler over SQLAlchemy in transactions of a batch each, flushed once: no outbox, no log, no cursor."""
    with TemporaryDirectory() as folder:
        engine = sqlalchemy.create_engine(f"sqlite:///{folder}/finance.sqlite")
        with closing(engine.raw_connection()) as connection:
            connection.executescript(f"PRAGMA journal_mode=WAL; {FINANCE_TABLES}")
            connection.cursor().executemany(INSERT_PRICE, PRICES)
            connection.commit()
        started = time.perf_counter()
        for first in range(0, len(events), BATCH_EVENTS):
            with Session(engine, autoflush=False) as session:
                for event in events[first : first + BATCH_EVENTS]:
                    bill_by_orm(session, event)
                session.commit()
        rate = len(events) / (time.perf_counter() - started)
        engine.dispose()
    return rate, rate


def _bill_set_wise(shop: Handwritten, _folder: Path) -> None:
    while shop.bill():
        pass


def _bill_singly(shop: Handwritten, folder: Path) -> None:
    with closing(BillingByOrm(shop.log, folder)) as billing:
        while billing.bill_singly():
            pass
