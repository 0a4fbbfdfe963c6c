"""The tables of Catalog: products with their names, now and before, and their categories."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retail.columns import Instant


class Base(DeclarativeBase):
    """Catalog's tables."""


class Product(Base):
    """A product as people see it now."""

    __tablename__ = "product"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    category: Mapped[str]
    listed_at: Mapped[datetime] = mapped_column(Instant)
    withdrawn_at: Mapped[datetime | None] = mapped_column(Instant)


class ProductName(Base):
    """What a product was called from an instant on, up to what it is called now."""

    __tablename__ = "product_name"

    product_id: Mapped[UUID] = mapped_column(ForeignKey(Product.id), primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    name: Mapped[str]


class Edition(Base):
    """One row: the name of the catalogue's present edition. Each change replaces it."""

    __tablename__ = "edition"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[UUID]
