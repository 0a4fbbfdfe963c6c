"""The tables of Finance: prices, discounts, billable items, invoices, payments. Money is whole pence."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retail.columns import Instant


class Base(DeclarativeBase):
    """Finance's tables."""


class Price(Base):
    """What a product costs from an instant on."""

    __tablename__ = "price"

    product_id: Mapped[UUID] = mapped_column(primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    pence: Mapped[int]


class Agreement(Base):
    """A discount agreed with one customer, from an instant on."""

    __tablename__ = "agreement"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(Instant)
    percent: Mapped[int]


class BulkDiscount(Base):
    """A discount on this many units or more at once."""

    __tablename__ = "bulk_discount"

    from_quantity: Mapped[int] = mapped_column(primary_key=True)
    percent: Mapped[int]


class Invoice(Base):
    """What one customer owes for one month."""

    __tablename__ = "invoice"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(index=True)
    month: Mapped[str]
    issued_at: Mapped[datetime] = mapped_column(Instant)
    due_at: Mapped[datetime] = mapped_column(Instant)
    pence: Mapped[int]
    overdue_at: Mapped[datetime | None] = mapped_column(Instant)
    paid_at: Mapped[datetime | None] = mapped_column(Instant, index=True)


class BillableItem(Base):
    """A purchase with the price and the discount of its moment; on no invoice yet, or on one."""

    __tablename__ = "billable_item"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    product_id: Mapped[UUID]
    purchased_at: Mapped[datetime] = mapped_column(Instant)
    month: Mapped[str]
    quantity: Mapped[int]
    unit_pence: Mapped[int]
    rule: Mapped[str]
    percent: Mapped[int]
    net_pence: Mapped[int]
    invoice_id: Mapped[UUID | None] = mapped_column(ForeignKey(Invoice.id), index=True)


class Payment(Base):
    """An invoice paid in full."""

    __tablename__ = "payment"

    invoice_id: Mapped[UUID] = mapped_column(ForeignKey(Invoice.id), primary_key=True)
    paid_at: Mapped[datetime] = mapped_column(Instant)
    pence: Mapped[int]
    still_overdue: Mapped[int]
