"""The tables of Finance."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from coupled.database import Base


class Invoice(Base):
    """An invoice of a customer."""

    __tablename__ = "invoice"

    id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    pence: Mapped[int]
