"""The handlers of Finance."""

from __future__ import annotations

import psycopg

from coupled.catalog.contracts import ProductWithdrawn, price_of  # violation: calls-contract-function
from coupled.database import VAT  # fine: a constant
from coupled.finance.component import finance
from coupled.sales.contracts import ItemPurchased, OrderPlaced  # fine: contracts

__all__ = ["finance"]


@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
    """Bill the purchase at the current price of Catalog."""
    pence = price_of(event.product_id) + VAT["other"]
    connection.execute("INSERT INTO bill VALUES (%s, %s, %s)", [event.purchase_id, event.customer_id, pence])  # fine: its own
    connection.execute('SELECT "purchase" FROM bill')  # fine: a column
    connection.execute("SELECT * FROM sales.purchase")  # violation: cross-component-sql
    connection.execute('SELECT * FROM "Purchase"')  # violation: table-without-owner
    connection.execute("SET search_path TO finance; SELECT * FROM bill")  # fine: its own
    connection.execute("UPDATE bill SET pence = 0 FROM purchase WHERE purchase.id = bill.purchase")  # violation: cross-component-sql
    connection.execute("SELECT * FROM generate_series(1, 10) AS purchase")  # fine: a function with the name of a table


@finance.handles(OrderPlaced)
def number(event: OrderPlaced, connection: psycopg.Connection) -> None:
    """Number the order."""
    connection.execute("SELECT 1 FROM pg_catalog.pg_class")  # fine: a table of the database server


@finance.handles(ProductWithdrawn)
def forget(event: ProductWithdrawn, connection: psycopg.Connection) -> None:
    """Clear the lines."""
    connection.execute("TRUNCATE line")  # fine: its own
