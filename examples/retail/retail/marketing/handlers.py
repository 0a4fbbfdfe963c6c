"""The handlers of Marketing: it counts purchases, many at a time, and subtracts cancelled ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from retail.db import insert_into
from retail.marketing.component import marketing
from retail.marketing.model import Bought, Counted, Popularity
from retail.sales.contracts import ItemPurchased, PurchaseCancelled

__all__ = ["marketing"]


@marketing.handles(ItemPurchased)
def count(events: Sequence[ItemPurchased], session: Session) -> None:
    """Count purchases per product, and note which customers bought it."""
    _count_purchases(events, session)
    bought = [{"customer_id": event.customer_id, "product_id": event.product_id} for event in events]
    counted = [{"purchase_id": event.purchase_id, **row} for event, row in zip(events, bought, strict=True)]
    session.execute(insert_into(session, Counted), counted)
    session.execute(
        insert_into(session, Bought)
        .values(purchases=1)
        .on_conflict_do_update(
            index_elements=[Bought.customer_id, Bought.product_id], set_={"purchases": Bought.purchases + 1}
        ),
        bought,
    )


@marketing.handles(PurchaseCancelled)
def take_back(event: PurchaseCancelled, session: Session) -> None:
    """Subtract a cancelled purchase; a customer who has cancelled all purchases of a product has not bought it."""
    counted = session.get_one(Counted, event.purchase_id)
    customer, product = counted.customer_id, counted.product_id
    session.delete(counted)
    session.get_one(Popularity, product).purchases -= 1
    bought = session.get_one(Bought, (customer, product))
    bought.purchases -= 1
    if bought.purchases == 0:
        session.delete(bought)


def _count_purchases(events: Sequence[ItemPurchased], session: Session) -> None:
    counts = Counter(event.product_id for event in events)
    adding = insert_into(session, Popularity)
    session.execute(
        adding.on_conflict_do_update(
            index_elements=[Popularity.product_id],
            set_={"purchases": Popularity.purchases + adding.excluded.purchases},
        ),
        [{"product_id": product_id, "purchases": purchases} for product_id, purchases in counts.items()],
    )
