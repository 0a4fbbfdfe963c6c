"""What Marketing can tell."""

from __future__ import annotations

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
