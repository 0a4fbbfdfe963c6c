"""The parts of pages that Sales fills, and the sections of forms that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ids, NotFound, PageRequest, PartResult, Parts, ValidationError
from retail.identifiers import BlockedId, CustomerId, ProductId, PurchaseId
from retail.sales import actions, reports
from retail.sales.component import sales
from retail.sales.reports import Blocked, Purchased

SHOWN = 25
QUANTITY_MAX = 10_000
BLOCKED = "You have an overdue invoice. You can purchase again once it is paid."

parts = Parts(sales)


class Item(NamedTuple):
    """What a customer wants."""

    product_id: UUID
    quantity: int


@parts.part(provides=[BlockedId], fallback="Whether you may purchase is unknown; please try.")
def blocked_since(customers: Ids[CustomerId], connection: Connection) -> PartResult:
    """Who may not purchase, and since when."""
    found = reports.blocked_since(connection, customers)
    return PartResult(found, provides={BlockedId: [BlockedId(one) for one in found]})


@parts.part(provides=[ProductId, PurchaseId], required=True, fallback="Your purchases are unavailable; they are safe.")
def purchases(customers: Ids[CustomerId], connection: Connection) -> PartResult:
    """What a customer purchased, the latest first."""
    (customer,) = customers
    return _result(reports.purchases_of(connection, customer, SHOWN))


@parts.part(provides=[ProductId], required=True, fallback="The purchase is unavailable; it is safe.")
def purchase(purchases: Ids[PurchaseId], connection: Connection, request: PageRequest) -> PartResult:
    """One purchase of the viewer's."""
    (purchase_id,) = purchases
    found = reports.purchase_of(connection, purchase_id)
    if found is None or found.customer_id != request.viewer:
        raise NotFound(f"There is no purchase {purchase_id}.")
    return PartResult(found, provides={ProductId: [ProductId(found.product_id)]})


@parts.part(provides=[ProductId, CustomerId], required=True, fallback="Sales is unavailable.")
def latest_purchases(connection: Connection) -> PartResult:
    """The last purchases of all customers."""
    found = reports.latest_purchases(connection, SHOWN)
    customers = [CustomerId(one.customer_id) for one in found]
    return PartResult(found, provides={ProductId: [ProductId(one.product_id) for one in found], CustomerId: customers})


@parts.part(provides=[CustomerId], fallback="Blocked customers are unavailable.")
def blocked(connection: Connection) -> PartResult:
    """Who may not purchase, since when, and how much was refused."""
    found: list[Blocked] = reports.blocked(connection)
    return PartResult(found, provides={CustomerId: [CustomerId(one.customer_id) for one in found]})


def read_item(fields: Mapping[str, str], request: PageRequest) -> Item:
    """A product, and how many units of it."""
    quantity = fields["quantity"]
    if not (quantity.isdecimal() and len(quantity) < 6 and 0 < int(quantity) <= QUANTITY_MAX):
        raise ValidationError(quantity=f"Write a number from 1 to {QUANTITY_MAX:,}.")
    try:
        return Item(UUID(fields["product"]), int(quantity))
    except ValueError:
        raise ValidationError(quantity="Choose a product first.") from None


@parts.section("product", "quantity", read=read_item, fallback="Sales has not taken your purchase yet.")
def new_purchase(purchase_id: PurchaseId, item: Item, session: Session, request: PageRequest) -> None:
    """Purchase an item."""
    assert request.viewer is not None, "a purchase has a viewer"
    wanted = actions.Wanted(purchase_id, item.product_id, item.quantity)
    try:
        actions.purchase(session, [wanted], request.viewer, request.as_of)
    except actions.CustomerBlocked:
        raise ValidationError(quantity=BLOCKED) from None


@parts.section("cancel", read=lambda fields, request: True, fallback="Sales has not cancelled it yet.")
def cancellation(purchase_id: PurchaseId, _sure: bool, session: Session, request: PageRequest) -> None:
    """Cancel a purchase of the viewer's."""
    found = reports.purchase_of(session, purchase_id)
    if found is None or found.customer_id != request.viewer:
        raise ValidationError(cancel="There is no such purchase of yours.")
    try:
        actions.cancel(session, purchase_id, request.as_of)
    except actions.TooLate:
        raise ValidationError(cancel="It is packed already; you can return it once it has arrived.") from None


def _result(found: list[Purchased]) -> PartResult:
    products = [ProductId(one.product_id) for one in found]
    return PartResult(found, provides={ProductId: products, PurchaseId: [PurchaseId(one.purchase_id) for one in found]})
