"""Queries on what Shipping owns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, false, func, select, true, union_all

from retail.db import Queryable
from retail.shipping.model import Address, Shipment, WaitingItem


class Delivery(NamedTuple):
    """How far a purchase is on its way: packed at a time to come, or sent."""

    packed_at: datetime
    is_sent: bool


class ToPack(NamedTuple):
    """A purchase that is to be packed, and where it goes, if that is known."""

    purchase_id: UUID
    product_id: UUID
    customer_id: UUID
    quantity: int
    packed_at: datetime
    country: str | None


class Shipped(NamedTuple):
    """A purchase that was sent."""

    purchase_id: UUID
    customer_id: UUID
    country: str
    shipped_at: datetime


def customer_count(db: Queryable) -> int:
    """How many customers have an address."""
    return db.scalar(select(func.count()).select_from(Address)) or 0


def shipments_by_country(db: Queryable) -> dict[str, int]:
    """Shipments per country."""
    rows = db.execute(select(Shipment.country, func.count()).group_by(Shipment.country))
    return dict(sorted((country, count) for country, count in rows))


_ids: Any = bindparam("ids", expanding=True)  # pyright: ignore[reportUnknownVariableType]
_DELIVERIES = union_all(
    select(WaitingItem.purchase_id, WaitingItem.packed_at, false()).where(WaitingItem.purchase_id.in_(_ids)),
    select(Shipment.purchase_id, Shipment.shipped_at, true()).where(Shipment.purchase_id.in_(_ids)),
)
_COUNTRIES = select(Address.customer_id, Address.country).where(Address.customer_id.in_(_ids))


def deliveries(db: Queryable, purchase_ids: Iterable[UUID]) -> dict[UUID, Delivery]:
    """How far these purchases are, as far as Shipping has consumed their events and they were not cancelled."""
    rows = db.execute(_DELIVERIES, {"ids": list(purchase_ids)})
    return {purchase_id: Delivery(at, bool(is_sent)) for purchase_id, at, is_sent in rows}


def countries(db: Queryable, customer_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Where these customers live, as far as it is known."""
    return dict(db.execute(_COUNTRIES, {"ids": list(customer_ids)}).all())


def to_pack(db: Queryable, count: int) -> list[ToPack]:
    """What is to be packed, the first first."""
    columns = (
        WaitingItem.purchase_id,
        WaitingItem.product_id,
        WaitingItem.customer_id,
        WaitingItem.quantity,
        WaitingItem.packed_at,
        Address.country,
    )
    joined = select(*columns).outerjoin(Address, Address.customer_id == WaitingItem.customer_id)
    rows = db.execute(joined.order_by(WaitingItem.packed_at, WaitingItem.purchase_id).limit(count))
    return [ToPack(*row) for row in rows]


def shipped(db: Queryable, count: int) -> list[Shipped]:
    """What was sent, the last first."""
    columns = (Shipment.purchase_id, Shipment.customer_id, Shipment.country, Shipment.shipped_at)
    rows = select(*columns).order_by(Shipment.shipped_at.desc(), Shipment.purchase_id).limit(count)
    return [Shipped(*row) for row in db.execute(rows)]
