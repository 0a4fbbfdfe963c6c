"""The events that Finance publishes: the only module of Finance that other components import."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class InvoiceIssued(Event, key="customer_id"):
    """A customer was invoiced for a month."""

    invoice_id: UUID
    customer_id: UUID
    issued_at: datetime


class InvoiceOverdue(Event, key="customer_id"):
    """A customer did not pay an invoice in time."""

    customer_id: UUID
    overdue_at: datetime


class OverdueInvoicesPaid(Event, key="customer_id"):
    """A customer has paid everything that was overdue."""

    customer_id: UUID
    paid_at: datetime
