"""The handlers of Finance: purchases are billed; at the start of every month they are invoiced."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from preterite import Tick, UnitOfWork
from retail.finance.billing import Rates, month_of, net_pence, rates_for
from retail.finance.component import finance
from retail.finance.follow_up import PaymentFollowUp
from retail.finance.invoicing import invoice_month
from retail.finance.model import BillableItem
from retail.sales.contracts import ItemPurchased, PurchaseCancelled

__all__ = ["PaymentFollowUp", "finance"]


class AlreadyInvoiced(Exception):
    """A purchase was cancelled that is on an invoice."""


@finance.handles(ItemPurchased)
def bill(events: Sequence[ItemPurchased], session: Session) -> None:
    """Keep what purchases cost, many at a time; they go on invoices at the end of the month."""
    rates = rates_for(session, {one.product_id for one in events}, {one.customer_id for one in events})
    session.add_all(_billable(event, rates) for event in events)


@finance.handles(PurchaseCancelled)
def strike(event: PurchaseCancelled, session: Session) -> None:
    """Bill nothing for a purchase that was taken back."""
    item = session.get_one(BillableItem, event.purchase_id)
    if item.invoice_id is not None:
        raise AlreadyInvoiced(f"Purchase {event.purchase_id} is on invoice {item.invoice_id}; credit it manually.")
    session.delete(item)


@finance.monthly()
def close(tick: Tick, session: Session, unit_of_work: UnitOfWork) -> None:
    """Invoice the month that has just ended."""
    invoice_month(session, unit_of_work, tick.at)


def _billable(event: ItemPurchased, rates: Rates) -> BillableItem:
    price = rates.price(event.product_id, event.purchased_at)
    discount = rates.discount(event.customer_id, event.quantity, event.purchased_at)
    return BillableItem(
        purchase_id=event.purchase_id,
        customer_id=event.customer_id,
        product_id=event.product_id,
        purchased_at=event.purchased_at,
        month=month_of(event.purchased_at),
        quantity=event.quantity,
        unit_pence=price,
        rule=discount.rule,
        percent=discount.percent,
        net_pence=net_pence(event.quantity, price, discount.percent),
    )
