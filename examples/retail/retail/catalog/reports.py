"""What Catalog can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, String, bindparam, func, select

from preterite.composition import AsOf
from retail.catalog.model import Product, ProductName
from retail.reading import Reading

WORDS_MAX = 8
"""Words that are looked for; more are ignored."""


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


_NAMES = select(Product.id, Product.name).where(Product.id.in_(bindparam("ids", expanding=True)))
_LISTED = select(Product.id, Product.name, Product.category, Product.withdrawn_at).where(
    Product.id.in_(bindparam("ids", expanding=True))
)

_CATEGORIES = (
    select(Product.category, func.count())
    .where(Product.withdrawn_at.is_(None))
    .group_by(Product.category)
    .order_by(Product.category)
)
_NEWEST = (
    select(Product.id)
    .where(Product.withdrawn_at.is_(None))
    .order_by(Product.listed_at.desc(), Product.id.desc())
    .limit(bindparam("count", type_=Integer))
)


def product_count(reading: Reading) -> int:
    """How many products are listed."""
    return reading.scalar(select(func.count()).select_from(Product)) or 0


def names(reading: Reading, product_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The names of these products, as far as they are listed."""
    return dict(reading.execute(_NAMES, {"ids": list(product_ids)}).all())


def names_then(reading: Reading, products: Iterable[AsOf]) -> dict[AsOf, str]:
    """What products were called at a moment; before their first name, that."""
    wanted = list(products)
    history: dict[UUID, list[Naming]] = {}
    columns = (ProductName.product_id, ProductName.valid_from, ProductName.name)
    rows = select(*columns).where(ProductName.product_id.in_({one.id for one in wanted}))
    for product_id, valid_from, name in reading.execute(rows.order_by(ProductName.valid_from)):
        history.setdefault(product_id, []).append(Naming(valid_from, name))
    found: dict[AsOf, str] = {}
    for one in wanted:
        if one.id in history:
            then = [naming for naming in history[one.id] if naming.valid_from <= one.at] or history[one.id][:1]
            found[one] = then[-1].name
    return found


def namings(reading: Reading, product_id: UUID) -> list[Naming]:
    """All names of a product, the latest first."""
    rows = select(ProductName.valid_from, ProductName.name).where(ProductName.product_id == product_id)
    return [Naming(*row) for row in reading.execute(rows.order_by(ProductName.valid_from.desc()))]


def listed(reading: Reading, product_ids: Iterable[UUID]) -> dict[UUID, Listed]:
    """These products, as far as they are listed."""
    rows = reading.execute(_LISTED, {"ids": list(product_ids)})
    return {product_id: Listed(name, category, withdrawn) for product_id, name, category, withdrawn in rows}


def categories(reading: Reading) -> dict[str, int]:
    """Products that are offered, per category."""
    return dict(reading.execute(_CATEGORIES).all())


def newest(reading: Reading, count: int) -> list[UUID]:
    """The products that were listed last."""
    return list(reading.scalars(_NEWEST, {"count": count}))


def find(
    reading: Reading, *, category: str = "", text: str = "", withdrawn: bool = False, first: int = 0, count: int
) -> Found:
    """Products by category and by words of their present name, in the order of the names."""
    words = text.split()[:WORDS_MAX]
    counting, finding = _finding(withdrawn, bool(category), len(words))
    asked = {"category": category, "first": first, "count": count}
    asked |= {f"word_{number}": _escaped(word) for number, word in enumerate(words)}
    return Found(list(reading.scalars(finding, asked)), reading.scalar(counting, asked) or 0)


@cache
def _finding(withdrawn: bool, by_category: bool, words: int) -> tuple[Select[Any], Select[Any]]:
    """How many there are, and some of them; made once, since that takes longer than to run them."""
    conditions: list[ColumnElement[bool]] = [] if withdrawn else [Product.withdrawn_at.is_(None)]
    if by_category:
        conditions.append(Product.category == bindparam("category"))
    for number in range(words):
        conditions.append(Product.name.icontains(bindparam(f"word_{number}", type_=String), escape="/"))
    ordered = select(Product.id).where(*conditions).order_by(Product.name, Product.id)
    some = ordered.offset(bindparam("first", type_=Integer)).limit(bindparam("count", type_=Integer))
    return select(func.count(Product.id)).where(*conditions), some


def _escaped(word: str) -> str:
    """So that what people write stands for itself in a pattern."""
    return word.replace("/", "//").replace("%", "/%").replace("_", "/_")
