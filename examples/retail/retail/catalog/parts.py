"""The parts of pages that Catalog fills, and the sections of forms that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ids, NotFound, PageRequest, PartResult, Parts, ValidationError
from retail.catalog import actions, reports
from retail.catalog.cache import Listed, cached_catalog
from retail.catalog.component import catalog
from retail.catalog.reports import Naming
from retail.identifiers import Candidate, ProductId, ProductThen

PAGE_PRODUCTS = 24
CANDIDATES_MAX = 5000
NEWEST = 8
NAME_LENGTH_MAX = 120

parts = Parts(catalog)


class Listing(NamedTuple):
    """One page of a list of products, in the order of their names."""

    products: list[ProductId]
    total: int
    page: int
    pages: int
    category: str
    text: str


@parts.part(fallback="Product names are unavailable.", unknown="a product that is not listed")
def names(products: Ids[ProductId], connection: Connection) -> Mapping[ProductId, str]:
    """What products are called now."""
    listed = cached_catalog(connection).products
    return {one: listed[one].name for one in products if one in listed}


@parts.part(fallback="Product names are unavailable.", unknown="a product that is not listed")
def names_then(products: Ids[ProductThen], connection: Connection) -> Mapping[ProductThen, str]:
    """What products were called at the moment for which each is asked."""
    return reports.names_then(connection, products)  # pyright: ignore[reportArgumentType, reportReturnType]


@parts.part(required=True, fallback="The catalogue is unavailable; please try again soon.")
def details(products: Ids[ProductId], connection: Connection) -> Listed:
    """The one product that a page is about."""
    (product,) = products
    found = cached_catalog(connection).products.get(product)
    if found is None:
        raise NotFound(f"There is no product {product}.")
    return found


@parts.part(fallback="Earlier names are unavailable.")
def namings(products: Ids[ProductId], connection: Connection) -> list[Naming]:
    """All names of one product, the latest first."""
    (product,) = products
    return reports.namings(connection, product)


@parts.part(fallback="Categories are unavailable.")
def categories(connection: Connection) -> Mapping[str, int]:
    """Categories, with how many products each has."""
    return cached_catalog(connection).categories


@parts.part(provides=[ProductId], fallback="The newest products are unavailable.")
def newest(connection: Connection) -> PartResult:
    """The products listed last."""
    found = [ProductId(one) for one in cached_catalog(connection).newest[:NEWEST]]
    return PartResult(found, provides={ProductId: found})


@parts.part(provides=[ProductId], required=True, fallback="The catalogue is unavailable; please try again soon.")
def listing(connection: Connection, request: PageRequest) -> PartResult:
    """Products of a category, or with certain words in their name: one page of them."""
    page = _page(request)
    category, text = _category(request), _text(request)
    first = (page - 1) * PAGE_PRODUCTS
    withdrawn = request.params.get("withdrawn") == "too"
    found = cached_catalog(connection).find(
        category=category, text=text, withdrawn=withdrawn, first=first, count=PAGE_PRODUCTS
    )
    products = [ProductId(one) for one in found.product_ids]
    pages = max(-(-found.total // PAGE_PRODUCTS), 1)
    return PartResult(Listing(products, found.total, page, pages, category, text), provides={ProductId: products})


@parts.part(provides=[Candidate], required=True, fallback="The catalogue is unavailable; please try again soon.")
def candidates(connection: Connection, request: PageRequest) -> PartResult:
    """All products of a category or with certain words, for another component to put in order."""
    category, text = _category(request), _text(request)
    found = cached_catalog(connection).find(category=category, text=text, count=CANDIDATES_MAX)
    products = [ProductId(one) for one in found.product_ids]
    shown = Listing(products, found.total, _page(request), max(-(-len(products) // PAGE_PRODUCTS), 1), category, text)
    return PartResult(shown, provides={Candidate: [Candidate(one) for one in products]})


def read_name(fields: Mapping[str, str], request: PageRequest) -> str:
    """A name that a product may have."""
    if not 0 < len(fields["name"]) <= NAME_LENGTH_MAX:
        raise ValidationError(name=f"A name has from 1 to {NAME_LENGTH_MAX} characters.")
    return fields["name"]


def read_category(fields: Mapping[str, str], request: PageRequest) -> str:
    """One of the categories that there are."""
    if fields["category"] not in {*actions.CATEGORIES.values(), actions.OTHER}:
        raise ValidationError(category="Choose one of the categories.")
    return fields["category"]


class NewProduct(NamedTuple):
    """What Catalog needs to list a product."""

    name: str
    category: str


def read_listed(fields: Mapping[str, str], request: PageRequest) -> NewProduct:
    """Name and category of a new product."""
    errors: dict[str, str] = {}
    for read in (read_name, read_category):
        try:
            read(fields, request)
        except ValidationError as invalid:
            errors |= invalid.messages
    if errors:
        raise ValidationError(**errors)
    return NewProduct(fields["name"], fields["category"])


@parts.section("name", "category", read=read_listed, fallback="Catalog has not listed the product yet.")
def new_product(product: ProductId, new: NewProduct, session: Session, request: PageRequest) -> None:
    """List a product."""
    actions.list_product(session, product, new.name, new.category, request.as_of)


@parts.section("name", read=read_name, fallback="Catalog has not saved the name yet.")
def new_name(product: ProductId, name: str, session: Session, request: PageRequest) -> None:
    """Rename a product from now on."""
    actions.rename(session, product, name, request.as_of)


@parts.section("category", read=read_category, fallback="Catalog has not saved the category yet.")
def new_category(product: ProductId, category: str, session: Session, request: PageRequest) -> None:
    """Put a product into another category."""
    actions.move(session, product, category)


def read_offered(fields: Mapping[str, str], request: PageRequest) -> bool:
    """Whether a product is to be offered."""
    return fields["offered"] == "yes"


@parts.section("offered", read=read_offered, fallback="Catalog has not saved it yet.")
def offered(product: ProductId, offered: bool, session: Session, request: PageRequest) -> None:
    """Withdraw a product, or offer it again."""
    if offered:
        actions.offer_again(session, product)
    else:
        actions.withdraw(session, product, request.as_of)


def _page(request: PageRequest) -> int:
    given = request.params.get("page", "1")
    return int(given) if given.isdecimal() and 0 < len(given) < 5 and int(given) > 0 else 1


def _text(request: PageRequest) -> str:
    return request.params.get("text", "").strip()[:NAME_LENGTH_MAX]


def _category(request: PageRequest) -> str:
    return request.params.get("category", "")
