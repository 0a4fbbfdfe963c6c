"""Milliseconds from commit to effect on PostgreSQL while nothing else happens, beside a hand-written NOTIFY push."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import psycopg

from benchmarks.handwritten_postgres import handwritten
from benchmarks.latency import PURCHASES, TIMEOUT_SECONDS, Latency, each
from benchmarks.measure import Measured, both_in_turns
from benchmarks.shop import FINANCE_TABLES, ItemPurchased, purchases
from benchmarks.shop_postgres import databases, enter_prices, in_batches
from preterite import Component, System
from preterite.hosting.host import Host

ROUNDS = 5
LOOK_SECONDS = 0.0005
LISTEN_SECONDS = 0.5


def measure(rounds: int = ROUNDS, count: int = PURCHASES) -> dict[str, tuple[Measured, Measured]]:
    """Medians and 99th percentiles of every round, by way."""
    runs = {"hand-written, pushed by NOTIFY": lambda: pushed(count), "with Preterite": lambda: with_preterite(count)}
    return both_in_turns(runs, rounds)


def with_preterite(count: int) -> Latency:
    """A host in this process."""
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    in_batches(finance)
    with databases("sales", "finance", "log") as urls:
        log = urls.pop("log")
        with System("bench", [sales, finance]).open(databases=urls, log=log, create_tables=True) as shop:
            enter_prices(urls["finance"])
            with Host(shop.runtime), shop.connection(sales) as connection, closing(_Bills(urls["finance"])) as bills:
                shop.wait_settled()

                def purchase(number: int) -> None:
                    with sales.unit_of_work(connection) as unit_of_work:
                        unit_of_work.publish(purchases(1, number)[0])

                return each(count, purchase, bills)


def pushed(count: int) -> Latency:
    """Every commit notifies the next worker, in the same transaction; each listens on a connection of its own."""
    with databases("sales", "finance", "log") as urls, closing(handwritten(urls)) as shop:
        stopping, listening = threading.Event(), threading.Barrier(3)
        threads = [
            threading.Thread(target=_whenever_notified, args=(urls["sales"], "outbox", shop.send, listening, stopping)),
            threading.Thread(target=_whenever_notified, args=(urls["log"], "log", shop.bill, listening, stopping)),
        ]
        for thread in threads:
            thread.start()
        listening.wait(TIMEOUT_SECONDS)
        with closing(_Bills(urls["finance"])) as bills:
            found = each(count, lambda number: shop.purchase(purchases(1, number)), bills)
        stopping.set()
        for thread in threads:
            thread.join()
        return found


def _whenever_notified(
    url: str, channel: str, act: Callable[[], int], listening: threading.Barrier, stopping: threading.Event
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {channel}")  # pyright: ignore[reportArgumentType, reportCallIssue]
        listening.wait(TIMEOUT_SECONDS)
        while not stopping.is_set():
            for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                act()


class _Bills:
    """Finance's bills, seen from outside as soon as they are committed."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def wait_for(self, count: int) -> None:
        until = time.perf_counter() + TIMEOUT_SECONDS
        while True:
            row = self._connection.execute("SELECT count(*) FROM billable").fetchone()
            if row is not None and row[0] >= count:
                return
            assert time.perf_counter() < until, "the purchase was not billed"
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        self._connection.close()
