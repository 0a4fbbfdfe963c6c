"""PostgreSQL: what was committed to the outbox drained end to end, with Preterite and in hand-written SQL.

The hand-written way numbers the outbox set-wise into a journal, copies it to a log table in another database, and
bills set-wise, with cursors: the same rows and envelopes in batches of the same size, each commit durable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import psycopg
import sqlalchemy
from sqlalchemy.orm import Session

from benchmarks.handwritten_postgres import FINANCE, handwritten
from benchmarks.measure import Measured, in_turns
from benchmarks.shop import FINANCE_TABLES, ItemPurchased, bill_by_orm, per_event_over_sqlalchemy, purchases
from benchmarks.shop_postgres import databases, enter_prices, in_batches, per_event
from preterite import Component, System
from preterite.drivers.postgres import run
from preterite.handling.batch import BATCH_EVENTS

EVENTS = 60_000
EVENTS_OVER_SQLALCHEMY = 5_000
EVENTS_SINGLY = 2_000
ROUNDS = 5


def measure(rounds: int = ROUNDS) -> list[Measured]:
    """Every way in turns; events per second of draining."""
    many = purchases(EVENTS)
    some, few = many[:EVENTS_OVER_SQLALCHEMY], many[:EVENTS_SINGLY]
    return in_turns(
        {
            "hand-written, set-wise": lambda: drained_handwritten(many),
            "batch handler": lambda: with_preterite(many, in_batches),
            "per event, psycopg": lambda: with_preterite(some, per_event),
            "per event, SQLAlchemy": lambda: with_preterite(some, per_event_over_sqlalchemy),
            "the handler over SQLAlchemy alone": lambda: handler_alone(some),
            "hand-written, SQLAlchemy, one transaction per event": lambda: singly_by_orm(few),
        },
        rounds,
    )


def with_preterite(events: Sequence[ItemPurchased], declare: Callable[[Component], None]) -> float:
    """Events per second from the first number given to the last effect."""
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    declare(finance)
    system = System("bench", [sales, finance])
    with databases("sales", "finance", "log") as urls:
        log = urls.pop("log")
        with system.open(databases=urls, log=log, create_tables=True) as shop:
            enter_prices(urls["finance"])
            shop.settle()  # everything is open, as hand-written code does
            with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
                for event in events:
                    unit_of_work.publish(event)
            started = time.perf_counter()
            shop.settle()
            return len(events) / (time.perf_counter() - started)


def drained_handwritten(events: Sequence[ItemPurchased]) -> float:
    """The same, hand-written."""
    with databases("sales", "finance", "log") as urls, closing(handwritten(urls)) as shop:
        shop.purchase(events)
        started = time.perf_counter()
        while shop.send():
            pass
        while shop.bill():
            pass
        return len(events) / (time.perf_counter() - started)


def handler_alone(events: Sequence[ItemPurchased]) -> float:
    """The handler over SQLAlchemy in transactions of a batch each, flushed once: no outbox, no log, no cursor."""
    with databases("finance") as urls:
        engine = _finance(urls["finance"])
        started = time.perf_counter()
        for first in range(0, len(events), BATCH_EVENTS):
            with Session(engine, autoflush=False) as session:
                for event in events[first : first + BATCH_EVENTS]:
                    bill_by_orm(session, event)
                session.commit()
        took = time.perf_counter() - started
        engine.dispose()
        return len(events) / took


def singly_by_orm(events: Sequence[ItemPurchased]) -> float:
    """The handler over SQLAlchemy, each event in a transaction of its own, cursor included; no log to read."""
    move = sqlalchemy.text("UPDATE cursor SET number = number + 1 WHERE partition = 0")
    with databases("finance") as urls:
        engine = _finance(urls["finance"])
        started = time.perf_counter()
        for event in events:
            with Session(engine) as session:
                bill_by_orm(session, event)
                session.execute(move)
                session.commit()
        took = time.perf_counter() - started
        engine.dispose()
        return len(events) / took


def _finance(url: str) -> sqlalchemy.Engine:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        run(connection, FINANCE)
    enter_prices(url)
    return sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
