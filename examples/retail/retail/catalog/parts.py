"""What Catalog fills on pages, and takes from forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ask, Ids, Invalid, NotThere, Parts, Slice
from retail.catalog import actions, reports
from retail.catalog.component import catalog
from retail.catalog.reports import Naming
from retail.catalog.shelf import Listed, shelf_of
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


@parts.part(fallback="Product names are not available right now.", unknown="a product that is not listed")
def names(products: Ids[ProductId], connection: Connection) -> Mapping[ProductId, str]:
    """What products are called now."""
    listed = shelf_of(connection).products
    return {one: listed[one].name for one in products if one in listed}


@parts.part(fallback="Product names are not available right now.", unknown="a product that is not listed")
def names_then(products: Ids[ProductThen], connection: Connection) -> Mapping[ProductThen, str]:
    """What products were called at the moment for which each is asked."""
    return reports.names_then(connection, products)  # pyright: ignore[reportArgumentType, reportReturnType]


@parts.part(required=True, fallback="The catalogue is closed for a moment; please come back soon.")
def details(products: Ids[ProductId], connection: Connection) -> Listed:
    """The one product that a page is about."""
    (product,) = products
    found = shelf_of(connection).products.get(product)
    if found is None:
        raise NotThere(f"There is no product {product}.")
    return found


@parts.part(fallback="The names it had are not available right now.")
def namings(products: Ids[ProductId], connection: Connection) -> list[Naming]:
    """All names of one product, the latest first."""
    (product,) = products
    return reports.namings(connection, product)


@parts.part(fallback="Categories are not available right now.")
def categories(connection: Connection) -> Mapping[str, int]:
    """Categories, with how many products each has."""
    return shelf_of(connection).categories


@parts.part(gives=[ProductId], fallback="The newest products are not available right now.")
def newest(connection: Connection) -> Slice:
    """The products listed last."""
    found = [ProductId(one) for one in shelf_of(connection).newest[:NEWEST]]
    return Slice(found, gives={ProductId: found})


@parts.part(gives=[ProductId], required=True, fallback="The catalogue is closed for a moment; please come back soon.")
def listing(connection: Connection, ask: Ask) -> Slice:
    """Products of a category, or with certain words in their name: one page of them."""
    page = _page(ask)
    category, text = _category(ask), _text(ask)
    first = (page - 1) * PAGE_PRODUCTS
    withdrawn = ask.words.get("withdrawn") == "too"
    found = shelf_of(connection).find(
        category=category, text=text, withdrawn=withdrawn, first=first, count=PAGE_PRODUCTS
    )
    products = [ProductId(one) for one in found.product_ids]
    pages = max(-(-found.total // PAGE_PRODUCTS), 1)
    return Slice(Listing(products, found.total, page, pages, category, text), gives={ProductId: products})


@parts.part(gives=[Candidate], required=True, fallback="The catalogue is closed for a moment; please come back soon.")
def candidates(connection: Connection, ask: Ask) -> Slice:
    """All products of a category or with certain words, for another component to put in order."""
    category, text = _category(ask), _text(ask)
    found = shelf_of(connection).find(category=category, text=text, count=CANDIDATES_MAX)
    products = [ProductId(one) for one in found.product_ids]
    shown = Listing(products, found.total, _page(ask), max(-(-len(products) // PAGE_PRODUCTS), 1), category, text)
    return Slice(shown, gives={Candidate: [Candidate(one) for one in products]})


def read_name(fields: Mapping[str, str], ask: Ask) -> str:
    """A name that a product may have."""
    if not 0 < len(fields["name"]) <= NAME_LENGTH_MAX:
        raise Invalid(name=f"A name has from 1 to {NAME_LENGTH_MAX} characters.")
    return fields["name"]


def read_category(fields: Mapping[str, str], ask: Ask) -> str:
    """One of the categories that there are."""
    if fields["category"] not in {*actions.CATEGORIES.values(), actions.OTHER}:
        raise Invalid(category="Choose one of the categories.")
    return fields["category"]


class NewProduct(NamedTuple):
    """What Catalog needs to list a product."""

    name: str
    category: str


def read_listed(fields: Mapping[str, str], ask: Ask) -> NewProduct:
    """Name and category of a new product."""
    sentences: dict[str, str] = {}
    for read in (read_name, read_category):
        try:
            read(fields, ask)
        except Invalid as invalid:
            sentences |= invalid.sentences
    if sentences:
        raise Invalid(**sentences)
    return NewProduct(fields["name"], fields["category"])


@parts.section("name", "category", read=read_listed, fallback="Catalog could not list the product yet.")
def new_product(product: ProductId, new: NewProduct, session: Session, ask: Ask) -> None:
    """List a product."""
    actions.list_product(session, product, new.name, new.category, ask.as_of)


@parts.section("name", read=read_name, fallback="Catalog could not note the name yet.")
def new_name(product: ProductId, name: str, session: Session, ask: Ask) -> None:
    """Call a product otherwise from now on."""
    actions.rename(session, product, name, ask.as_of)


@parts.section("category", read=read_category, fallback="Catalog could not note the category yet.")
def new_category(product: ProductId, category: str, session: Session, ask: Ask) -> None:
    """Put a product into another category."""
    actions.move(session, product, category)


def read_offered(fields: Mapping[str, str], ask: Ask) -> bool:
    """Whether a product is to be offered."""
    return fields["offered"] == "yes"


@parts.section("offered", read=read_offered, fallback="Catalog could not note it yet.")
def offered(product: ProductId, offered: bool, session: Session, ask: Ask) -> None:
    """Withdraw a product, or offer it again."""
    if offered:
        actions.offer_again(session, product)
    else:
        actions.withdraw(session, product, ask.as_of)


def _page(ask: Ask) -> int:
    given = ask.words.get("page", "1")
    return int(given) if given.isdecimal() and 0 < len(given) < 5 and int(given) > 0 else 1


def _text(ask: Ask) -> str:
    return ask.words.get("text", "").strip()[:NAME_LENGTH_MAX]


def _category(ask: Ask) -> str:
    return ask.words.get("category", "")
