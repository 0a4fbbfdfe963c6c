"""Queries on what Marketing owns."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Integer, bindparam, select

from retail.db import Queryable
from retail.marketing.model import Pair, Popularity

FEW = 200


def popularity(db: Queryable) -> dict[UUID, int]:
    """Purchases per product."""
    counted = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    return dict(db.execute(counted).all())


def also_bought(db: Queryable, product_id: UUID) -> dict[UUID, int]:
    """Other products, by how many customers bought both."""
    found: dict[UUID, int] = {}
    for statement in _ALSO:
        found |= dict(db.execute(statement, {"product_id": product_id}).all())
    return found


_POPULAR = (
    select(Popularity.product_id, Popularity.purchases)
    .where(Popularity.purchases > 0)
    .order_by(Popularity.purchases.desc(), Popularity.product_id.desc())
    .limit(bindparam("count", type_=Integer))
)
_ALSO = (
    select(Pair.other_id, Pair.customers).where(Pair.product_id == bindparam("product_id"), Pair.customers > 0),
    select(Pair.product_id, Pair.customers).where(Pair.other_id == bindparam("product_id"), Pair.customers > 0),
)


_ALSO_FIRST = tuple(
    side.order_by(Pair.customers.desc(), side.selected_columns[0]).limit(bindparam("count", type_=Integer))
    for side in _ALSO
)


def most_popular(db: Queryable, count: int) -> list[tuple[UUID, int]]:
    """The products purchased most often, with how often."""
    return [(product, purchases) for product, purchases in db.execute(_POPULAR, {"count": count})]


def most_also_bought(db: Queryable, product_id: UUID, count: int) -> list[tuple[UUID, int]]:
    """Other products, those first of which the most customers bought both."""
    asked = {"product_id": product_id, "count": count}
    found = [(other, customers) for side in _ALSO_FIRST for other, customers in db.execute(side, asked)]
    return sorted(found, key=lambda one: (-one[1], one[0].hex))[:count]


def popularity_of(db: Queryable, product_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How often these products were purchased, as far as they were."""
    wanted = set(product_ids)
    rows = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    if len(wanted) <= FEW:
        return dict(db.execute(rows.where(Popularity.product_id.in_(wanted))).all())
    # For many it is faster to read all than to look up each.
    return {product: purchases for product, purchases in db.execute(rows) if product in wanted}
