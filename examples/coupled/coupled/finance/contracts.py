"""What Finance tells the others."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class InvoiceOverdue(Event, key="customer_id"):  # fine: a state that has come about
    invoice_id: UUID
    customer_id: UUID
    overdue_at: datetime


class InvoicePaid(Event, key="customer_id"):
    invoice_id: UUID
    customer_id: UUID
    paid_at: datetime


class InvoiceSentToCustomer(Event, key="customer_id"):  # crosses: event-unheard; fine: to whom may follow
    invoice_id: UUID
    customer_id: UUID
    invoice_number: str  # crosses: identifier-has-meaning
    sent_at: datetime


class PaymentState(Event, key="payment_id"):  # crosses: event-not-past event-unheard
    payment_id: UUID
    iban: str  # crosses: personal-data
    state: str  # crosses: event-carries
