"""How Finance bills."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Table

from coupled.catalog import model as products  # crosses: imports-internals
from coupled.finance.model import Invoice  # fine: its own

OWN = Table("invoice", MetaData(), autoload_with=None)  # fine: its own
FOREIGN = Table("purchase", MetaData(), autoload_with=None)  # crosses: touches-foreign-table


def bill(session: Any, customer: object) -> None:
    """Bill a customer."""
    session.add(Invoice(id=str(customer), customer=str(customer), pence=session.query(products.Product).count()))
    session.execute("COPY purchase TO STDOUT")  # crosses: touches-foreign-table
    session.execute("LOCK TABLE purchase IN EXCLUSIVE MODE")  # crosses: touches-foreign-table
    session.execute("DECLARE all_of_them CURSOR FOR SELECT * FROM purchase")  # crosses: touches-foreign-table
    session.execute("DECLARE mine CURSOR FOR SELECT * FROM bill")  # fine: its own
    session.execute("COPY bill TO STDOUT")  # fine: its own
    session.execute("SAVEPOINT before_purchase")  # fine: touches nothing
    session.execute("RELEASE SAVEPOINT before_purchase")  # fine: touches nothing
    session.execute("DO $$ BEGIN DELETE FROM purchase; END $$")  # crosses: sql-not-understood
    session.execute("SELECT p.pence FROM bill p WHERE EXISTS (SELECT 1 FROM invoice i WHERE i.id = p.purchase)")  # fine: its own
