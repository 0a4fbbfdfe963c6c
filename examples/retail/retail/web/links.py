"""The navigation links of each page, with the current one marked, and those from page to page of a long list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

KEPT = 1024
ROWS = 12
"""Rows of a long list on one page."""
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


@dataclass(frozen=True)
class Paged:
    """One page of a long list, and the addresses of its neighbours; empty where there is none."""

    rows: list[Any]
    page: int
    pages: int
    before: str
    next: str


def paged(rows: Iterable[Any], params: Mapping[str, str], name: str) -> Paged:
    """The page of this list that the parameter of its name asks for; another parameter keeps another list's page."""
    found = list(rows)
    pages = max(-(-len(found) // ROWS), 1)
    asked = params.get(name, "")
    page = min(max(int(asked), 1), pages) if asked.isdecimal() and len(asked) < 6 else 1

    def address(to: int) -> str:
        return f"?{urlencode({**params, name: to})}" if 1 <= to <= pages else ""

    return Paged(found[(page - 1) * ROWS : page * ROWS], page, pages, address(page - 1), address(page + 1))
