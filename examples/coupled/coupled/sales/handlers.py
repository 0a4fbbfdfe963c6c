"""The handlers of Sales."""

from __future__ import annotations

import sqlite3

from coupled import database
from coupled.finance.contracts import InvoiceOverdue, InvoicePaid  # fine: contracts
from coupled.sales import actions  # fine: its own
from coupled.sales.component import sales

__all__ = ["actions", "sales"]


@sales.handles(InvoiceOverdue)
def block(event: InvoiceOverdue, connection: sqlite3.Connection) -> None:
    """Refuse further purchases of this customer."""
    connection.execute("INSERT OR IGNORE INTO blocked VALUES (?)", [str(event.customer_id)])  # fine: its own
    database.RECENT.clear()


@sales.handles(InvoicePaid)  # violation: event-without-publisher
def unblock(event: InvoicePaid, connection: sqlite3.Connection) -> None:
    """Allow purchases again."""
    connection.execute("DELETE FROM blocked WHERE customer = ?", [str(event.customer_id)])  # fine: its own
    database.register_opened()
