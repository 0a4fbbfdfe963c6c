"""The actions of Sales: purchase, and cancel a purchase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from retail.sales.component import sales
from retail.sales.contracts import ItemPurchased, PurchaseCancelled
from retail.sales.model import BlockedCustomer, Purchase, Refusal


class Wanted(NamedTuple):
    """One item of a basket, under the identifier that the purchase will have."""

    purchase_id: UUID
    product_id: UUID
    quantity: int = 1


PACKED_AT = time(22)

_KNOWN = select(
    exists().where(Refusal.purchase_id == bindparam("purchase_id")),
    exists().where(Purchase.id == bindparam("purchase_id")),
    exists().where(BlockedCustomer.customer_id == bindparam("customer_id")),
)
"""Whether a purchase was refused, whether it was made, and whether the customer is blocked."""


class CustomerBlocked(Exception):
    """The customer has not paid in time and may not purchase; the refusal is on record."""


class NotPurchased(Exception):
    """There is no such purchase to cancel."""


class TooLate(Exception):
    """The purchase is packed already and cannot be cancelled."""


def purchase(session: Session, basket: Sequence[Wanted], customer_id: UUID, at: datetime) -> None:
    """Purchase the whole basket, or refuse all of it with `CustomerBlocked`.

    No other component is asked: Sales itself knows whether the customer may purchase. Called again with the same
    basket, it gives the same answer and changes nothing.
    """
    with sales.unit_of_work(session) as unit_of_work:
        known = {"purchase_id": basket[0].purchase_id, "customer_id": customer_id}
        refused, purchased, blocked = session.execute(_KNOWN, known).one()
        if refused or purchased:
            pass
        elif blocked:
            refused = True
            session.add_all(
                Refusal(purchase_id=wanted.purchase_id, customer_id=customer_id, refused_at=at) for wanted in basket
            )
        else:
            for wanted in basket:
                session.add(
                    Purchase(
                        id=wanted.purchase_id,
                        product_id=wanted.product_id,
                        customer_id=customer_id,
                        quantity=wanted.quantity,
                        purchased_at=at,
                    )
                )
                unit_of_work.publish(
                    ItemPurchased(
                        purchase_id=wanted.purchase_id,
                        product_id=wanted.product_id,
                        customer_id=customer_id,
                        purchased_at=at,
                        quantity=wanted.quantity,
                    )
                )
    if refused:
        raise CustomerBlocked(f"Customer {customer_id} has invoices overdue and may not purchase until they are paid.")


def cancel(session: Session, purchase_id: UUID, at: datetime) -> None:
    """Cancel a purchase, until it is packed at ten in the evening of its day (UTC).

    Shipping is not asked: the hour of packing is agreed. Cancelling twice changes nothing.
    """
    with sales.unit_of_work(session) as unit_of_work:
        found = session.get(Purchase, purchase_id)
        if found is None:
            raise NotPurchased(f"There is no purchase {purchase_id}.")
        if found.cancelled_at is not None:
            return
        if at >= datetime.combine(found.purchased_at, PACKED_AT, tzinfo=UTC):
            raise TooLate(f"Purchase {purchase_id} was packed already; it can be returned once it has arrived.")
        found.cancelled_at = at
        unit_of_work.publish(PurchaseCancelled(purchase_id=purchase_id, customer_id=found.customer_id, cancelled_at=at))
