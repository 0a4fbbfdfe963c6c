"""Functions that all parts of the shop use."""

from __future__ import annotations

from typing import Any

from coupled.finance.model import Invoice
from coupled.formatting import pounds


def invoices_of(session: Any, customer: str) -> list[str]:
    """The amounts that a customer owes, as text."""
    return [pounds(invoice.pence) for invoice in session.query(Invoice).filter_by(customer=customer)]
