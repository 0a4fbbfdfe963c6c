"""What Sales fills on pages, and takes from forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ask, Ids, Invalid, NotThere, Parts, Slice
from retail.identifiers import BlockedId, CustomerId, ProductId, PurchaseId
from retail.sales import actions, reports
from retail.sales.component import sales
from retail.sales.reports import Blocked, Purchased

SHOWN = 25
QUANTITY_MAX = 10_000
BLOCKED = "You have an invoice overdue. As soon as it is paid you can purchase again."

parts = Parts(sales)


class Item(NamedTuple):
    """What a customer wants."""

    product_id: UUID
    quantity: int


@parts.part(gives=[BlockedId], fallback="Whether you may purchase cannot be told right now; just try.")
def standing(customers: Ids[CustomerId], connection: Connection) -> Slice:
    """Who may not purchase, and since when."""
    found = reports.blocked_since(connection, customers)
    return Slice(found, gives={BlockedId: [BlockedId(one) for one in found]})


@parts.part(
    gives=[ProductId, PurchaseId], required=True, fallback="Your purchases cannot be shown right now; they are safe."
)
def purchases(customers: Ids[CustomerId], connection: Connection) -> Slice:
    """What a customer purchased, the latest first."""
    (customer,) = customers
    return _slice(reports.purchases_of(connection, customer, SHOWN))


@parts.part(gives=[ProductId], required=True, fallback="The purchase cannot be shown right now; it is safe.")
def purchase(purchases: Ids[PurchaseId], connection: Connection, ask: Ask) -> Slice:
    """One purchase of the viewer's."""
    (purchase_id,) = purchases
    found = reports.purchase_of(connection, purchase_id)
    if found is None or found.customer_id != ask.viewer:
        raise NotThere(f"There is no purchase {purchase_id}.")
    return Slice(found, gives={ProductId: [ProductId(found.product_id)]})


@parts.part(gives=[ProductId, CustomerId], required=True, fallback="Sales cannot be reached right now.")
def latest_purchases(connection: Connection) -> Slice:
    """The last purchases of all customers."""
    found = reports.latest_purchases(connection, SHOWN)
    customers = [CustomerId(one.customer_id) for one in found]
    return Slice(found, gives={ProductId: [ProductId(one.product_id) for one in found], CustomerId: customers})


@parts.part(gives=[CustomerId], fallback="Who is blocked cannot be told right now.")
def blocked(connection: Connection) -> Slice:
    """Who may not purchase, since when, and how much was refused."""
    found: list[Blocked] = reports.blocked(connection)
    return Slice(found, gives={CustomerId: [CustomerId(one.customer_id) for one in found]})


def read_item(fields: Mapping[str, str], ask: Ask) -> Item:
    """A product, and how many units of it."""
    quantity = fields["quantity"]
    if not (quantity.isdecimal() and len(quantity) < 6 and 0 < int(quantity) <= QUANTITY_MAX):
        raise Invalid(quantity=f"Write a number from 1 to {QUANTITY_MAX:,}.")
    try:
        return Item(UUID(fields["product"]), int(quantity))
    except ValueError:
        raise Invalid(quantity="Choose a product first.") from None


@parts.section("product", "quantity", read=read_item, fallback="Sales could not take your purchase just now.")
def new_purchase(purchase_id: PurchaseId, item: Item, session: Session, ask: Ask) -> None:
    """Purchase an item."""
    assert ask.viewer is not None, "whoever purchases is known"
    wanted = actions.Wanted(purchase_id, item.product_id, item.quantity)
    try:
        actions.purchase(session, [wanted], ask.viewer, ask.as_of)
    except actions.CustomerBlocked:
        raise Invalid(quantity=BLOCKED) from None


@parts.section("cancel", read=lambda fields, ask: True, fallback="Sales could not take it back just now.")
def cancellation(purchase_id: PurchaseId, _sure: bool, session: Session, ask: Ask) -> None:
    """Take a purchase of the viewer's back."""
    found = reports.purchase_of(session, purchase_id)
    if found is None or found.customer_id != ask.viewer:
        raise Invalid(cancel="There is no such purchase of yours.")
    try:
        actions.cancel(session, purchase_id, ask.as_of)
    except actions.TooLate:
        raise Invalid(cancel="It is packed already; you can return it once it has arrived.") from None


def _slice(found: list[Purchased]) -> Slice:
    products = [ProductId(one.product_id) for one in found]
    return Slice(found, gives={ProductId: products, PurchaseId: [PurchaseId(one.purchase_id) for one in found]})
