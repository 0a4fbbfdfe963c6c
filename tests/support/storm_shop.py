"""A shop for storms, on either store: Sales publishes purchases, Finance bills them, Shipping ships what is billed.

Every purchase has its place in its customer's order, also where the database of Sales was restored in between: `from`
a place on that no purchase before it has. The handler that bills has one of two names, each renamed from the other.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import psycopg

from preterite import Component, Event, System, UnitOfWork

AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)
STORE, RENAMED = "STORM_STORE", "STORM_RENAMED"
"""Variables by which a process learns which of the shops it runs."""
Store = Literal["postgres", "sqlite"]


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    place: int
    purchased_at: datetime


class ItemBilled(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    place: int
    billed_at: datetime


_POSITION: dict[Store, str] = {
    "postgres": "bigint generated always as identity primary key",
    "sqlite": "integer primary key autoincrement",
}
_DONE = "create table {} (position {}, purchase text not null, customer text not null, place bigint not null)"
_SALES = """
create table purchase (id text primary key, customer text not null, place bigint not null, unique (customer, place));
create table customer (id text primary key, places bigint not null)
"""
_NEXT_PLACE = """
insert into customer values (?, ? + 1) on conflict (id) do update
set places = case when customer.places < ? then ? else customer.places end + 1 returning places
"""


@dataclass(frozen=True)
class Shop:
    """The shop on one kind of database."""

    store: Store
    system: System
    sales: Component

    def sql(self, statement: str) -> str:
        """A statement in the words of its database."""
        return statement if self.store == "sqlite" else statement.replace("?", "%s")

    def connect(self, url: str) -> Any:
        """A connection that knows nothing of the package."""
        if self.store == "sqlite":
            return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30.0)
        return psycopg.connect(url)

    def purchase(self, connection: Any, customer: UUID, purchase: UUID, places_from: int = 0) -> None:
        """One purchase in a unit of work; the customer's row is locked, so that places follow the order of commits."""
        with self.sales.unit_of_work(connection) as unit_of_work:
            values = [str(customer), places_from, places_from, places_from]
            place = connection.execute(self.sql(_NEXT_PLACE), values).fetchone()[0]
            connection.execute(self.sql("insert into purchase values (?, ?, ?)"), [str(purchase), str(customer), place])
            unit_of_work.publish(
                ItemPurchased(purchase_id=purchase, customer_id=customer, place=place, purchased_at=AT)
            )


def declare(store: Store, *, renamed: bool = False) -> Shop:
    """The shop, declared anew."""
    sales = Component("sales", publishes=[ItemPurchased], tables=_SALES)
    bills, shipments = (_DONE.format(table, _POSITION[store]) for table in ("bill", "shipment"))
    finance = Component("finance", publishes=[ItemBilled], tables=bills, time_limit_seconds=60.0)
    shipping = Component("shipping", tables=shipments, time_limit_seconds=60.0)
    shop = Shop(store, System("storm", [sales, finance, shipping]), sales)
    former, name = ("bill", "invoice") if renamed else ("invoice", "bill")
    billing, shipping_it = _on_postgres(shop) if store == "postgres" else _on_sqlite(shop)
    finance.handles(ItemPurchased, name=name, renamed_from=former)(billing)
    shipping.handles(ItemBilled, name="ship")(shipping_it)
    return shop


def _on_postgres(shop: Shop) -> tuple[Any, Any]:
    def bill(event: ItemPurchased, connection: psycopg.Connection, unit_of_work: UnitOfWork) -> None:
        _bill(shop, event, connection, unit_of_work)

    def ship(event: ItemBilled, connection: psycopg.Connection) -> None:
        _insert(shop, "shipment", event, connection)

    return bill, ship


def _on_sqlite(shop: Shop) -> tuple[Any, Any]:
    def bill(event: ItemPurchased, connection: sqlite3.Connection, unit_of_work: UnitOfWork) -> None:
        _bill(shop, event, connection, unit_of_work)

    def ship(event: ItemBilled, connection: sqlite3.Connection) -> None:
        _insert(shop, "shipment", event, connection)

    return bill, ship


def _bill(shop: Shop, event: ItemPurchased, connection: Any, unit_of_work: UnitOfWork) -> None:
    _insert(shop, "bill", event, connection)
    unit_of_work.publish(
        ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, place=event.place, billed_at=AT)
    )


def _insert(shop: Shop, table: str, event: ItemPurchased | ItemBilled, connection: Any) -> None:
    values = [str(event.purchase_id), str(event.customer_id), event.place]
    connection.execute(shop.sql(f"insert into {table} (purchase, customer, place) values (?, ?, ?)"), values)


_store: Store = "sqlite" if os.environ.get(STORE) == "sqlite" else "postgres"
system = declare(_store, renamed=RENAMED in os.environ).system
