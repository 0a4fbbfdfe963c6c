"""Queries on what Shipping owns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select

from retail.db import Queryable
from retail.shipping.model import Address, Shipment


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
    sent = select(Shipment.country, func.count()).where(Shipment.shipped_at.is_not(None))
    rows = db.execute(sent.group_by(Shipment.country))
    return dict(sorted((str(country), count) for country, count in rows))


_ids: Any = bindparam("ids", expanding=True)  # pyright: ignore[reportUnknownVariableType]
_DELIVERIES = select(Shipment.purchase_id, Shipment.packed_at, Shipment.shipped_at).where(
    Shipment.purchase_id.in_(_ids)
)
_COUNTRIES = select(Address.customer_id, Address.country).where(Address.customer_id.in_(_ids))


def deliveries(db: Queryable, purchase_ids: Iterable[UUID]) -> dict[UUID, Delivery]:
    """How far these purchases are, as far as Shipping has consumed their events and they were not cancelled."""
    rows = db.execute(_DELIVERIES, {"ids": list(purchase_ids)})
    return {
        purchase_id: Delivery(shipped_at or packed_at, shipped_at is not None)
        for purchase_id, packed_at, shipped_at in rows
    }


def countries(db: Queryable, customer_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Where these customers live, as far as it is known."""
    return dict(db.execute(_COUNTRIES, {"ids": list(customer_ids)}).all())


def to_pack(db: Queryable, count: int) -> list[ToPack]:
    """What is to be packed, the first first."""
    columns = (
        Shipment.purchase_id,
        Shipment.product_id,
        Shipment.customer_id,
        Shipment.quantity,
        Shipment.packed_at,
        Address.country,
    )
    joined = select(*columns).outerjoin(Address, Address.customer_id == Shipment.customer_id)
    waiting = joined.where(Shipment.shipped_at.is_(None))
    rows = db.execute(waiting.order_by(Shipment.packed_at, Shipment.purchase_id).limit(count))
    return [ToPack(*row) for row in rows]


def shipped(db: Queryable, count: int) -> list[Shipped]:
    """What was sent, the last first."""
    columns = (Shipment.purchase_id, Shipment.customer_id, Shipment.country, Shipment.shipped_at)
    rows = (
        select(*columns)
        .where(Shipment.shipped_at.is_not(None))
        .order_by(Shipment.shipped_at.desc(), Shipment.purchase_id)
        .limit(count)
    )
    return [Shipped(*row) for row in db.execute(rows)]
