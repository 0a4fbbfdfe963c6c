"""What Catalog can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from preterite.composition import AsOf
from retail.catalog.model import Product, ProductName


class Listed(NamedTuple):
    """A product as the catalogue has it."""

    name: str
    category: str
    withdrawn_at: datetime | None


class Found(NamedTuple):
    """One page of a list of products, and how many there are in all."""

    product_ids: Sequence[UUID]
    total: int


class Naming(NamedTuple):
    """What a product is called from an instant on."""

    valid_from: datetime
    name: str


_latest = (
    select(ProductName.product_id, func.max(ProductName.valid_from).label("valid_from"))
    .group_by(ProductName.product_id)
    .subquery()
)
_is_latest = and_(ProductName.product_id == _latest.c.product_id, ProductName.valid_from == _latest.c.valid_from)


def product_count(session: Session) -> int:
    """How many products are listed."""
    return session.scalar(select(func.count()).select_from(Product)) or 0


def names(session: Session, product_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The names of these products, as far as they are listed."""
    rows = select(ProductName.product_id, ProductName.name).where(ProductName.product_id.in_(product_ids))
    # The last one of a product stays.
    return dict(session.execute(rows.order_by(ProductName.valid_from)).all())


def names_then(session: Session, products: Iterable[AsOf]) -> dict[AsOf, str]:
    """What products were called at a moment; before their first name, that."""
    wanted = list(products)
    history: dict[UUID, list[Naming]] = {}
    columns = (ProductName.product_id, ProductName.valid_from, ProductName.name)
    rows = select(*columns).where(ProductName.product_id.in_({one.id for one in wanted}))
    for product_id, valid_from, name in session.execute(rows.order_by(ProductName.valid_from)):
        history.setdefault(product_id, []).append(Naming(valid_from, name))
    found: dict[AsOf, str] = {}
    for one in wanted:
        if one.id in history:
            then = [naming for naming in history[one.id] if naming.valid_from <= one.at] or history[one.id][:1]
            found[one] = then[-1].name
    return found


def namings(session: Session, product_id: UUID) -> list[Naming]:
    """All names of a product, the latest first."""
    rows = select(ProductName.valid_from, ProductName.name).where(ProductName.product_id == product_id)
    return [Naming(*row) for row in session.execute(rows.order_by(ProductName.valid_from.desc()))]


def listed(session: Session, product_ids: Iterable[UUID]) -> dict[UUID, Listed]:
    """These products, as far as they are listed."""
    called = names(session, product_ids)
    rows = select(Product.id, Product.category, Product.withdrawn_at).where(Product.id.in_(called))
    return {one: Listed(called[one], category, withdrawn) for one, category, withdrawn in session.execute(rows)}


def categories(session: Session) -> dict[str, int]:
    """Products that are offered, per category."""
    offered = select(Product.category, func.count()).where(Product.withdrawn_at.is_(None))
    return dict(session.execute(offered.group_by(Product.category).order_by(Product.category)).all())


def newest(session: Session, count: int) -> list[UUID]:
    """The products that were listed last."""
    rows = select(Product.id).where(Product.withdrawn_at.is_(None))
    return list(session.scalars(rows.order_by(Product.listed_at.desc(), Product.id).limit(count)))


def find(
    session: Session, *, category: str = "", text: str = "", withdrawn: bool = False, first: int = 0, count: int
) -> Found:
    """Products by category and by words of their present name, in the order of the names."""
    conditions: list[ColumnElement[bool]] = [] if withdrawn else [Product.withdrawn_at.is_(None)]
    if category:
        conditions.append(Product.category == category)
    conditions += [ProductName.name.icontains(word, autoescape=True) for word in text.split()]
    joined = (
        select(Product.id)
        .join(ProductName, ProductName.product_id == Product.id)
        .join(_latest, _is_latest)
        .where(*conditions)
    )
    total = session.scalar(select(func.count()).select_from(joined.subquery())) or 0
    ordered = joined.order_by(ProductName.name, Product.id).offset(first).limit(count)
    return Found(list(session.scalars(ordered)), total)
