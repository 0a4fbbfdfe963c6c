"""Milliseconds from commit to effect at half of the highest rate, on files and on PostgreSQL.

First as many purchases as go, one unit of work each, by one publisher; then half as many, each at its time. A watcher
sees bills as soon as they are committed. Relay and receiver run in a process of their own.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import psycopg

from benchmarks.anywhere import STORES, Places, declared, enter_prices, places, work
from benchmarks.measure import Measured, percentile, several_in_turns
from benchmarks.shop import ItemPurchased, purchases
from preterite import Component, OpenSystem

FULL_SECONDS = 3.0
HALF_SECONDS = 8.0
SHARE = 0.5
LOOK_SECONDS = 0.0005
TIMEOUT_SECONDS = 60.0
ROUNDS = 5
PURCHASES_MAX = 100_000
_NEW = {
    "sqlite": "SELECT purchase, rowid FROM billable WHERE rowid > ? ORDER BY rowid",
    "postgres": "SELECT purchase, ctid::text FROM billable WHERE ctid > %s::text::tid ORDER BY ctid",
}
_BEFORE = {"sqlite": 0, "postgres": "(0,0)"}


class Loaded(NamedTuple):
    """Purchases per second, and milliseconds from their commit to that of their bill."""

    per_second: float
    p50_ms: float
    p99_ms: float


def measure(rounds: int = ROUNDS) -> dict[str, tuple[Measured, ...]]:
    """Of every store with a log of the same kind: what `Loaded` says, of each round."""
    return several_in_turns({store: lambda store=store: loaded(store) for store in STORES}, rounds)


def loaded(store: str, full_seconds: float = FULL_SECONDS, half_seconds: float = HALF_SECONDS) -> Loaded:
    """One round."""
    context = multiprocessing.get_context("spawn")
    sales, finance, system = declared(store, "per event")
    with places(store, store) as place:
        urls = {"sales": place.sales, "finance": place.finance}
        with system.open(databases=urls, log=place.log, create_tables=True) as shop:
            enter_prices(shop, store, finance, place)
            ready, stop = context.Event(), context.Event()
            worker = context.Process(target=work, args=(store, "per event", place, ["sales", "finance"], ready, stop))
            worker.start()
            assert ready.wait(TIMEOUT_SECONDS), "the worker has started"
            events = purchases(PURCHASES_MAX)
            with closing(ChangeWatcher(store, place)) as watcher:
                began = time.perf_counter()
                made = len(_purchase(shop, sales, events, full_seconds, 0.0))
                watcher.wait_for(made)
                rate = SHARE * made / (time.perf_counter() - began)
                committed = _purchase(shop, sales, events[made:], half_seconds, rate)
                watcher.wait_for(made + len(committed))
                waited = [(watcher.seen[event] - at) * 1000 for event, at in committed.items()]
            stop.set()
            worker.join()
    return Loaded(rate, percentile(waited, 0.5), percentile(waited, 0.99))


def _purchase(
    shop: OpenSystem, sales: Component, events: Sequence[ItemPurchased], seconds: float, rate: float
) -> dict[str, float]:
    """Purchases for so long, so many a second or as many as go; when each was committed."""
    committed: dict[str, float] = {}
    with shop.connection(sales) as connection:
        began = time.perf_counter()
        for event in events:
            due = began + len(committed) / rate if rate else 0.0
            time.sleep(max(due - time.perf_counter(), 0.0))
            if time.perf_counter() - began > seconds:
                break
            with sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(event)
            committed[str(event.purchase_id)] = time.perf_counter()
    return committed


class ChangeWatcher:
    """Notes when each bill is seen to be committed."""

    def __init__(self, store: str, place: Places) -> None:
        self.seen: dict[str, float] = {}
        self._store = store
        self._place = place
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Return once so many are there."""
        until = time.perf_counter() + TIMEOUT_SECONDS
        while len(self.seen) < count:
            assert time.perf_counter() < until, "not every purchase was billed"
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        last: Any = _BEFORE[self._store]
        with closing(self._connect()) as connection:
            while not self._stopping.is_set():
                rows = connection.execute(_NEW[self._store], [last]).fetchall()
                now = time.perf_counter()
                self.seen.update((purchase, now) for purchase, _ in rows)
                last = rows[-1][1] if rows else last
                time.sleep(LOOK_SECONDS)

    def _connect(self) -> Any:
        if self._store == "postgres":
            return psycopg.connect(self._place.finance, autocommit=True)
        return sqlite3.connect(self._place.folder / "finance.sqlite", isolation_level=None)
