"""Where the pages lead: the links that stand on each, the present one marked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from markupsafe import Markup

KEPT = 1024
SHOP = {
    "/": "Home",
    "/products": "Products",
    "/purchases": "My purchases",
    "/invoices": "My invoices",
    "/happened": "What just happened",
    "/office": "Back office",
    "/tour": "Tour",
}
OFFICE = {
    "/office": "Desk",
    "/office/sales": "Sales",
    "/office/prices": "Prices",
    "/office/terms": "Terms",
    "/office/months": "Months",
    "/office/invoices": "Invoices",
    "/office/packing": "Packing",
    "/office/catalog": "Catalog",
    "/office/popular": "Popular",
}


@lru_cache(KEPT)
def links_of_shop(path: str) -> Markup:
    """The links of the shop, seen from a page."""
    return _links(SHOP, path, "/")


@lru_cache(KEPT)
def links_of_office(path: str) -> Markup:
    """The links of the back office, seen from a page."""
    return _links(OFFICE, path, "/office")


def _links(links: Mapping[str, str], path: str, home: str) -> Markup:
    here = max((to for to in links if path == to or (to != home and path.startswith(to))), key=len, default="")
    marks = {to: Markup(' aria-current="page"') if to == here else "" for to in links}
    return Markup("\n").join(
        Markup('<a href="{}"{}>{}</a>').format(to, marks[to], label) for to, label in links.items()
    )
