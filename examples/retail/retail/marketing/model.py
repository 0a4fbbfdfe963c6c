"""The tables of Marketing: purchases per product, and which products the same customers bought."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
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
    """A customer has bought a product, so many times; positions follow the order of consumption."""

    __tablename__ = "bought"
    __table_args__ = (UniqueConstraint("customer_id", "product_id"),)

    position: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    product_id: Mapped[UUID]
    purchases: Mapped[int]


class Pair(Base):
    """How many customers bought both products; each pair has one row, the lower identifier first."""

    __tablename__ = "pair"

    product_id: Mapped[UUID] = mapped_column(primary_key=True)
    other_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    customers: Mapped[int]
