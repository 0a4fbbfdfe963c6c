"""The handlers of Shipping."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from coupled.sales.contracts import ItemPurchased  # fine: a contract
from coupled.shipping.component import shipping
from coupled.shipping.model import Parcel  # fine: its own
from coupled.tools import invoices_of  # violation: imports-indirectly

__all__ = ["shipping"]

TO_PACK = "SELECT p.id, s.pieces FROM purchase p JOIN stock s ON s.product = p.product"  # violation: cross-component-sql
MINE = "SELECT id FROM bill"  # fine: its own bill, of the carrier


@shipping.handles(ItemPurchased)
def pack(event: ItemPurchased, connection: Any) -> None:
    """Pack the purchase."""
    connection.execute(TO_PACK)
    connection.execute(MINE)
    connection.execute(text("INSERT INTO parcel SELECT id, id FROM purchase"))  # violation: cross-component-sql
    connection.execute(text("SELECT nextval('sales.order_number')"))  # violation: table-without-owner
    invoices_of(connection, str(event.customer_id))
    Parcel()
