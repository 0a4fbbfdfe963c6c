"""The events of Finance."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class InvoiceOverdue(Event, key="customer_id"):  # fine: a state that results from an event
    invoice_id: UUID
    customer_id: UUID
    overdue_at: datetime


class InvoicePaid(Event, key="customer_id"):
    invoice_id: UUID
    customer_id: UUID
    paid_at: datetime


class InvoiceSentToCustomer(Event, key="customer_id"):  # violation: event-without-subscriber; fine: a particle may follow
    invoice_id: UUID
    customer_id: UUID
    invoice_number: str  # violation: identifier-has-meaning
    sent_at: datetime


class PaymentState(Event, key="payment_id"):  # violation: event-not-past-tense event-without-subscriber
    payment_id: UUID
    iban: str  # violation: personal-data
    state: str  # violation: event-carries-data
