"""The use cases of Sales."""

from __future__ import annotations

import importlib
import sqlite3
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

import coupled.finance.billing  # violation: imports-internals
from coupled import formatting  # fine: plain values
from coupled.catalog.contracts import PriceSet, price_of  # violation: calls-contract-function
from coupled.database import PRICES, SessionLocal, engine
from coupled.finance.contracts import InvoiceOverdue  # fine: a contract
from coupled.finance.model import Invoice  # violation: imports-internals
from coupled.sales.contracts import ItemPurchased  # fine: its own
from coupled.tools import invoices_of  # violation: imports-indirectly

if TYPE_CHECKING:
    from coupled.shipping.model import Parcel  # violation: imports-internals

BLOCKED = "SELECT customer FROM blocked WHERE customer = ?"  # fine: its own
OWED = "SELECT sum(pence) FROM bill WHERE customer = ?"  # violation: cross-component-sql
FINANCE = "coupled.finance.contracts"  # fine: a contract's name
BILLING = "coupled.finance.billing"  # violation: names-internals
VERSION = "1.2.3"  # fine: not a module
PATH = "coupled/finance/model.py"  # fine: a path, not a module name


def purchase(connection: sqlite3.Connection, event: ItemPurchased, overdue: InvoiceOverdue | None) -> None:
    """Purchase, if the customer owes nothing."""
    connection.execute(BLOCKED, [str(event.customer_id)])
    connection.execute(OWED, [str(event.customer_id)])
    connection.execute("INSERT INTO purchase VALUES (?, ?, ?)", [str(event.purchase_id), "", ""])  # fine: its own
    connection.execute(
        "INSERT INTO bill SELECT id, customer, 1 FROM purchase"  # violation: cross-component-sql
    )
    connection.execute(f"SELECT * FROM {'purchase'} WHERE id = '{event.purchase_id}'")  # fine: unknown, and not guessed
    connection.execute("SELECT 'it is in bill' FROM purchase")  # fine: a value
    connection.execute("SELECT * FROM purchase -- and not from bill")  # fine: a comment


def checkout(session: Any, customer: UUID, parcel: Parcel) -> str:
    """Everything at once."""
    billing = importlib.import_module("coupled.finance.billing")  # violation: names-internals
    billing.bill(session, customer)
    coupled.finance.billing.bill(session, customer)
    session.execute(text("UPDATE stock SET pieces = pieces - 1"))  # violation: cross-component-sql
    session.execute(text("DELETE FROM finance.bill WHERE pence = 0"))  # violation: cross-component-sql
    session.query(Invoice).all()
    with SessionLocal(bind=engine) as other:
        other.execute(text("WITH due AS (SELECT * FROM invoice) SELECT * FROM due"))  # violation: cross-component-sql
    PRICES.clear()
    return formatting.pounds(price_of(customer)) + "".join(invoices_of(session, str(customer))) + str(PriceSet)
