"""The tables of Marketing: purchases per product, and who has bought what."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Marketing's tables."""


class Popularity(Base):
    """How often a product was purchased."""

    __tablename__ = "popularity"
    __table_args__ = (Index("popularity_in_order", "purchases", "product_id"),)

    product_id: Mapped[UUID] = mapped_column(primary_key=True)
    purchases: Mapped[int]


class Counted(Base):
    """A counted purchase: needed if it is cancelled."""

    __tablename__ = "counted"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    product_id: Mapped[UUID]


class Bought(Base):
    """A customer has bought a product, so many times."""

    __tablename__ = "bought"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    purchases: Mapped[int]
