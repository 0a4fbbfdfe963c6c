"""The relay on PostgreSQL: over many events, and beside a transaction left open.

What it deletes from the outbox stays in the table until it is vacuumed; a transaction that stays open keeps all of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import psycopg

from benchmarks.latency import Latency
from benchmarks.measure import percentile
from benchmarks.shop import ItemPurchased, purchases
from benchmarks.shop_postgres import databases
from preterite import Component, System
from preterite.open_system import OpenSystem
from preterite.publishing.relay import Relay

EVENTS = int(os.environ.get("BENCH_RELAYED_EVENTS", "1000000"))
EACH = 5_000
UNIT_EVENTS = 20
SECONDS = 30.0
VACUUM_SECONDS = 2.0
ROW_BYTES = 1500


class Relayed(NamedTuple):
    """How the relay fared over many events, and a plain insert of as many rows beside it."""

    per_second: float
    last_to_first_fifth: float
    insert_last_to_first_fifth: float
    outbox_bytes: int


class _Publisher(NamedTuple):
    """Sales and its relay, stepped by the measurement."""

    opened: OpenSystem
    sales: Component
    relay: Relay
    url: str

    def publish(self, events: list[ItemPurchased]) -> None:
        with self.opened.connection(self.sales) as connection, self.sales.unit_of_work(connection) as unit_of_work:
            for event in events:
                unit_of_work.publish(event)

    def send_all(self) -> float:
        """Until nothing is left to send; how many seconds that took."""
        started = time.perf_counter()
        while self.relay.step():
            pass
        return time.perf_counter() - started


@contextmanager
def _publisher() -> Generator[_Publisher]:
    sales = Component("sales", publishes=[ItemPurchased])
    with databases("sales", "log") as urls:
        with System("bench", [sales]).open(databases={"sales": urls["sales"]}, log=urls["log"]) as opened:
            relay = opened.runtime.relay("sales")
            relay.step()
            yield _Publisher(opened, sales, relay, urls["sales"])
            relay.close()


def for_long(events: int = EVENTS) -> Relayed:
    """Events that are committed while it works; the size of the outbox once maintenance had its turn.

    The server writes checkpoints meanwhile, which slow whatever writes; the plain inserts tell by how much.
    """
    batch = purchases(EACH)
    rates: list[float] = []
    inserts: list[float] = []
    with _publisher() as publisher, psycopg.connect(publisher.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE inserted (body bytea)")
        for _ in range(events // EACH):
            publisher.publish(batch)
            rates.append(EACH / publisher.send_all())
            inserts.append(EACH / _insert(connection))
        time.sleep(VACUUM_SECONDS)
        publisher.relay.step()
        size = connection.execute("SELECT pg_total_relation_size('preterite.outbox')").fetchone()
    return Relayed(sum(rates) / len(rates), _last_to_first(rates), _last_to_first(inserts), size[0] if size else 0)


def _insert(connection: psycopg.Connection) -> float:
    started = time.perf_counter()
    connection.execute("INSERT INTO inserted SELECT %s FROM generate_series(1, %s)", (b"x" * ROW_BYTES, EACH))
    return time.perf_counter() - started


def _last_to_first(rates: list[float]) -> float:
    fifth = max(len(rates) // 5, 1)
    first, last = (sum(part) / len(part) for part in (rates[:fifth], rates[-fifth:]))
    return last / first


def undisturbed(seconds: float = SECONDS) -> dict[str, Latency]:
    """Milliseconds from a commit until the log has its events, alone and beside a transaction that stays open."""
    with _publisher() as publisher:
        return {
            "alone": _latency(publisher, seconds, nullcontext),
            "beside an open transaction": _latency(publisher, seconds, lambda: _left_open(publisher.url)),
        }


def _latency(publisher: _Publisher, seconds: float, beside: Callable[[], AbstractContextManager[None]]) -> Latency:
    events = purchases(UNIT_EVENTS)
    milliseconds: list[float] = []
    with beside():
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            publisher.publish(events)
            milliseconds.append(publisher.send_all() * 1000)
    return Latency(percentile(milliseconds, 0.5), percentile(milliseconds, 0.99))


@contextmanager
def _left_open(url: str) -> Generator[None]:
    """A transaction in the same database that has read and written, and neither commits nor goes."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS foreign_table (x int)")
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("INSERT INTO foreign_table VALUES (1)")
        yield
