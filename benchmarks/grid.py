"""Every store with every log: what was committed drained by one worker process and by two, and by hand-written code.

Workers have their share of the partitions before the relay begins; it runs in the measuring process.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import product
from typing import Any

from benchmarks.anywhere import HANDLERS, STORES, Places, declared, enter_prices, places, publish, work
from benchmarks.handwritten import Handwritten
from benchmarks.handwritten_postgres import PostgresFinance, PostgresLog, PostgresSales
from benchmarks.handwritten_sqlite import SqliteFinance, SqliteLog, SqliteSales
from benchmarks.measure import Measured, in_turns
from benchmarks.shop import purchases

EVENTS = {"batch handler": 40_000, "per event": 10_000}
UNIT_EVENTS = 1_000
PROCESSES = (1, 2)
ROUNDS = 5
LOOK_SECONDS = 0.01
TIMEOUT_SECONDS = 120.0
_SHARED = "SELECT count(DISTINCT owner) FROM {schema}lease WHERE name LIKE 'partition/%'"
_BILLED = "SELECT count(*) FROM billable"


def measure(rounds: int = ROUNDS) -> list[Measured]:
    """Events per second of every combination, in turns."""
    ways: dict[str, Callable[[], float]] = {}
    for store, log in product(STORES, STORES):
        ways[name(store, log, "hand-written")] = partial(drained_handwritten, store, log)
        for handler, count in product(HANDLERS, PROCESSES):
            ways[name(store, log, handler, count)] = partial(drained, store, log, handler, count)
    return in_turns(ways, rounds)


def name(store: str, log: str, way: str, processes: int = 1) -> str:
    """What a combination is called."""
    return f"{store}, log {log}: {way}{'' if processes == 1 else f', {processes} processes'}"


def drained_handwritten(store: str, log: str) -> float:
    """Hand-written, in one process."""
    events = purchases(EVENTS["batch handler"])
    with places(store, log) as place, closing(_handwritten(store, log, place)) as shop:
        for first in range(0, len(events), UNIT_EVENTS):
            shop.purchase(events[first : first + UNIT_EVENTS])
        started = time.perf_counter()
        while shop.send():
            pass
        while shop.bill():
            pass
        return len(events) / (time.perf_counter() - started)


def drained(store: str, log: str, handler: str, processes: int) -> float:
    """With Preterite, by so many workers."""
    context = multiprocessing.get_context("spawn")
    events = EVENTS[handler]
    sales, finance, system = declared(store, handler)
    with places(store, log) as place:
        urls = {"sales": place.sales, "finance": place.finance}
        with system.open(databases=urls, log=place.log, create_tables=True) as shop:
            enter_prices(shop, store, finance, place)
            publish(shop, sales, purchases(events), UNIT_EVENTS)
            ready, stop = context.Event(), context.Event()
            given = (store, handler, place, ["finance"], ready, stop)
            workers = [context.Process(target=work, args=given) for _ in range(processes)]
            for worker in workers:
                worker.start()
            with shop.connection(finance) as connection:
                shared = _SHARED.format(schema="preterite." if store == "postgres" else "preterite_")
                _until(connection, shared, processes)
                started = time.perf_counter()
                relay = shop.runtime.relay("sales")
                while relay.step():
                    pass
                relay.close()
                _until(connection, _BILLED, events)
                took = time.perf_counter() - started
            stop.set()
            for worker in workers:
                worker.join()
    return events / took


def _handwritten(store: str, log: str, place: Places) -> Handwritten:
    kept = PostgresLog(place.log) if log == "postgres" else SqliteLog(place.folder)
    if store == "postgres":
        return Handwritten(PostgresSales(place.sales), kept, PostgresFinance(place.finance))
    return Handwritten(SqliteSales(place.folder), kept, SqliteFinance(place.folder))


def _until(connection: Any, statement: str, wanted: int) -> None:
    until = time.perf_counter() + TIMEOUT_SECONDS
    while connection.execute(statement).fetchone()[0] != wanted:
        assert time.perf_counter() < until, "the workers did not come to an end"
        time.sleep(LOOK_SECONDS)
