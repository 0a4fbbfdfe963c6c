"""The tables of Sales."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from coupled.database import Base


class Purchase(Base):
    """A purchase."""

    __tablename__ = "purchase"

    id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(ForeignKey("product.id"))  # violation: cross-component-foreign-key
    notes: Mapped[list["Note"]] = relationship("Note")  # fine: its own
    bought: Mapped[Any] = relationship("Product")  # violation: names-internals


class Note(Base):
    """A note on a purchase."""

    __tablename__ = "sales_note"

    id: Mapped[str] = mapped_column(primary_key=True)
    purchase: Mapped[str] = mapped_column(ForeignKey("purchase.id"))  # fine: its own
