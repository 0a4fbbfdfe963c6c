"""The handlers of Sales: block a customer, and unblock a customer."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from retail.finance.contracts import InvoiceOverdue, OverdueInvoicesPaid
from retail.sales.component import sales
from retail.sales.model import BlockedCustomer

__all__ = ["sales"]


@sales.handles(InvoiceOverdue)
def block(event: InvoiceOverdue, session: Session) -> None:
    """Block the customer from purchasing."""
    if session.get(BlockedCustomer, event.customer_id) is None:
        session.add(BlockedCustomer(customer_id=event.customer_id, since=event.overdue_at))


@sales.handles(OverdueInvoicesPaid)
def unblock(event: OverdueInvoicesPaid, session: Session) -> None:
    """The customer may purchase again."""
    session.execute(delete(BlockedCustomer).where(BlockedCustomer.customer_id == event.customer_id))
