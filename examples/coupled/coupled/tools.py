"""What was once written for one and is used by all."""

from __future__ import annotations

from typing import Any

from coupled.finance.model import Invoice
from coupled.formatting import pounds


def invoices_of(session: Any, customer: str) -> list[str]:
    """What a customer owes, in words."""
    return [pounds(invoice.pence) for invoice in session.query(Invoice).filter_by(customer=customer)]
