"""The work item of every measurement: a purchase committed in Sales, a billable item committed in Finance."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from preterite import Component, Event, OpenSystem, System

NAMESPACE = UUID(int=2013)
PRODUCTS = [uuid5(NAMESPACE, f"product/{number}") for number in range(200)]
CUSTOMERS = [uuid5(NAMESPACE, f"customer/{number}") for number in range(1000)]
AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)
PURCHASE_TABLE = "CREATE TABLE purchase (id TEXT PRIMARY KEY, product TEXT, customer TEXT, at TEXT)"
FINANCE_TABLES = """
CREATE TABLE price (product TEXT PRIMARY KEY, pence INTEGER);
CREATE TABLE billable (purchase TEXT PRIMARY KEY, customer TEXT, pence INTEGER);
"""
INSERT_PURCHASE = "INSERT INTO purchase VALUES (?, ?, ?, ?)"
INSERT_PRICE = "INSERT INTO price VALUES (?, ?)"
PRICES = [(str(product), 100 + number) for number, product in enumerate(PRODUCTS)]


class ItemPurchased(Event, key="customer_id"):
    """The event of every measurement."""

    purchase_id: UUID
    product_id: UUID
    customer_id: UUID
    purchased_at: datetime


class Base(DeclarativeBase):
    """Finance's tables for handlers over SQLAlchemy."""


class Price(Base):
    """What a product costs."""

    __tablename__ = "price"
    product: Mapped[str] = mapped_column(primary_key=True)
    pence: Mapped[int]


class Billable(Base):
    """A purchase to be invoiced."""

    __tablename__ = "billable"
    purchase: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    pence: Mapped[int]


class Shop(NamedTuple):
    """An open system and its two components."""

    opened: OpenSystem
    sales: Component
    finance: Component


def purchases(count: int, first: int = 0) -> list[ItemPurchased]:
    """So many purchases of different customers and products."""
    return [
        ItemPurchased(
            purchase_id=uuid5(NAMESPACE, f"purchase/{number}"),
            product_id=PRODUCTS[number % len(PRODUCTS)],
            customer_id=CUSTOMERS[number * 7 % len(CUSTOMERS)],
            purchased_at=AT,
        )
        for number in range(first, first + count)
    ]


def purchase_rows(events: Sequence[ItemPurchased]) -> list[tuple[str, str, str, str]]:
    """The rows of Sales for these purchases."""
    return [(str(e.purchase_id), str(e.product_id), str(e.customer_id), e.purchased_at.isoformat()) for e in events]


def per_event(finance: Component) -> None:
    """A handler per event over plain `sqlite3`."""

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        pence = connection.execute("SELECT pence FROM price WHERE product = ?", [str(event.product_id)]).fetchone()[0]
        row = (str(event.purchase_id), str(event.customer_id), pence)
        connection.execute("INSERT INTO billable VALUES (?, ?, ?)", row)


def per_event_over_sqlalchemy(finance: Component) -> None:
    """A handler per event over SQLAlchemy, autoflush on."""

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        bill_by_orm(session, event)


def bill_by_orm(session: Session, event: ItemPurchased) -> None:
    """What the handler over SQLAlchemy does; the same, hand-written."""
    price = session.scalars(select(Price).where(Price.product == str(event.product_id))).one()
    session.add(Billable(purchase=str(event.purchase_id), customer=str(event.customer_id), pence=price.pence))


def in_batches(finance: Component) -> None:
    """A batch handler."""

    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        prices = dict(connection.execute("SELECT product, pence FROM price"))
        connection.executemany("INSERT INTO billable VALUES (?, ?, ?)", billable_rows(events, prices))


def billable_rows(events: Sequence[ItemPurchased], prices: dict[str, int]) -> list[tuple[str, str, int]]:
    """The rows of Finance for these purchases."""
    return [(str(e.purchase_id), str(e.customer_id), prices[str(e.product_id)]) for e in events]


def open_shop(folder: Path, declare: Callable[[Component], None]) -> Shop:
    """A shop in this folder, its prices entered."""
    sales = Component("sales", publishes=[ItemPurchased], tables=PURCHASE_TABLE)
    finance = Component("finance", tables=FINANCE_TABLES)
    declare(finance)
    opened = System("bench", [sales, finance]).open(
        databases={name: f"sqlite:///{folder}/{name}.sqlite" for name in ("sales", "finance")},
        log=f"sqlite:///{folder}/log.sqlite",
        create_tables=True,
    )
    with opened.connection(finance) as connection:
        connection.executemany(INSERT_PRICE.replace("INSERT", "INSERT OR IGNORE"), PRICES)
    return Shop(opened, sales, finance)


def publish(shop: Shop, connection: sqlite3.Connection, events: Sequence[ItemPurchased]) -> None:
    """One unit of work of Sales: the purchases and their events."""
    with shop.sales.unit_of_work(connection) as unit_of_work:
        connection.executemany(INSERT_PURCHASE, purchase_rows(events))
        for event in events:
            unit_of_work.publish(event)


def billed(shop: Shop) -> int:
    """How many items Finance has."""
    with shop.opened.connection(shop.finance) as connection:
        return connection.execute("SELECT count(*) FROM billable").fetchone()[0]
