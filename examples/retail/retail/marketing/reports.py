"""Queries on what Marketing owns."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Integer, bindparam, func, select
from sqlalchemy.orm import aliased

from retail.db import Queryable
from retail.marketing.model import Bought, Popularity

FEW = 200


def popularity(db: Queryable) -> dict[UUID, int]:
    """Purchases per product."""
    counted = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    return dict(db.execute(counted).all())


def also_bought(db: Queryable, product_id: UUID) -> dict[UUID, int]:
    """Other products, by how many customers bought both."""
    return dict(db.execute(_ALSO, {"product_id": product_id}).all())


_POPULAR = (
    select(Popularity.product_id, Popularity.purchases)
    .where(Popularity.purchases > 0)
    .order_by(Popularity.purchases.desc(), Popularity.product_id.desc())
    .limit(bindparam("count", type_=Integer))
)
_this, _other = aliased(Bought), aliased(Bought)
_ALSO = (
    select(_other.product_id, func.count())
    .join(_this, _this.customer_id == _other.customer_id)
    .where(_this.product_id == bindparam("product_id"), _other.product_id != _this.product_id)
    .group_by(_other.product_id)
)
_ALSO_FIRST = _ALSO.order_by(func.count().desc(), _other.product_id).limit(bindparam("count", type_=Integer))


def most_popular(db: Queryable, count: int) -> list[tuple[UUID, int]]:
    """The products purchased most often, with how often."""
    return [(product, purchases) for product, purchases in db.execute(_POPULAR, {"count": count})]


def most_also_bought(db: Queryable, product_id: UUID, count: int) -> list[tuple[UUID, int]]:
    """Other products, those first of which the most customers bought both."""
    rows = db.execute(_ALSO_FIRST, {"product_id": product_id, "count": count})
    return [(other, customers) for other, customers in rows]


def popularity_of(db: Queryable, product_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How often these products were purchased, as far as they were."""
    wanted = set(product_ids)
    rows = select(Popularity.product_id, Popularity.purchases).where(Popularity.purchases > 0)
    if len(wanted) <= FEW:
        return dict(db.execute(rows.where(Popularity.product_id.in_(wanted))).all())
    # For many it is faster to read all than to look up each.
    return {product: purchases for product, purchases in db.execute(rows) if product in wanted}
