"""Queries on what Catalog owns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select

from preterite.composition import AsOf
from retail.catalog.model import Product, ProductName
from retail.db import Queryable


class Naming(NamedTuple):
    """What a product is called from an instant on."""

    valid_from: datetime
    name: str


_NAMES = select(Product.id, Product.name).where(Product.id.in_(bindparam("ids", expanding=True)))


def product_count(db: Queryable) -> int:
    """How many products are listed."""
    return db.scalar(select(func.count()).select_from(Product)) or 0


def names(db: Queryable, product_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The names of these products, as far as they are listed."""
    return dict(db.execute(_NAMES, {"ids": list(product_ids)}).all())


def names_then(db: Queryable, products: Iterable[AsOf]) -> dict[AsOf, str]:
    """What products were called at a moment; before their first name, that."""
    wanted = list(products)
    history: dict[UUID, list[Naming]] = {}
    columns = (ProductName.product_id, ProductName.valid_from, ProductName.name)
    rows = select(*columns).where(ProductName.product_id.in_({one.id for one in wanted}))
    for product_id, valid_from, name in db.execute(rows.order_by(ProductName.valid_from)):
        history.setdefault(product_id, []).append(Naming(valid_from, name))
    found: dict[AsOf, str] = {}
    for one in wanted:
        if one.id in history:
            then = [naming for naming in history[one.id] if naming.valid_from <= one.at] or history[one.id][:1]
            found[one] = then[-1].name
    return found


def namings(db: Queryable, product_id: UUID) -> list[Naming]:
    """All names of a product, the latest first."""
    rows = select(ProductName.valid_from, ProductName.name).where(ProductName.product_id == product_id)
    return [Naming(*row) for row in db.execute(rows.order_by(ProductName.valid_from.desc()))]
