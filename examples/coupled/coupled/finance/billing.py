"""The billing of Finance."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Table

from coupled.catalog import model as products  # violation: imports-internals
from coupled.finance.model import Invoice  # fine: its own

OWN = Table("invoice", MetaData(), autoload_with=None)  # fine: its own
FOREIGN = Table("purchase", MetaData(), autoload_with=None)  # violation: cross-component-sql


def bill(session: Any, customer: object) -> None:
    """Bill a customer."""
    session.add(Invoice(id=str(customer), customer=str(customer), pence=session.query(products.Product).count()))
    session.execute("COPY purchase TO STDOUT")  # violation: cross-component-sql
    session.execute("LOCK TABLE purchase IN EXCLUSIVE MODE")  # violation: cross-component-sql
    session.execute("DECLARE all_of_them CURSOR FOR SELECT * FROM purchase")  # violation: cross-component-sql
    session.execute("DECLARE mine CURSOR FOR SELECT * FROM bill")  # fine: its own
    session.execute("COPY bill TO STDOUT")  # fine: its own
    session.execute("SAVEPOINT before_purchase")  # fine: accesses no table
    session.execute("RELEASE SAVEPOINT before_purchase")  # fine: accesses no table
    session.execute("DO $$ BEGIN DELETE FROM purchase; END $$")  # violation: sql-not-understood
    session.execute("SELECT p.pence FROM bill p WHERE EXISTS (SELECT 1 FROM invoice i WHERE i.id = p.purchase)")  # fine: its own
