"""Handlers over SQLAlchemy in one process and in two, on PostgreSQL: how fast they come through what the log holds."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event

from benchmarks.measure import Measured, in_turns
from benchmarks.shop import FINANCE_TABLES, ItemPurchased, per_event_over_sqlalchemy, purchases
from benchmarks.shop_postgres import databases, enter_prices
from preterite import Component, System
from preterite.hosting.host import Host

EVENTS = 10_000
ROUNDS = 5
LOOK_SECONDS = 0.02
TIMEOUT_SECONDS = 120.0
_SHARED = "SELECT count(DISTINCT owner) FROM preterite.lease WHERE name LIKE 'partition/%'"
_BILLED = "SELECT count(*) FROM billable"


def measure(rounds: int = ROUNDS) -> list[Measured]:
    """Events per second with one process and with two, in turns."""
    return in_turns({"1 process": lambda: with_processes(1), "2 processes": lambda: with_processes(2)}, rounds)


def with_processes(count: int) -> float:
    """Events per second once every process has its share of the partitions."""
    context = multiprocessing.get_context("spawn")
    sales, finance, system = _declared()
    with databases("sales", "finance", "log") as urls:
        log = urls.pop("log")
        with system.open(databases=urls, log=log, create_tables=True) as shop:
            enter_prices(urls["finance"])
            with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                for event in purchases(EVENTS):
                    unit_of_work.publish(event)
            stop = context.Event()
            workers = [context.Process(target=_work, args=(urls["finance"], log, stop)) for _ in range(count)]
            for worker in workers:
                worker.start()
            with shop.connection(finance) as connection:
                _until(lambda: connection.execute(_SHARED).fetchone()[0] == count)
                started = time.perf_counter()
                relay = shop.runtime.relay("sales")
                while relay.step():
                    pass
                relay.close()
                _until(lambda: connection.execute(_BILLED).fetchone()[0] == EVENTS)
                took = time.perf_counter() - started
            stop.set()
            for worker in workers:
                worker.join()
    return EVENTS / took


def _declared() -> tuple[Component, Component, System]:
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    per_event_over_sqlalchemy(finance)
    return sales, finance, System("bench", [sales, finance])


def _work(database: str, log: str, stop: Event) -> None:
    """What a worker process does: it handles what Finance subscribes to, until asked to stop."""
    _, _, system = _declared()
    with system.open(databases={"finance": database}, log=log, only=["finance"]) as opened, Host(opened.runtime):
        stop.wait()


def _until(done: Callable[[], bool]) -> None:
    until = time.perf_counter() + TIMEOUT_SECONDS
    while not done():
        assert time.perf_counter() < until, "the workers did not come to an end"
        time.sleep(LOOK_SECONDS)
