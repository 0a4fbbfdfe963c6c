"""What Shipping does when Sales tells it something: it ships, and says so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from preterite import UnitOfWork
from retail.sales.contracts import ItemPurchased
from retail.shipping.component import shipping
from retail.shipping.contracts import ItemShipped
from retail.shipping.model import Address, Shipment

__all__ = ["shipping"]


class AddressMissing(Exception):
    """Nobody knows where this customer's purchases go."""


@shipping.handles(ItemPurchased)
def ship(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
    """Ship the purchase to its customer's country, at once."""
    address = session.get(Address, event.customer_id)
    if address is None:
        raise AddressMissing(f"Customer {event.customer_id} has no address; add one and redrive.")
    shipment = Shipment(
        purchase_id=event.purchase_id,
        customer_id=event.customer_id,
        country=address.country,
        shipped_at=event.purchased_at,
    )
    session.add(shipment)
    unit_of_work.publish(
        ItemShipped(purchase_id=event.purchase_id, customer_id=event.customer_id, shipped_at=event.purchased_at)
    )
