"""Purchase committed in Sales → billable item committed in Finance, durable, exactly once, beside the same rows by hand."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from preterite import Component, Event, OpenSystem, System

UNIT_EVENTS = 100
BATCH_EVENTS = 500
CUSTOMERS = [uuid4() for _ in range(1000)]
PRODUCTS = [uuid4() for _ in range(200)]
PURCHASE_TABLE = "CREATE TABLE purchase (id TEXT PRIMARY KEY, product TEXT, customer TEXT, at TEXT)"
FINANCE_TABLES = """
CREATE TABLE price (product TEXT PRIMARY KEY, pence INTEGER);
CREATE TABLE billable (purchase TEXT PRIMARY KEY, customer TEXT, pence INTEGER);
"""


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    product_id: UUID
    customer_id: UUID
    purchased_at: datetime


class Base(DeclarativeBase):
    pass


class Price(Base):
    __tablename__ = "price"
    product: Mapped[str] = mapped_column(primary_key=True)
    pence: Mapped[int]


class Billable(Base):
    __tablename__ = "billable"
    purchase: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    pence: Mapped[int]


def purchases(count: int) -> list[ItemPurchased]:
    now = datetime.now(UTC)
    return [
        ItemPurchased(
            purchase_id=uuid4(), product_id=PRODUCTS[i % 200], customer_id=CUSTOMERS[i * 7 % 1000], purchased_at=now
        )
        for i in range(count)
    ]


def plain(finance: Component) -> None:
    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        pence = connection.execute("SELECT pence FROM price WHERE product = ?", [str(event.product_id)]).fetchone()[0]
        connection.execute(
            "INSERT INTO billable VALUES (?, ?, ?)", [str(event.purchase_id), str(event.customer_id), pence]
        )


def in_batches(finance: Component) -> None:
    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        prices = dict(connection.execute("SELECT product, pence FROM price"))
        connection.executemany(
            "INSERT INTO billable VALUES (?, ?, ?)",
            [(str(event.purchase_id), str(event.customer_id), prices[str(event.product_id)]) for event in events],
        )


def by_orm(finance: Component) -> None:
    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        price = session.scalars(select(Price).where(Price.product == str(event.product_id))).one()
        session.add(Billable(purchase=str(event.purchase_id), customer=str(event.customer_id), pence=price.pence))


def open_shop(folder: Path, declare: Callable[[Component], None]) -> tuple[OpenSystem, Component, Component]:
    sales = Component("sales", publishes=[ItemPurchased], tables=PURCHASE_TABLE)
    finance = Component("finance", tables=FINANCE_TABLES)
    declare(finance)
    shop = System("bench", [sales, finance]).open(
        databases={name: f"sqlite:///{folder}/{name}.sqlite" for name in ("sales", "finance")},
        log=f"sqlite:///{folder}/log.sqlite",
        create_tables=True,
    )
    with shop.connection(finance) as connection:
        connection.executemany(
            "INSERT INTO price VALUES (?, ?)", [(str(product), 100 + i) for i, product in enumerate(PRODUCTS)]
        )
    return shop, sales, finance


def with_preterite(declare: Callable[[Component], None], events: list[ItemPurchased]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        shop, sales, finance = open_shop(Path(folder), declare)
        with shop:
            started = time.perf_counter()
            with shop.connection(sales) as connection:
                for start in range(0, len(events), UNIT_EVENTS):
                    with sales.unit_of_work(connection) as unit_of_work:
                        some = events[start : start + UNIT_EVENTS]
                        connection.executemany(
                            "INSERT INTO purchase VALUES (?, ?, ?, ?)",
                            [
                                (str(e.purchase_id), str(e.product_id), str(e.customer_id), e.purchased_at.isoformat())
                                for e in some
                            ],
                        )
                        for event in some:
                            unit_of_work.publish(event)
            published = time.perf_counter()
            shop.settle()
            took = time.perf_counter() - started
            print(
                f"   publish {len(events) / (published - started):,.0f}/s, rest {len(events) / (took - (published - started)):,.0f}/s"
            )
            with shop.connection(finance) as connection:
                assert connection.execute("SELECT count(*) FROM billable").fetchone()[0] == len(events)
    return len(events) / took


if __name__ == "__main__":
    import sys

    events = purchases(20000)
    import cProfile
    import pstats

    for declare in (in_batches, plain, by_orm):
        print(declare.__name__, with_preterite(declare, events))
    if len(sys.argv) > 1:
        p = cProfile.Profile()
        p.runcall(with_preterite, {"b": in_batches, "p": plain, "o": by_orm}[sys.argv[1]], events)
        pstats.Stats(p).sort_stats("tottime").print_stats(28)
