"""What Catalog can tell."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from retail.catalog.model import Product


def product_count(session: Session) -> int:
    """How many products are listed."""
    return session.scalar(select(func.count()).select_from(Product)) or 0


def names(session: Session, product_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The names of these products, as far as they are listed."""
    rows = session.execute(select(Product.id, Product.name).where(Product.id.in_(product_ids)))
    return dict(rows.all())
