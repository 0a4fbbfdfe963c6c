"""The actions of Finance: keep prices and agreements, close a month, take payments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from retail.db import add_missing
from retail.finance.component import finance
from retail.finance.follow_up import NotePayment
from retail.finance.invoicing import invoice_month
from retail.finance.model import Agreement, BulkDiscount, Invoice, Payment, Price

PAYMENT_TIME = timedelta(days=14)
GRACE = timedelta(days=1)
BULK_DISCOUNTS = {48: 5, 144: 10}


class NewPrice(NamedTuple):
    """What a product costs from an instant on."""

    product_id: UUID
    valid_from: datetime
    pence: int


def keep_prices(session: Session, prices: Iterable[NewPrice]) -> None:
    """Add prices to the list, and the bulk discounts; what is there already stays."""
    with finance.unit_of_work(session):
        add_missing(session, Price, [price._asdict() for price in prices])
        bulk = [{"from_quantity": quantity, "percent": percent} for quantity, percent in BULK_DISCOUNTS.items()]
        add_missing(session, BulkDiscount, bulk)


def agree(session: Session, customer_ids: Sequence[UUID], percent: int, valid_from: datetime) -> None:
    """Agree on a discount with customers; who has one already keeps it."""
    with finance.unit_of_work(session):
        rows = [{"customer_id": one, "percent": percent, "valid_from": valid_from} for one in customer_ids]
        add_missing(session, Agreement, rows)


def keep_bulk_discount(session: Session, from_quantity: int, percent: int) -> None:
    """Give this discount from this quantity on; nothing at 0 percent. What was purchased before keeps its own."""
    with finance.unit_of_work(session):
        tier = session.get(BulkDiscount, from_quantity)
        if percent == 0:
            if tier is not None:
                session.delete(tier)
        elif tier is None:
            session.add(BulkDiscount(from_quantity=from_quantity, percent=percent))
        else:
            tier.percent = percent


def close_month(session: Session, at: datetime) -> int:
    """Close the month before this day manually; the calendar does it at the start of every month. Closing twice changes
    nothing. Return the number of new invoices.
    """
    with finance.unit_of_work(session) as unit_of_work:
        return invoice_month(session, unit_of_work, at)


def pay(session: Session, invoice_ids: Sequence[UUID], at: datetime) -> None:
    """Take payments in full. An invoice that is paid already stays as it is."""
    with finance.unit_of_work(session) as unit_of_work:
        found = session.scalars(select(Invoice).where(Invoice.id.in_(invoice_ids)))
        invoices = {invoice.id: invoice for invoice in found}
        for invoice_id in invoice_ids:
            invoice = invoices.get(invoice_id) or session.get_one(Invoice, invoice_id)
            if invoice.paid_at is None:
                invoice.paid_at = at
                session.add(Payment(invoice_id=invoice_id, paid_at=at, pence=invoice.pence, still_overdue=0))
                unit_of_work.schedule(NotePayment(invoice_id=invoice_id, paid_at=at), at=at)


def pay_everything(session: Session, customer_id: UUID, at: datetime) -> None:
    """Pay all that a customer owes."""
    unpaid = select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.paid_at.is_(None))
    pay(session, session.scalars(unpaid).all(), at)
