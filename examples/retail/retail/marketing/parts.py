"""What Marketing fills on pages."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from preterite.composition import Ask, Ids, Parts, Slice
from retail.identifiers import Candidate, ProductId
from retail.marketing import reports
from retail.marketing.component import marketing

POPULAR = 12
ALSO_BOUGHT = 5
PAGE_PRODUCTS = 24

parts = Parts(marketing)


@parts.part(gives=[ProductId], fallback="What is popular cannot be told right now.")
def popular(connection: Connection) -> Slice:
    """The products purchased most often, with how often."""
    found = reports.most_popular(connection, POPULAR)
    return Slice(found, gives={ProductId: [ProductId(product) for product, _ in found]})


@parts.part(gives=[ProductId], fallback="What others also bought cannot be told right now.")
def also_bought(products: Ids[ProductId], connection: Connection) -> Slice:
    """What customers of one product also bought, with how many did."""
    (product,) = products
    found = reports.most_also_bought(connection, product, ALSO_BOUGHT)
    return Slice(found, gives={ProductId: [ProductId(other) for other, _ in found]})


@parts.part(fallback="How popular it is cannot be told right now.", unknown="never purchased")
def popularity(products: Ids[ProductId], connection: Connection) -> Mapping[ProductId, int]:
    """How often products were purchased."""
    return reports.popularity_of(connection, products)  # pyright: ignore[reportReturnType]


@parts.part(gives=[ProductId], fallback="The most popular first is not possible right now.")
def by_popularity(candidates: Ids[Candidate], connection: Connection, ask: Ask) -> Slice:
    """One page of these products, the most popular first."""
    given = ask.words.get("page", "1")
    page = max(int(given), 1) if given.isdecimal() and len(given) < 5 else 1
    counted = reports.popularity_of(connection, candidates)
    ordered = sorted(candidates, key=lambda one: (-counted.get(one, 0), one.int))
    found = [ProductId(one) for one in ordered[(page - 1) * PAGE_PRODUCTS : page * PAGE_PRODUCTS]]
    return Slice(found, gives={ProductId: found})
