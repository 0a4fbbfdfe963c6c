"""Ten million events through one pair of components on PostgreSQL, tenth by tenth: does anything grow or slow down?

One process publishes, another relays and bills; what waits between them is bounded by the publisher, which waits when
too much does. The log keeps a minute.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks.shop import FINANCE_TABLES, ItemPurchased, purchases
from benchmarks.shop_postgres import databases, enter_prices, in_batches
from preterite import Component, System
from preterite.hosting.host import Host

EVENTS = int(os.environ.get("BENCH_LONG_EVENTS", "10000000"))
UNIT_EVENTS = 500
WAITING_EVENTS_MAX = 20_000
LOOK_SECONDS = 0.02
TENTHS = 10
RETENTION = timedelta(minutes=1)
_HANDLED = "SELECT coalesce(sum(number), 0)::bigint FROM preterite.cursor WHERE publisher = 'sales'"
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = '{schema}'::regnamespace AND relname = ANY (%s)
"""
_DEAD = """
SELECT coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(autovacuum_count), 0)::bigint FROM pg_stat_user_tables
WHERE schemaname IN ('preterite', 'preterite_log')
"""
# Outbox, positions and leases: rows that come and go. What was billed grows, and so does a journal of seven days.
_BOUNDED = {
    "sales": ("preterite", ["outbox", "stream", "lease", "worker", "activity"]),
    "finance": ("preterite", ["cursor", "lease", "worker", "activity", "parked", "later"]),
    "log": ("preterite_log", ["record", "stream", "asked"]),
}


class Tenth(NamedTuple):
    """How the system stood after a tenth of the events."""

    events: int
    per_second: float
    mib: dict[str, float]
    """Sizes of the tables that must stay bounded, by database."""
    dead_rows: int
    autovacuums: int
    worker_mib: float


def measure(events: int = EVENTS) -> Iterator[Tenth]:
    """Every tenth as soon as it is handled."""
    context = multiprocessing.get_context("spawn")
    with databases("sales", "finance", "log") as urls:
        _, sales, system = _declared()
        stop = context.Event()
        own = {name: urls[name] for name in ("sales", "finance")}
        with system.open(databases=own, log=urls["log"], create_tables=True, retention=RETENTION) as shop:
            enter_prices(urls["finance"])
            worker = context.Process(target=_work, args=(own, urls["log"], stop))
            worker.start()
            with shop.connection(sales) as connection, psycopg.connect(urls["finance"], autocommit=True) as looking:
                published = 0
                for tenth in range(TENTHS):
                    wanted, started = events * (tenth + 1) // TENTHS, time.perf_counter()
                    before = published
                    while published < wanted:
                        with sales.unit_of_work(connection) as unit_of_work:
                            for event in purchases(min(UNIT_EVENTS, wanted - published), published):
                                unit_of_work.publish(event)
                        shop.runtime.notify("sales")
                        published += min(UNIT_EVENTS, wanted - published)
                        _wait_until(looking, published - WAITING_EVENTS_MAX)
                    _wait_until(looking, wanted)
                    took = time.perf_counter() - started
                    yield _stand(urls, wanted, (wanted - before) / took, worker.pid or 0)
            stop.set()
            worker.join()


def _wait_until(looking: psycopg.Connection, handled: int) -> None:
    while _number(looking, _HANDLED) < handled:
        time.sleep(LOOK_SECONDS)


def _stand(urls: dict[str, str], events: int, per_second: float, worker: int) -> Tenth:
    mib: dict[str, float] = {}
    dead = autovacuums = 0
    for name, (schema, tables) in _BOUNDED.items():
        with psycopg.connect(urls[name], autocommit=True) as connection:
            size = connection.execute(_SIZE.format(schema=schema), [tables]).fetchone()  # pyright: ignore
            found = connection.execute(_DEAD).fetchone()
        assert size is not None, "the server answers with a row"
        assert found is not None, "the server answers with a row"
        mib[name] = float(size[0]) / 1024 / 1024
        dead, autovacuums = dead + found[0], autovacuums + found[1]
    return Tenth(events, per_second, mib, dead, autovacuums, _resident_mib(worker))


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _number(connection: psycopg.Connection, statement: str) -> int:
    return connection.cursor().execute(statement.encode()).fetchall()[0][0]


def _declared() -> tuple[Component, Component, System]:
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    in_batches(finance)
    return finance, sales, System("bench", [sales, finance])


def _work(own: dict[str, str], log: str, stop: Event) -> None:
    """What the worker does: relay and bill, until asked to stop."""
    _, _, system = _declared()
    with system.open(databases=own, log=log, retention=RETENTION) as opened, Host(opened.runtime):
        stop.wait()
