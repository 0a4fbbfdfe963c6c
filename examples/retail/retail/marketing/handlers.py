"""The handlers of Marketing: it counts purchases, many at a time, and subtracts cancelled ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from retail.db import insert_into
from retail.marketing.component import marketing
from retail.marketing.model import Bought, Counted, Pair, Popularity
from retail.sales.contracts import ItemPurchased, PurchaseCancelled

__all__ = ["marketing"]


@marketing.handles(ItemPurchased)
def count(events: Sequence[ItemPurchased], session: Session) -> None:
    """Count purchases per product, and pairs of products that the same customer bought."""
    _count_purchases(events, session)
    before = session.scalar(select(func.max(Bought.position))) or 0
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
    _count_pairs(session, before)


@marketing.handles(PurchaseCancelled)
def take_back(event: PurchaseCancelled, session: Session) -> None:
    """Subtract a cancelled purchase; a customer who has cancelled all purchases of a product has not bought it."""
    counted = session.get_one(Counted, event.purchase_id)
    customer, product = counted.customer_id, counted.product_id
    session.delete(counted)
    session.get_one(Popularity, product).purchases -= 1
    bought = session.scalars(select(Bought).where(Bought.customer_id == customer, Bought.product_id == product)).one()
    bought.purchases -= 1
    if bought.purchases == 0:
        session.delete(bought)
        others = session.scalars(select(Bought.product_id).where(Bought.customer_id == customer)).all()
        for other in others:
            session.get_one(Pair, (min(product, other), max(product, other))).customers -= 1


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


def _count_pairs(session: Session, before: int) -> None:
    """Pair what a customer has newly bought with everything that customer had bought before it."""
    new, earlier = aliased(Bought), aliased(Bought)
    in_order = new.product_id < earlier.product_id
    lower = case((in_order, new.product_id), else_=earlier.product_id)
    upper = case((in_order, earlier.product_id), else_=new.product_id)
    pairs = (
        select(lower, upper, func.count())
        .join(earlier, (earlier.customer_id == new.customer_id) & (earlier.position < new.position))
        .where(new.position > before)
        .group_by(lower, upper)
    )
    adding = insert_into(session, Pair).from_select(["product_id", "other_id", "customers"], pairs)
    session.execute(
        adding.on_conflict_do_update(
            index_elements=[Pair.product_id, Pair.other_id],
            set_={"customers": Pair.customers + adding.excluded.customers},
        )
    )
