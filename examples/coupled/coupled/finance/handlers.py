"""What Finance does when others tell it something."""

from __future__ import annotations

import psycopg

from coupled.catalog.contracts import ProductWithdrawn, price_of  # crosses: calls-function
from coupled.database import VAT  # fine: a constant
from coupled.finance.component import finance
from coupled.sales.contracts import ItemPurchased, OrderPlaced  # fine: contracts

__all__ = ["finance"]


@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
    """Bill it at the price that Catalog has just now."""
    pence = price_of(event.product_id) + VAT["other"]
    connection.execute("INSERT INTO bill VALUES (%s, %s, %s)", [event.purchase_id, event.customer_id, pence])  # fine: its own
    connection.execute('SELECT "purchase" FROM bill')  # fine: a column
    connection.execute("SELECT * FROM sales.purchase")  # crosses: touches-foreign-table
    connection.execute('SELECT * FROM "Purchase"')  # crosses: table-without-owner
    connection.execute("SET search_path TO finance; SELECT * FROM bill")  # fine: its own
    connection.execute("UPDATE bill SET pence = 0 FROM purchase WHERE purchase.id = bill.purchase")  # crosses: touches-foreign-table
    connection.execute("SELECT * FROM generate_series(1, 10) AS purchase")  # fine: a function under the name of a table


@finance.handles(OrderPlaced)
def number(event: OrderPlaced, connection: psycopg.Connection) -> None:
    """Number it."""
    connection.execute("SELECT 1 FROM pg_catalog.pg_class")  # fine: nobody's


@finance.handles(ProductWithdrawn)
def forget(event: ProductWithdrawn, connection: psycopg.Connection) -> None:
    """Nothing to be done."""
    connection.execute("TRUNCATE line")  # fine: its own
