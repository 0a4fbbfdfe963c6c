"""A shop for storms: Sales tells Finance, Finance tells Shipping, on PostgreSQL; every purchase has its place in its
customer's order.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import psycopg

from preterite import Component, Event, System, UnitOfWork

AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


class ItemBilled(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    billed_at: datetime


_DONE = "create table {} (position bigint generated always as identity primary key, purchase uuid, customer uuid)"
sales = Component(
    "sales",
    publishes=[ItemPurchased],
    tables="""
create table purchase (id uuid primary key, customer uuid not null, place bigint not null, unique (customer, place));
create table customer (id uuid primary key, places bigint not null)
""",
)
finance = Component("finance", publishes=[ItemBilled], tables=_DONE.format("bill"), time_limit_seconds=60.0)
shipping = Component("shipping", tables=_DONE.format("shipment"), time_limit_seconds=60.0)
system = System("storm", [sales, finance, shipping])


@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, connection: psycopg.Connection, unit_of_work: UnitOfWork) -> None:
    connection.execute("insert into bill (purchase, customer) values (%s, %s)", [event.purchase_id, event.customer_id])
    unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))


@shipping.handles(ItemBilled)
def ship(event: ItemBilled, connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into shipment (purchase, customer) values (%s, %s)", [event.purchase_id, event.customer_id]
    )


def purchase(connection: psycopg.Connection, customer: UUID, purchase_id: UUID) -> None:
    """One purchase in a unit of work; the customer's row is locked, so that places follow the order of commits."""
    with sales.unit_of_work(connection) as unit_of_work:
        place = connection.execute(
            "insert into customer values (%s, 1) on conflict (id) do update set places = customer.places + 1"
            " returning places",
            [customer],
        ).fetchone()
        assert place is not None
        connection.execute("insert into purchase values (%s, %s, %s)", [purchase_id, customer, place[0]])
        unit_of_work.publish(ItemPurchased(purchase_id=purchase_id, customer_id=customer, purchased_at=AT))
