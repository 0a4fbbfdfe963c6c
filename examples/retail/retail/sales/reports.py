"""Queries on what Sales owns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, bindparam, distinct, func, select

from retail.db import Queryable
from retail.sales.actions import PACKED_AT
from retail.sales.model import BlockedCustomer, Purchase, Refusal


class Purchased(NamedTuple):
    """A purchase as Sales has it."""

    purchase_id: UUID
    product_id: UUID
    customer_id: UUID
    quantity: int
    purchased_at: datetime
    cancelled_at: datetime | None

    def may_be_cancelled(self, at: datetime) -> bool:
        """Whether it can still be cancelled: the hour of packing is agreed."""
        packed_at = datetime.combine(self.purchased_at, PACKED_AT, tzinfo=UTC)
        return self.cancelled_at is None and at < packed_at


class Blocked(NamedTuple):
    """A customer who may not purchase, since when, and how many purchases were refused since."""

    customer_id: UUID
    since: datetime
    refused: int


def purchase_count(db: Queryable) -> int:
    """How many purchases were accepted."""
    return db.scalar(select(func.count()).select_from(Purchase)) or 0


def cancelled_count(db: Queryable) -> int:
    """How many of them were cancelled."""
    return db.scalar(select(func.count()).where(Purchase.cancelled_at.is_not(None))) or 0


def refusal_count(db: Queryable) -> int:
    """How many purchases were refused."""
    return db.scalar(select(func.count()).select_from(Refusal)) or 0


def customers_refused(db: Queryable) -> int:
    """How many customers were ever refused."""
    return db.scalar(select(func.count(distinct(Refusal.customer_id)))) or 0


def customers_back_after_a_refusal(db: Queryable) -> int:
    """How many of them have purchased something later."""
    first = (
        select(Refusal.customer_id, func.min(Refusal.refused_at).label("at")).group_by(Refusal.customer_id).subquery()
    )
    later = select(func.count(distinct(Purchase.customer_id))).join(
        first, (first.c.customer_id == Purchase.customer_id) & (first.c.at < Purchase.purchased_at)
    )
    return db.scalar(later) or 0


_columns = (
    Purchase.id,
    Purchase.product_id,
    Purchase.customer_id,
    Purchase.quantity,
    Purchase.purchased_at,
    Purchase.cancelled_at,
)


_OF_CUSTOMER = (
    select(*_columns)
    .where(Purchase.customer_id == bindparam("customer_id"))
    .order_by(Purchase.purchased_at.desc(), Purchase.id)
    .limit(bindparam("count", type_=Integer))
)
_BLOCKED = select(BlockedCustomer.customer_id, BlockedCustomer.since).where(
    BlockedCustomer.customer_id.in_(bindparam("ids", expanding=True))
)


def purchases_of(db: Queryable, customer_id: UUID, count: int) -> list[Purchased]:
    """The last purchases of a customer, the latest first."""
    rows = db.execute(_OF_CUSTOMER, {"customer_id": customer_id, "count": count})
    return [Purchased(*row) for row in rows]


def latest_purchases(db: Queryable, count: int) -> list[Purchased]:
    """The last purchases of all customers, the latest first."""
    rows = db.execute(select(*_columns).order_by(Purchase.purchased_at.desc(), Purchase.id).limit(count))
    return [Purchased(*row) for row in rows]


def purchase_of(db: Queryable, purchase_id: UUID) -> Purchased | None:
    """One purchase, if there is such."""
    row = db.execute(select(*_columns).where(Purchase.id == purchase_id)).first()
    return None if row is None else Purchased(*row)


def blocked_since(db: Queryable, customer_ids: Iterable[UUID]) -> dict[UUID, datetime]:
    """Which of these customers may not purchase, and since when."""
    return dict(db.execute(_BLOCKED, {"ids": list(customer_ids)}).all())


def blocked(db: Queryable) -> list[Blocked]:
    """Blocked customers, longest first."""
    refused = select(Refusal.customer_id, func.count().label("refused")).group_by(Refusal.customer_id).subquery()
    rows = select(BlockedCustomer.customer_id, BlockedCustomer.since, func.coalesce(refused.c.refused, 0))
    joined = rows.outerjoin(refused, refused.c.customer_id == BlockedCustomer.customer_id)
    return [Blocked(*row) for row in db.execute(joined.order_by(BlockedCustomer.since))]
