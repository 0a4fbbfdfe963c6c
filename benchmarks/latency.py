"""Milliseconds from the commit of a purchase to that of its bill, one at a time; also in hand-written SQL."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from benchmarks.handwritten_sqlite import handwritten
from benchmarks.measure import Measured, both_in_turns, percentile
from benchmarks.shop import Shop, in_batches, open_shop, publish, purchases
from preterite.hosting.host import Host

PURCHASES = 200
PAUSE_SECONDS = 0.005
ROUNDS = 5
LOOK_SECONDS = 0.0001
TIMEOUT_SECONDS = 10.0


class Latency(NamedTuple):
    """The middle and the slow end, in milliseconds."""

    p50: float
    p99: float


def measure(rounds: int = ROUNDS, count: int = PURCHASES) -> dict[str, tuple[Measured, Measured]]:
    """Medians and 99th percentiles of every round, by way."""
    runs = {"hand-written, woken by a signal": lambda: woken(count), "with Preterite": lambda: with_preterite(count)}
    return both_in_turns(runs, rounds)


def with_preterite(count: int) -> Latency:
    """A host in this process; each purchase is committed when everything before it is done."""
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), in_batches)
        with shop.opened, Host(shop.opened.runtime), shop.opened.connection(shop.sales) as connection:
            shop.opened.wait_settled()
            waiting = Bills(Path(folder) / "finance.sqlite")
            return each(count, lambda number: _purchase(shop, connection, number), waiting)


def woken(count: int) -> Latency:
    """The best hand-written push: the committing thread wakes the relay, the relay wakes Finance."""
    with TemporaryDirectory() as folder:
        shop = handwritten(Path(folder))
        to_relay: queue.SimpleQueue[bool] = queue.SimpleQueue()
        to_finance: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def relay() -> None:
            while to_relay.get():
                shop.send()
                to_finance.put(True)

        def finance() -> None:
            while to_finance.get():
                shop.bill()

        threads = [threading.Thread(target=relay), threading.Thread(target=finance)]
        for thread in threads:
            thread.start()

        def purchase(number: int) -> None:
            shop.purchase(purchases(1, number))
            to_relay.put(True)

        found = each(count, purchase, Bills(Path(folder) / "finance.sqlite"))
        to_relay.put(False)
        to_finance.put(False)
        for thread in threads:
            thread.join()
        shop.close()
    return found


class Bills:
    """Finance's bills, seen from outside as soon as they are committed; so many were there before."""

    def __init__(self, path: Path, before: int = 0) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._before = before

    def wait_for(self, count: int) -> None:
        """Return once so many more are there."""
        until = time.perf_counter() + TIMEOUT_SECONDS
        while self._connection.execute("SELECT count(*) FROM billable").fetchone()[0] < self._before + count:
            assert time.perf_counter() < until, "the purchase was not billed"
            time.sleep(LOOK_SECONDS)


def _purchase(shop: Shop, connection: sqlite3.Connection, number: int) -> None:
    publish(shop, connection, purchases(1, number))


class Awaited(Protocol):
    """Whatever can wait until so many purchases have been billed."""

    def wait_for(self, count: int) -> None:
        """Return once so many are there."""
        ...


def each(count: int, purchase: Callable[[int], None], bills: Awaited) -> Latency:
    """One purchase after the other, each once the one before is billed."""
    milliseconds: list[float] = []
    for number in range(count):
        time.sleep(PAUSE_SECONDS)
        purchase(number)
        committed = time.perf_counter()
        bills.wait_for(number + 1)
        milliseconds.append((time.perf_counter() - committed) * 1000)
    return Latency(percentile(milliseconds, 0.5), percentile(milliseconds, 0.99))
