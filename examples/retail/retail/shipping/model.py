"""The tables of Shipping: delivery addresses and shipments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retail.columns import Instant


class Base(DeclarativeBase):
    """Shipping's tables."""


class Address(Base):
    """Where a customer's purchases go."""

    __tablename__ = "address"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    country: Mapped[str]


class Shipment(Base):
    """A purchase that is to be packed; from then on it has a country and is on its way."""

    __tablename__ = "shipment"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    product_id: Mapped[UUID]
    quantity: Mapped[int]
    packed_at: Mapped[datetime] = mapped_column(Instant)
    country: Mapped[str | None]
    shipped_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
