"""The parts of pages that Marketing fills."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from preterite.composition import Ids, PageRequest, PartResult, Parts
from retail.identifiers import Candidate, ProductId
from retail.marketing import reports
from retail.marketing.component import marketing

POPULAR = 12
ALSO_BOUGHT = 5
PAGE_PRODUCTS = 24

parts = Parts(marketing)


@parts.part(provides=[ProductId], fallback="Popular products are unavailable.")
def popular(connection: Connection) -> PartResult:
    """The products purchased most often, with how often."""
    found = reports.most_popular(connection, POPULAR)
    return PartResult(found, provides={ProductId: [ProductId(product) for product, _ in found]})


@parts.part(provides=[ProductId], fallback="What others also bought is unavailable.")
def also_bought(products: Ids[ProductId], connection: Connection) -> PartResult:
    """What customers of one product also bought, with how many did."""
    (product,) = products
    found = reports.most_also_bought(connection, product, ALSO_BOUGHT)
    return PartResult(found, provides={ProductId: [ProductId(other) for other, _ in found]})


@parts.part(fallback="Its popularity is unavailable.", unknown="never purchased")
def popularity(products: Ids[ProductId], connection: Connection) -> Mapping[ProductId, int]:
    """How often products were purchased."""
    return reports.popularity_of(connection, products)  # pyright: ignore[reportReturnType]


@parts.part(provides=[ProductId], fallback="Sorting by popularity is unavailable.")
def by_popularity(candidates: Ids[Candidate], connection: Connection, request: PageRequest) -> PartResult:
    """One page of these products, the most popular first."""
    given = request.params.get("page", "1")
    page = max(int(given), 1) if given.isdecimal() and len(given) < 5 else 1
    counted = reports.popularity_of(connection, candidates)
    ordered = sorted(candidates, key=lambda one: (-counted.get(one, 0), one.int))
    found = [ProductId(one) for one in ordered[(page - 1) * PAGE_PRODUCTS : page * PAGE_PRODUCTS]]
    return PartResult(found, provides={ProductId: found})
