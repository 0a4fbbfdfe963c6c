"""What Catalog owns: products with their names and categories."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Catalog's tables."""


class Product(Base):
    """A product as people see it."""

    __tablename__ = "product"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    category: Mapped[str]
