"""The actions of Shipping: keep addresses."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from retail.db import add_missing
from retail.shipping.component import shipping
from retail.shipping.model import Address


def keep_addresses(session: Session, countries: Mapping[UUID, str]) -> None:
    """Keep the countries of customers; a customer who has one already keeps it."""
    with shipping.unit_of_work(session):
        rows = [{"customer_id": customer_id, "country": country} for customer_id, country in countries.items()]
        add_missing(session, Address, rows)
