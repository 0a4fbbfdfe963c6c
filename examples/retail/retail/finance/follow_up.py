"""An invoice is due, and paid or overdue: Finance's payment follow-up, from the day it is issued to its payment."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from preterite import Command, Saga, UnitOfWork, joined_by, started_by, timeout
from retail.finance.component import finance
from retail.finance.contracts import InvoiceOverdue, OverdueInvoicesPaid
from retail.finance.model import Invoice, Payment

GRACE = timedelta(days=1)


class FollowUp(Command):
    """Watch over the payment of an invoice."""

    invoice_id: UUID
    due_at: datetime


class FallOverdue(Command):
    """Note that an invoice was not paid by the end of its due day."""

    at: datetime


class NotePayment(Command):
    """Note that an invoice was paid."""

    invoice_id: UUID
    paid_at: datetime


@finance.saga
class PaymentFollowUp(Saga, by="invoice_id"):
    """One for each invoice, until it is paid."""

    invoice_id: UUID
    overdue_at: datetime | None = None

    @started_by(FollowUp)
    def begin(self, command: FollowUp, unit_of_work: UnitOfWork) -> None:
        """The customer has until the end of the due day."""
        at = command.due_at + GRACE
        unit_of_work.schedule(FallOverdue(at=at), at=at)

    @timeout(FallOverdue)
    def fall_overdue(self, command: FallOverdue, session: Session, unit_of_work: UnitOfWork) -> None:
        """Not paid in time: Finance publishes that it is overdue, and the follow-up goes on."""
        self.overdue_at = command.at
        invoice = session.get_one(Invoice, self.invoice_id)
        invoice.overdue_at = command.at
        unit_of_work.publish(InvoiceOverdue(customer_id=invoice.customer_id, overdue_at=command.at))

    @joined_by(NotePayment)
    def end(self, command: NotePayment, session: Session, unit_of_work: UnitOfWork) -> None:
        """Paid. If it was the last overdue one, Finance publishes that the customer has paid everything overdue."""
        if self.overdue_at is not None:
            customer_id = session.get_one(Invoice, self.invoice_id).customer_id
            still_overdue = _overdue(session, customer_id)
            session.get_one(Payment, self.invoice_id).still_overdue = still_overdue
            if still_overdue == 0:
                unit_of_work.publish(OverdueInvoicesPaid(customer_id=customer_id, paid_at=command.paid_at))
        self.complete()


def _overdue(session: Session, customer_id: UUID) -> int:
    """How many invoices of a customer are overdue and not paid."""
    unpaid = (Invoice.overdue_at.is_not(None), Invoice.paid_at.is_(None))
    return session.scalar(select(func.count()).where(Invoice.customer_id == customer_id, *unpaid)) or 0
