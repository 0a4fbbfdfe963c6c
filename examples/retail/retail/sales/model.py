"""The tables of Sales: purchases, blocked customers, and refused purchases."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retail.columns import Instant


class Base(DeclarativeBase):
    """The tables of Sales."""


class Purchase(Base):
    """A product that a customer purchased."""

    __tablename__ = "purchase"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID]
    customer_id: Mapped[UUID] = mapped_column(index=True)
    quantity: Mapped[int]
    purchased_at: Mapped[datetime] = mapped_column(Instant)
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)


class BlockedCustomer(Base):
    """A customer who may not purchase until everything overdue is paid."""

    __tablename__ = "blocked_customer"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(Instant)


class Refusal(Base):
    """A purchase that was refused, because the customer was blocked."""

    __tablename__ = "refusal"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    refused_at: Mapped[datetime] = mapped_column(Instant)
