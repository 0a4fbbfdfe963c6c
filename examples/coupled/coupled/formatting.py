"""Plain values as text; imports no internals of the shop."""

from __future__ import annotations

from coupled.finance.contracts import InvoiceOverdue


def pounds(pence: int) -> str:
    """An amount in pounds."""
    return f"£{pence / 100:.2f}"


def title(event: InvoiceOverdue) -> str:
    """A title for an overdue invoice; every module may import a contract."""
    return f"Overdue since {event.overdue_at:%d %B}"
