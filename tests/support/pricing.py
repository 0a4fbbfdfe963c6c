"""The shop of the how-to pages: what commands print about it stands there."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from uuid import NAMESPACE_DNS, UUID, uuid5

from preterite import Command, Component, Envelope, Event, OpenSystem, System, UnitOfWork


class ItemPurchased(Event, key="customer_id"):
    customer_id: UUID
    product: str
    quantity: int


class WriteReminder(Command):
    customer_id: UUID


class NoPrice(Exception):
    """A product without a price was purchased."""


class WrongQuantity(Exception):
    """Less than one was purchased."""


def bill(event: ItemPurchased, connection: sqlite3.Connection, unit_of_work: UnitOfWork) -> None:
    if event.quantity < 1:
        raise WrongQuantity(f"{event.quantity} of {event.product}")
    if connection.execute("select 1 from price where product = ?", [event.product]).fetchone() is None:
        raise NoPrice(f"no price for {event.product}")
    unit_of_work.schedule(WriteReminder(customer_id=event.customer_id), after=timedelta(days=14))


def remind(command: WriteReminder) -> None:
    """No letter is written here."""


def ship(event: ItemPurchased) -> None:
    """Ships nothing."""


def mail(event: ItemPurchased, envelope: Envelope, connection: sqlite3.Connection) -> None:
    connection.execute("insert into mail values (?)", [str(envelope.id)])


def declare(*, mails: bool = False) -> System:
    """The shop; Finance mails, too, once that handler is added."""
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables="create table price (product text); create table mail (event text)")
    shipping = Component("shipping")
    finance.handles(ItemPurchased)(bill)
    finance.handles(WriteReminder)(remind)
    shipping.handles(ItemPurchased)(ship)
    if mails:
        finance.handles(ItemPurchased)(mail)
    return System("shop", [sales, finance, shipping], demo=True)


system = declare()
with_mail = declare(mails=True)


def publish(shop: OpenSystem, *purchases: tuple[str, str, int]) -> None:
    """Customer, product and quantity of each purchase, in one unit of work."""
    sales = shop.components["sales"]
    with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for customer, product, quantity in purchases:
            unit_of_work.publish(
                ItemPurchased(customer_id=uuid5(NAMESPACE_DNS, customer), product=product, quantity=quantity)
            )


def enter_price(shop: OpenSystem, product: str) -> None:
    with shop.connection(shop.components["finance"]) as connection:
        connection.execute("insert into price values (?)", [product])
