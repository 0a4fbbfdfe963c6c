"""What Marketing can tell."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from retail.marketing.model import Pair, Popularity


def popularity(session: Session) -> dict[UUID, int]:
    """Purchases per product."""
    counted = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    return dict(session.execute(counted).all())


def also_bought(session: Session, product_id: UUID) -> dict[UUID, int]:
    """Other products, by how many customers bought both."""
    found: dict[UUID, int] = {}
    for one, other in ((Pair.product_id, Pair.other_id), (Pair.other_id, Pair.product_id)):
        rows = session.execute(select(other, Pair.customers).where(one == product_id, Pair.customers > 0))
        found |= dict(rows.all())
    return found


def most_popular(session: Session, count: int) -> list[tuple[UUID, int]]:
    """The products purchased most often, with how often."""
    rows = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    ordered = rows.order_by(Popularity.purchases.desc(), Popularity.product_id).limit(count)
    return [(product, purchases) for product, purchases in session.execute(ordered)]


def most_also_bought(session: Session, product_id: UUID, count: int) -> list[tuple[UUID, int]]:
    """Other products, those first of which the most customers bought both."""
    found = also_bought(session, product_id).items()
    return sorted(found, key=lambda one: (-one[1], str(one[0])))[:count]


def popularity_of(session: Session, product_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How often these products were purchased, as far as they were."""
    rows = select(Popularity.product_id, Popularity.purchases).where(Popularity.product_id.in_(product_ids))
    return dict(session.execute(rows.where(Popularity.purchases > 0)).all())
