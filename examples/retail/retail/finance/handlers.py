"""What Finance does when Sales tells it something: it bills the purchase, by the price of its moment."""

from __future__ import annotations

from sqlalchemy.orm import Session

from retail.finance.billing import best_discount, month_of, net_pence, price_at
from retail.finance.component import finance
from retail.finance.model import BillableItem
from retail.sales.contracts import ItemPurchased

__all__ = ["finance"]


@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, session: Session) -> None:
    """Keep what the purchase costs; it goes on an invoice at the end of the month."""
    price = price_at(session, event.product_id, event.purchased_at)
    discount = best_discount(session, event.customer_id, event.quantity, event.purchased_at)
    session.add(
        BillableItem(
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
    )
