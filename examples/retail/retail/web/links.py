"""The navigation links of each page, with the current one marked."""

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
    "/timeline": "Timeline",
    "/office": "Back office",
    "/tour": "Tour",
}
BACK_OFFICE = {
    "/office": "Operations",
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
    """The shop's links on the page with this path."""
    return _links(SHOP, path, "/")


@lru_cache(KEPT)
def links_of_office(path: str) -> Markup:
    """The back office's links on the page with this path."""
    return _links(BACK_OFFICE, path, "/office")


def _links(links: Mapping[str, str], path: str, home: str) -> Markup:
    here = max((to for to in links if path == to or (to != home and path.startswith(to))), key=len, default="")
    marks = {to: Markup(' aria-current="page"') if to == here else "" for to in links}
    return Markup("\n").join(
        Markup('<a href="{}"{}>{}</a>').format(to, marks[to], label) for to, label in links.items()
    )
