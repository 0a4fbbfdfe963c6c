"""The tables of Catalog."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from coupled.database import Base


class Product(Base):
    """A product."""

    __tablename__ = "product"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
