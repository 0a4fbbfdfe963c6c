"""The end of a month: every customer is invoiced for the purchases in it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from preterite import UnitOfWork
from retail.finance.billing import month_of
from retail.finance.contracts import InvoiceIssued
from retail.finance.follow_up import FollowUp
from retail.finance.model import BillableItem, Invoice

PAYMENT_TIME = timedelta(days=14)


def invoice_month(session: Session, unit_of_work: UnitOfWork, at: datetime) -> int:
    """Invoice everything purchased before this month that is on no invoice yet; return how many invoices that made.

    One invoice per customer. A purchase that arrives after its month was closed goes on the next one, with its own
    month, price and discount. Closing twice changes nothing.
    """
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    open_items = (BillableItem.invoice_id.is_(None), BillableItem.purchased_at < first)
    customers = session.scalars(select(BillableItem.customer_id).where(*open_items).distinct()).all()
    invoices = [
        Invoice(
            id=unit_of_work.new_id(),
            customer_id=customer_id,
            month=month_of(first - timedelta(days=1)),
            issued_at=at,
            due_at=first + PAYMENT_TIME,
            pence=0,
        )
        for customer_id in customers
    ]
    session.add_all(invoices)
    session.flush()
    new = [invoice.id for invoice in invoices]
    its_invoice = select(Invoice.id).where(Invoice.customer_id == BillableItem.customer_id, Invoice.id.in_(new))
    session.execute(
        update(BillableItem)
        .where(*open_items)
        .values(invoice_id=its_invoice.scalar_subquery())
        .execution_options(synchronize_session=False)
    )
    # Summed once the items are on it: one that is billed by another process meanwhile counts, or waits for the next.
    sums = select(BillableItem.invoice_id, func.sum(BillableItem.net_pence)).where(BillableItem.invoice_id.in_(new))
    pence = dict(session.execute(sums.group_by(BillableItem.invoice_id)).all())
    for invoice in invoices:
        invoice.pence = pence[invoice.id]
        unit_of_work.publish(InvoiceIssued(invoice_id=invoice.id, customer_id=invoice.customer_id, issued_at=at))
        unit_of_work.schedule(FollowUp(invoice_id=invoice.id, due_at=invoice.due_at), at=at)
    return len(invoices)
