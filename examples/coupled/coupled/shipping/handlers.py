"""What Shipping does when others tell it something."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from coupled.sales.contracts import ItemPurchased  # fine: a contract
from coupled.shipping.component import shipping
from coupled.shipping.model import Parcel  # fine: its own
from coupled.tools import invoices_of  # crosses: imports-through

__all__ = ["shipping"]

TO_PACK = "SELECT p.id, s.pieces FROM purchase p JOIN stock s ON s.product = p.product"  # crosses: touches-foreign-table
MINE = "SELECT id FROM bill"  # fine: its own bill, of the carrier


@shipping.handles(ItemPurchased)
def pack(event: ItemPurchased, connection: Any) -> None:
    """Pack it."""
    connection.execute(TO_PACK)
    connection.execute(MINE)
    connection.execute(text("INSERT INTO parcel SELECT id, id FROM purchase"))  # crosses: touches-foreign-table
    connection.execute(text("SELECT nextval('sales.order_number')"))  # crosses: table-without-owner
    invoices_of(connection, str(event.customer_id))
    Parcel()
