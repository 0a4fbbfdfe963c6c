"""Queries on what Finance owns."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import distinct, func, select

from retail.db import Queryable
from retail.finance.model import Agreement, BillableItem, Invoice, Payment, Price


class OpenInvoice(NamedTuple):
    """An invoice that is not paid yet."""

    invoice_id: UUID
    customer_id: UUID
    due_at: datetime


class OverdueCounts(NamedTuple):
    """What became of invoices that were overdue."""

    invoices: int
    paid_as_the_last_one: int
    paid_while_another_stayed: int
    unpaid: int
    customers: int


def open_invoices(db: Queryable, due_until: datetime) -> list[OpenInvoice]:
    """Unpaid invoices due by then."""
    unpaid = select(Invoice.id, Invoice.customer_id, Invoice.due_at).where(
        Invoice.paid_at.is_(None), Invoice.due_at <= due_until
    )
    return [OpenInvoice(*row) for row in db.execute(unpaid)]


def months(db: Queryable) -> dict[str, list[int]]:
    """Invoices and total in pence, per month."""
    rows = db.execute(
        select(Invoice.month, func.count(), func.sum(Invoice.pence)).group_by(Invoice.month).order_by(Invoice.month)
    )
    return {month: [count, pence] for month, count, pence in rows}


def invoiced_pence(db: Queryable) -> int:
    """Everything invoiced."""
    return db.scalar(select(func.sum(Invoice.pence))) or 0


def paid_pence(db: Queryable) -> int:
    """Everything paid."""
    return db.scalar(select(func.sum(Payment.pence))) or 0


def overdue(db: Queryable) -> OverdueCounts:
    """What became of invoices that were overdue."""
    was_overdue = Invoice.overdue_at.is_not(None)

    def paid(*conditions: object) -> int:
        joined = select(func.count()).select_from(Payment).join(Invoice, Invoice.id == Payment.invoice_id)
        return db.scalar(joined.where(was_overdue, *conditions)) or 0  # pyright: ignore[reportArgumentType]

    return OverdueCounts(
        invoices=db.scalar(select(func.count()).where(was_overdue)) or 0,
        paid_as_the_last_one=paid(Payment.still_overdue == 0),
        paid_while_another_stayed=paid(Payment.still_overdue > 0),
        unpaid=db.scalar(select(func.count()).where(was_overdue, Invoice.paid_at.is_(None))) or 0,
        customers=db.scalar(select(func.count(distinct(Invoice.customer_id))).where(was_overdue)) or 0,
    )


def billed_by_rule(db: Queryable) -> dict[str, int]:
    """Billed lines per discount rule."""
    rows = db.execute(select(BillableItem.rule, func.count()).group_by(BillableItem.rule))
    return dict(sorted((rule, count) for rule, count in rows))


def lines_that_end_in_half_a_penny(db: Queryable) -> int:
    """Billed lines whose net, before rounding, ends in exactly half a penny."""
    hundredths = BillableItem.quantity * BillableItem.unit_pence * (100 - BillableItem.percent)
    return db.scalar(select(func.count()).where(hundredths % 100 == 50)) or 0


def price_list(db: Queryable) -> tuple[int, int]:
    """How many products have a price, and how many rows the price list has."""
    row = db.execute(select(func.count(distinct(Price.product_id)), func.count())).one()
    return row[0], row[1]


def agreement_count(db: Queryable) -> int:
    """How many customers have an agreement."""
    return db.scalar(select(func.count()).select_from(Agreement)) or 0
