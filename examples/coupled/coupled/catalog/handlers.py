"""The handlers of Catalog."""

from __future__ import annotations

import sqlite3

from coupled import database
from coupled.catalog.component import catalog
from coupled.database import PRICES, SIZES, VAT
from coupled.sales.contracts import ItemPurchased  # fine: a contract

__all__ = ["catalog"]

DESCRIPTION = "select what you like from our list of products"  # fine: a sentence, not a statement
HELP = """Insert into the basket what you want, then update your address."""  # fine: a sentence
OWN = "SELECT id FROM product WHERE name = 'purchase'"  # fine: the name of the other table is a value
LISTED = "WITH bill AS (SELECT id FROM product) SELECT * FROM bill"  # fine: a common table expression
COUNT = "SELECT count(*) FROM note"  # fine: its own note; Sales has one too


@catalog.handles(ItemPurchased)
def sold(event: ItemPurchased, connection: sqlite3.Connection) -> None:
    """Count sold products."""
    connection.execute("UPDATE product SET name = name WHERE id = ?", [str(event.product_id)])  # fine: its own
    connection.execute("SELECT * FROM purchase WHERE id = ?", [str(event.purchase_id)])  # violation: cross-component-sql
    PRICES[str(event.product_id)] = VAT["other"]
    SIZES.append(1)
    database.remember(str(event.product_id))
    database.register_opened()
