"""What Shipping can tell."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from retail.shipping.model import Address, Shipment


def customer_count(session: Session) -> int:
    """How many customers have an address."""
    return session.scalar(select(func.count()).select_from(Address)) or 0


def shipments_by_country(session: Session) -> dict[str, int]:
    """Shipments per country."""
    rows = session.execute(select(Shipment.country, func.count()).group_by(Shipment.country))
    return dict(sorted((country, count) for country, count in rows))
