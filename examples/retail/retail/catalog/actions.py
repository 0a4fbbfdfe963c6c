"""The actions of Catalog: list products, rename them, move them to another category, withdraw them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from retail.catalog.cache import change_edition
from retail.catalog.component import catalog
from retail.catalog.model import Product, ProductName
from retail.db import insert_into

OTHER = "Other"
CATEGORIES = {
    "BAG": "Bags",
    "BOX": "Storage",
    "CAKE": "Kitchen",
    "CANDLE": "Lighting",
    "CARD": "Paper",
    "CHRISTMAS": "Seasonal",
    "CLOCK": "Home",
    "CUSHION": "Home",
    "LANTERN": "Lighting",
    "LIGHT": "Lighting",
    "LUNCH": "Kitchen",
    "MUG": "Kitchen",
    "NECKLACE": "Jewellery",
    "PAPER": "Paper",
    "SIGN": "Home",
    "TIN": "Storage",
    "T-LIGHT": "Lighting",
}


class NotListed(Exception):
    """There is no such product."""


def list_products(session: Session, names: Mapping[UUID, str], at: datetime) -> None:
    """List these products; one that is listed already keeps its name."""
    with catalog.unit_of_work(session):
        listed = set(session.scalars(select(Product.id)))
        new = {product_id: name for product_id, name in names.items() if product_id not in listed}
        session.add_all(
            Product(id=one, name=name, category=category_of(name), listed_at=at) for one, name in new.items()
        )
        session.flush()
        session.add_all(ProductName(product_id=one, valid_from=at, name=name) for one, name in new.items())
        if new:
            change_edition(session, "list", sorted(new.items()), at)


def list_product(session: Session, product_id: UUID, name: str, category: str, at: datetime) -> None:
    """List one product in a category; one that is listed already stays as it is."""
    with catalog.unit_of_work(session):
        if session.get(Product, product_id) is None:
            session.add(Product(id=product_id, name=name, category=category, listed_at=at))
            session.flush()
            session.add(ProductName(product_id=product_id, valid_from=at, name=name))
            change_edition(session, "list", product_id, name, category, at)


def rename(session: Session, product_id: UUID, name: str, at: datetime) -> None:
    """Rename a product from an instant on; its earlier names stay on record."""
    with catalog.unit_of_work(session):
        _listed(session, product_id).name = name
        naming = insert_into(session, ProductName).values(product_id=product_id, valid_from=at, name=name)
        session.execute(naming.on_conflict_do_update(index_elements=["product_id", "valid_from"], set_={"name": name}))
        change_edition(session, "rename", product_id, name, at)


def move(session: Session, product_id: UUID, category: str) -> None:
    """Put a product into another category."""
    with catalog.unit_of_work(session):
        _listed(session, product_id).category = category
        change_edition(session, "move", product_id, category)


def withdraw(session: Session, product_id: UUID, at: datetime) -> None:
    """Offer a product no more; it stays on record, with its names. Withdrawn again it stays as it is."""
    with catalog.unit_of_work(session):
        product = _listed(session, product_id)
        product.withdrawn_at = product.withdrawn_at or at
        change_edition(session, "withdraw", product_id, at)


def offer_again(session: Session, product_id: UUID) -> None:
    """Offer a product that was withdrawn."""
    with catalog.unit_of_work(session):
        _listed(session, product_id).withdrawn_at = None
        change_edition(session, "offer again", product_id)


def category_of(name: str) -> str:
    """The category of the first word that has one."""
    return next((CATEGORIES[word] for word in name.upper().split() if word in CATEGORIES), OTHER)


def _listed(session: Session, product_id: UUID) -> Product:
    found = session.get(Product, product_id)
    if found is None:
        raise NotListed(f"There is no product {product_id} in the catalogue.")
    return found
