"""The same shop on one shared database, and partitioned: purchases at a steady rate while Finance closes a month.

The monolith does everything in the purchase's transaction, as it is usually written: it locks the customer to see
whether they are blocked, writes the purchase and its bill, takes the stock, counts what is popular. The month is closed
over the same tables. Partitioned, each of these is a component with its own database, notified by an event.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event as ProcessEvent
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg

from benchmarks.measure import percentile
from benchmarks.shop_postgres import databases
from preterite import Component, Event, OpenSystem, System
from preterite.hosting.host import Host

CUSTOMERS = 3_000
PRODUCTS = 500
BILLS_OF_THE_MONTH = 400_000
PER_SECOND = 200
BUYERS = 4
SECONDS = 8.0
ROUNDS = 5
CLOSES_AFTER_SECONDS = 1.0
SAMPLE_SECONDS = 0.01

_CUSTOMER = "CREATE TABLE customer (id int PRIMARY KEY, blocked bool NOT NULL, balance bigint NOT NULL DEFAULT 0);"
_PURCHASE = "CREATE TABLE purchase (id uuid PRIMARY KEY, customer int NOT NULL, product int NOT NULL);"
_FINANCE = """
CREATE TABLE price (product int PRIMARY KEY, pence int NOT NULL);
CREATE TABLE bill (purchase uuid PRIMARY KEY, customer int NOT NULL, pence int NOT NULL, invoice bigint);
CREATE TABLE invoice (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL, pence bigint NOT NULL);
CREATE INDEX bill_open ON bill (customer) WHERE invoice IS NULL;
"""
_STOCK = "CREATE TABLE stock (product int PRIMARY KEY, pieces bigint NOT NULL);"
_POPULAR = "CREATE TABLE popular (product int PRIMARY KEY, purchases bigint NOT NULL);"
_FILL_CUSTOMERS = f"INSERT INTO customer (id, blocked) SELECT n, false FROM generate_series(1, {CUSTOMERS}) n"
_FILL_FINANCE = f"""
INSERT INTO price SELECT n, 100 + n FROM generate_series(0, {PRODUCTS - 1}) n;
INSERT INTO bill SELECT gen_random_uuid(), 1 + n % {CUSTOMERS}, 100 + n % 50, NULL
FROM generate_series(1, {BILLS_OF_THE_MONTH}) n;
"""
_FILL_STOCK = f"INSERT INTO stock SELECT n, 1000000000 FROM generate_series(0, {PRODUCTS - 1}) n;"
_FILL_POPULAR = f"INSERT INTO popular SELECT n, 0 FROM generate_series(0, {PRODUCTS - 1}) n;"
_TO_INVOICE = "SELECT DISTINCT customer FROM bill WHERE invoice IS NULL ORDER BY customer"
# Customer by customer, as such jobs are written: an invoice, the balance brought forward, the bills marked.
_INVOICE = """
WITH made AS (
    INSERT INTO invoice (customer, pence) SELECT customer, sum(pence) FROM bill
    WHERE customer = %s AND invoice IS NULL GROUP BY customer RETURNING id, customer, pence
), balanced AS (
    UPDATE customer c SET balance = balance + made.pence FROM made WHERE c.id = made.customer
)
UPDATE bill b SET invoice = made.id FROM made WHERE b.customer = %s AND b.invoice IS NULL
"""
_WAITING = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FROM pg_stat_activity
WHERE application_name = 'buyer' AND state <> 'idle'
"""


class ItemPurchased(Event, key="customer"):
    """What Sales tells the others."""

    purchase_id: UUID
    customer: int
    product: int


class Load(NamedTuple):
    """What buyers saw: purchases per second, milliseconds from when each was due, samples waiting for a lock in %."""

    per_second: float
    p50_ms: float
    p99_ms: float
    lock_waits: float
    close_seconds: float


Buy = Callable[[UUID, int, int], None]


def measure(rounds: int = ROUNDS) -> dict[str, Load]:
    """Every way in turns; the median of each figure."""
    ways: dict[str, Callable[[], Load]] = {
        "monolith": lambda: monolith(closes=False),
        "monolith, closing": lambda: monolith(closes=True),
        "monolith, no lock, closing": lambda: monolith(closes=True, locks=False),
        "partitioned": lambda: partitioned(closes=False),
        "partitioned, closing": lambda: partitioned(closes=True),
    }
    found: dict[str, list[Load]] = {name: [] for name in ways}
    for turn in range(1, rounds + 1):
        for name, run in ways.items():
            print(f"\r  round {turn} of {rounds}: {name}\x1b[K", end="", file=sys.stderr)
            found[name].append(run())
    print("\r\x1b[K", end="", file=sys.stderr)
    return {name: Load(*map(statistics.median, zip(*loads, strict=True))) for name, loads in found.items()}


def monolith(*, closes: bool, locks: bool = True) -> Load:
    """One database; `locks` as long as the purchase relies on the customer not being blocked meanwhile."""
    with databases("shop") as urls:
        with psycopg.connect(urls["shop"], autocommit=True) as connection:
            _run(connection, _CUSTOMER, _PURCHASE, _FINANCE, _STOCK, _POPULAR)
            _run(connection, _FILL_CUSTOMERS, _FILL_FINANCE, _FILL_STOCK, _FILL_POPULAR, "VACUUM ANALYZE")
        look = "SELECT blocked FROM customer WHERE id = %s" + (" FOR UPDATE" if locks else "")

        @contextmanager
        def buyer() -> Generator[Buy]:
            with psycopg.connect(urls["shop"], application_name="buyer") as connection:

                def buy(purchase: UUID, customer: int, product: int) -> None:
                    with connection.transaction():
                        connection.execute(look, [customer])
                        connection.execute("INSERT INTO purchase VALUES (%s, %s, %s)", [purchase, customer, product])
                        connection.execute(
                            "INSERT INTO bill SELECT %s, %s, pence, NULL FROM price WHERE product = %s",
                            [purchase, customer, product],
                        )
                        connection.execute("UPDATE stock SET pieces = pieces - 1 WHERE product = %s", [product])
                        connection.execute("UPDATE popular SET purchases = purchases + 1 WHERE product = %s", [product])

                yield buy

        return _load(buyer, urls["shop"], urls["shop"] if closes else None)


def partitioned(*, closes: bool) -> Load:
    """Sales, Finance, Shipping and Marketing, each on its own database; all that hear run in another process."""
    context = multiprocessing.get_context("spawn")
    sales, system = _declared()
    with databases("sales", "finance", "shipping", "marketing", "log") as urls:
        log = urls.pop("log")
        with system.open(databases=urls, log=log, create_tables=True) as shop:
            for name, script in (("sales", _FILL_CUSTOMERS), ("finance", _FILL_FINANCE), ("shipping", _FILL_STOCK),
                                 ("marketing", _FILL_POPULAR), ("finance", _FILL_CUSTOMERS)):  # fmt: skip
                with psycopg.connect(urls[name], autocommit=True) as connection:
                    _run(connection, script, "VACUUM ANALYZE")
            ready, stop = context.Event(), context.Event()
            worker = context.Process(target=_work, args=(urls, log, ready, stop))
            worker.start()
            ready.wait()

            @contextmanager
            def buyer() -> Generator[Buy]:
                with shop.connection(sales) as connection:
                    connection.execute("SET application_name = 'buyer'")
                    yield partial(_buy, shop, sales, connection)

            try:
                return _load(buyer, urls["sales"], urls["finance"] if closes else None)
            finally:
                stop.set()
                worker.join()


def _run(connection: psycopg.Connection, *scripts: Any) -> None:
    for script in scripts:
        connection.execute(script)


def _buy(shop: OpenSystem, sales: Component, connection: Any, purchase: UUID, customer: int, product: int) -> None:
    with sales.unit_of_work(connection) as unit_of_work:
        connection.execute("SELECT blocked FROM customer WHERE id = %s FOR UPDATE", [customer])
        connection.execute("INSERT INTO purchase VALUES (%s, %s, %s)", [purchase, customer, product])
        unit_of_work.publish(ItemPurchased(purchase_id=purchase, customer=customer, product=product))


def _declared() -> tuple[Component, System]:
    sales = Component("sales", publishes=[ItemPurchased], tables=_CUSTOMER + _PURCHASE)
    finance = Component("finance", tables=_CUSTOMER + _FINANCE)
    shipping = Component("shipping", tables=_STOCK)
    marketing = Component("marketing", tables=_POPULAR)

    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: psycopg.Connection) -> None:
        connection.execute(
            "INSERT INTO bill SELECT i, c, p.pence, NULL FROM unnest(%s::uuid[], %s::int[], %s::int[]) AS e (i, c, p) "
            "JOIN price p ON p.product = e.p",
            [[e.purchase_id for e in events], [e.customer for e in events], [e.product for e in events]],
        )

    @shipping.handles(ItemPurchased)
    def take(events: Sequence[ItemPurchased], connection: psycopg.Connection) -> None:
        _count(connection, "UPDATE stock SET pieces = pieces - e.n", "stock", events)

    @marketing.handles(ItemPurchased)
    def count(events: Sequence[ItemPurchased], connection: psycopg.Connection) -> None:
        _count(connection, "UPDATE popular SET purchases = purchases + e.n", "popular", events)

    return sales, System("monolith", [sales, finance, shipping, marketing])


def _count(connection: psycopg.Connection, update: str, table: str, events: Sequence[ItemPurchased]) -> None:
    text: Any = (
        f"{update} FROM (SELECT product, count(*) AS n FROM unnest(%s::int[]) AS product GROUP BY product) e "
        f"WHERE {table}.product = e.product"
    )
    connection.execute(text, [[event.product for event in events]])


def _work(urls: dict[str, str], log: str, ready: ProcessEvent, stop: ProcessEvent) -> None:
    _, system = _declared()
    with system.open(databases=urls, log=log) as opened, Host(opened.runtime):
        ready.set()
        stop.wait()


def _load(buyer: Callable[[], Any], sampled: str, closed: str | None) -> Load:
    """Purchases at a steady rate by several buyers, timed from when each was due; the month is closed meanwhile."""
    latencies: list[float] = []
    ends: list[float] = []
    samples: list[tuple[int, int]] = []
    began, over = time.perf_counter(), threading.Event()
    buyers = [threading.Thread(target=_shop, args=(buyer, number, began, latencies, ends)) for number in range(BUYERS)]
    sampler = threading.Thread(target=_sample, args=(sampled, samples, over))
    for thread in (*buyers, sampler):
        thread.start()
    took = _close_the_month(closed) if closed is not None else 0.0
    for thread in buyers:
        thread.join()
    over.set()
    sampler.join()
    waiting, active = (sum(column) for column in zip(*samples, strict=True))
    return Load(
        len(latencies) / (max(ends) - began),
        1000 * percentile(latencies, 0.5),
        1000 * percentile(latencies, 0.99),
        100 * waiting / max(active, 1),
        took,
    )


def _shop(buyer: Callable[[], Any], number: int, began: float, latencies: list[float], ends: list[float]) -> None:
    with buyer() as buy:
        for turn in range(int(PER_SECOND * SECONDS / BUYERS)):
            due = began + (turn * BUYERS + number) / PER_SECOND
            time.sleep(max(due - time.perf_counter(), 0.0))
            item = turn * BUYERS + number
            buy(uuid4(), 1 + item * 7 % CUSTOMERS, item * 3 % PRODUCTS)
            latencies.append(time.perf_counter() - due)
    ends.append(time.perf_counter())


def _close_the_month(url: str) -> float:
    time.sleep(CLOSES_AFTER_SECONDS)
    began = time.perf_counter()
    # In one transaction: a month is closed as a whole, or not at all.
    with psycopg.connect(url) as connection:
        for (customer,) in connection.execute(_TO_INVOICE).fetchall():
            connection.execute(_INVOICE, [customer, customer])
    return time.perf_counter() - began


def _sample(url: str, samples: list[tuple[int, int]], over: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.wait(SAMPLE_SECONDS):
            row = connection.execute(_WAITING).fetchone()
            assert row is not None, "an aggregate has a row"
            samples.append((row[0], row[1]))
