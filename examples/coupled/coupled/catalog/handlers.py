"""What Catalog does when others tell it something."""

from __future__ import annotations

import sqlite3

from coupled import database
from coupled.catalog.component import catalog
from coupled.database import PRICES, SIZES, VAT
from coupled.sales.contracts import ItemPurchased  # fine: a contract

__all__ = ["catalog"]

DESCRIPTION = "select what you like from our list of products"  # fine: a sentence, no statement
HELP = """Insert into the basket what you want, then update your address."""  # fine: a sentence
OWN = "SELECT id FROM product WHERE name = 'purchase'"  # fine: the other's name is only a value
LISTED = "WITH bill AS (SELECT id FROM product) SELECT * FROM bill"  # fine: a name of its own in this statement
COUNT = "SELECT count(*) FROM note"  # fine: its own note, though Sales has one too


@catalog.handles(ItemPurchased)
def sold(event: ItemPurchased, connection: sqlite3.Connection) -> None:
    """Count what was sold."""
    connection.execute("UPDATE product SET name = name WHERE id = ?", [str(event.product_id)])  # fine: its own
    connection.execute("SELECT * FROM purchase WHERE id = ?", [str(event.purchase_id)])  # crosses: touches-foreign-table
    PRICES[str(event.product_id)] = VAT["other"]
    SIZES.append(1)
    database.remember(str(event.product_id))
    database.register_opened()
