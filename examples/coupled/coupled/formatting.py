"""Plain values to text: knows no part of the shop."""

from __future__ import annotations

from coupled.finance.contracts import InvoiceOverdue


def pounds(pence: int) -> str:
    """An amount as people read it."""
    return f"£{pence / 100:.2f}"


def title(event: InvoiceOverdue) -> str:
    """A contract may be known by everybody."""
    return f"Overdue since {event.overdue_at:%d %B}"
