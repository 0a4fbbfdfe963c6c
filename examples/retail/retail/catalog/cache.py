"""The catalogue in memory. Only Catalog writes its tables, so it knows when the cache is stale.

Each change makes a new edition, in the transaction of the change. A read asks for the present edition, and reads the
tables only if it is not the one in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Session

from retail.catalog.model import Edition, Product
from retail.db import Queryable

EDITIONS_KEPT = 4
"""In memory; several, since a process may read several databases."""
FIRST_EDITION = UUID(int=0)


class Listed(NamedTuple):
    """A product as the catalogue has it."""

    name: str
    category: str
    listed_at: datetime
    withdrawn_at: datetime | None


class Found(NamedTuple):
    """One page of a list of products, and how many there are in all."""

    product_ids: Sequence[UUID]
    total: int


@dataclass(frozen=True)
class CatalogCache:
    """All products of one edition, in the order of their names."""

    products: Mapping[UUID, Listed]

    @cached_property
    def by_category(self) -> Mapping[str, Mapping[UUID, Listed]]:
        """The same, by category."""
        found: dict[str, dict[UUID, Listed]] = {}
        for product_id, one in self.products.items():
            found.setdefault(one.category, {})[product_id] = one
        return found

    @cached_property
    def categories(self) -> Mapping[str, int]:
        """How many products are offered, per category."""
        counted = Counter(one.category for one in self.products.values() if one.withdrawn_at is None)
        return dict(sorted(counted.items()))

    @cached_property
    def newest(self) -> Sequence[UUID]:
        """What is offered, the latest first."""
        offered = [(one.listed_at, product_id) for product_id, one in self.products.items() if not one.withdrawn_at]
        return [product_id for _, product_id in sorted(offered, reverse=True)]

    def find(self, *, category: str = "", text: str = "", withdrawn: bool = False, first: int = 0, count: int) -> Found:
        """Products by category and by words of their present name."""
        words = [word.lower() for word in text.split()]
        listed = self.by_category.get(category, {}) if category else self.products
        found = [
            product_id
            for product_id, one in listed.items()
            if (withdrawn or one.withdrawn_at is None)
            and (not words or all(word in one.name.lower() for word in words))
        ]
        return Found(found[first : first + count], len(found))


_kept: dict[UUID, CatalogCache] = {}


def cached_catalog(db: Queryable) -> CatalogCache:
    """The catalogue as it is now."""
    edition = db.scalar(_EDITION)
    if edition is None:
        # Nothing has changed since editions were introduced: there is no edition to cache it by.
        return _read(db)
    found = _kept.get(edition)
    if found is None:
        found = _read(db)
        for oldest in list(_kept)[: 1 - EDITIONS_KEPT]:
            _kept.pop(oldest, None)
        _kept[edition] = found
    return found


def change_edition(session: Session, *changes: object) -> None:
    """Make a new edition, in the transaction of the change.

    Its name is derived from all changes so far, so two databases with the same edition have had the same changes.
    """
    present = session.get(Edition, 1, with_for_update=True)
    if present is None:
        present = Edition(id=1, name=FIRST_EDITION)
        session.add(present)
    present.name = uuid5(present.name, repr(changes))


def _read(db: Queryable) -> CatalogCache:
    rows = db.execute(_PRODUCTS)
    return CatalogCache({row[0]: Listed(row[1], row[2], row[3], row[4]) for row in rows})


_EDITION = select(Edition.name).where(Edition.id == 1)
_PRODUCTS = select(Product.id, Product.name, Product.category, Product.listed_at, Product.withdrawn_at).order_by(
    Product.name, Product.id
)
