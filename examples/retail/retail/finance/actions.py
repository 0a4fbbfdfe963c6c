"""What people do in Finance: keep prices and agreements, close a month, note what is overdue, take payments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from preterite import UnitOfWork
from retail.finance.billing import month_of
from retail.finance.component import finance
from retail.finance.contracts import InvoiceIssued, InvoiceOverdue, OverdueInvoicesPaid
from retail.finance.model import Agreement, BillableItem, BulkDiscount, Invoice, Payment, Price

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
        rows = [price._asdict() for price in prices]
        if rows:
            session.execute(insert(Price).on_conflict_do_nothing(), rows)
        bulk = [{"from_quantity": quantity, "percent": percent} for quantity, percent in BULK_DISCOUNTS.items()]
        session.execute(insert(BulkDiscount).on_conflict_do_nothing(), bulk)


def agree(session: Session, customer_ids: Sequence[UUID], percent: int, valid_from: datetime) -> None:
    """Agree on a discount with customers; who has one already keeps it."""
    with finance.unit_of_work(session):
        rows = [{"customer_id": one, "percent": percent, "valid_from": valid_from} for one in customer_ids]
        if rows:
            session.execute(insert(Agreement).on_conflict_do_nothing(), rows)


def close_month(session: Session, at: datetime) -> int:
    """Invoice everything purchased before this month that is on no invoice yet; return how many invoices that made.

    One invoice per customer. A purchase that arrives after its month was closed goes on the next one, with its own
    month, price and discount. Closing twice changes nothing.
    """
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with finance.unit_of_work(session) as unit_of_work:
        open_items = (BillableItem.invoice_id.is_(None), BillableItem.purchased_at < first)
        totals = select(BillableItem.customer_id, func.sum(BillableItem.net_pence)).where(*open_items)
        customers = session.execute(totals.group_by(BillableItem.customer_id)).all()
        for customer_id, pence in customers:
            invoice = Invoice(
                id=unit_of_work.new_id(),
                customer_id=customer_id,
                month=month_of(first - timedelta(days=1)),
                issued_at=at,
                due_at=first + PAYMENT_TIME,
                pence=pence,
            )
            session.add(invoice)
            session.execute(
                update(BillableItem)
                .where(*open_items, BillableItem.customer_id == customer_id)
                .values(invoice_id=invoice.id)
                .execution_options(synchronize_session=False)
            )
            unit_of_work.publish(InvoiceIssued(invoice_id=invoice.id, customer_id=customer_id, issued_at=at))
    return len(customers)


def note_overdue(session: Session, at: datetime) -> int:
    """Note every invoice that was not paid by the end of its due day, and say so; return how many those are."""
    with finance.unit_of_work(session) as unit_of_work:
        late = select(Invoice).where(
            Invoice.paid_at.is_(None), Invoice.overdue_at.is_(None), Invoice.due_at <= at - GRACE
        )
        invoices = session.scalars(late).all()
        for invoice in invoices:
            invoice.overdue_at = at
            unit_of_work.publish(InvoiceOverdue(customer_id=invoice.customer_id, overdue_at=at))
    return len(invoices)


def pay(session: Session, invoice_ids: Sequence[UUID], at: datetime) -> None:
    """Take payments in full. An invoice that is paid already stays as it is."""
    with finance.unit_of_work(session) as unit_of_work:
        for invoice_id in invoice_ids:
            invoice = session.get_one(Invoice, invoice_id)
            if invoice.paid_at is None:
                _pay(session, unit_of_work, invoice, at)


def pay_everything(session: Session, customer_id: UUID, at: datetime) -> None:
    """Pay all that a customer owes."""
    unpaid = select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.paid_at.is_(None))
    pay(session, session.scalars(unpaid).all(), at)


def _pay(session: Session, unit_of_work: UnitOfWork, invoice: Invoice, at: datetime) -> None:
    """Who pays what was overdue, and has nothing else overdue, may purchase again: Finance says so."""
    invoice.paid_at = at
    overdue = select(func.count()).where(
        Invoice.customer_id == invoice.customer_id, Invoice.overdue_at.is_not(None), Invoice.paid_at.is_(None)
    )
    still_overdue = session.scalar(overdue) or 0
    session.add(Payment(invoice_id=invoice.id, paid_at=at, pence=invoice.pence, still_overdue=still_overdue))
    if invoice.overdue_at is not None and still_overdue == 0:
        unit_of_work.publish(OverdueInvoicesPaid(customer_id=invoice.customer_id, paid_at=at))
