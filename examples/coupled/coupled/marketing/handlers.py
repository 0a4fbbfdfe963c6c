"""The handlers of Marketing."""

from __future__ import annotations

from typing import Any

from coupled.catalog.contracts import PriceSet, ProductsMerged, ShelfRelabelledAgain  # fine: contracts
from coupled.database import SessionLocal, engine
from coupled.marketing.component import marketing
from coupled.sales.contracts import CustomerRegistered, ItemPurchased  # fine: contracts
from coupled.sales.handlers import block  # violation: imports-internals
from coupled.shipping.contracts import ItemShipped  # fine: a contract

__all__ = ["SessionLocal", "block", "engine", "marketing"]

REPORT = "REFRESH MATERIALIZED VIEW top_customers"  # fine: its own
BEST = "MERGE INTO popular USING purchase ON popular.product = purchase.product WHEN MATCHED THEN DELETE"  # violation: cross-component-sql


@marketing.handles(ItemPurchased)
@marketing.handles(ItemShipped, name="note_shipped")
@marketing.handles(PriceSet, name="note_price")
@marketing.handles(ProductsMerged, name="note_merged")
@marketing.handles(ShelfRelabelledAgain, name="note_shelf")
@marketing.handles(CustomerRegistered, name="note_customer")
def count(event: Any, connection: Any) -> None:
    """Count popular products."""
    connection.execute(REPORT)
    connection.execute(BEST)
    connection.execute("INSERT INTO popular VALUES (?, 1)", [str(event.product_id)])  # fine: its own
    connection.execute("SELECT o.email FROM customer o")  # violation: table-without-owner
