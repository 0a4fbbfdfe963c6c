"""What people do in Catalog: list products."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from retail.catalog.component import catalog
from retail.catalog.model import Product

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


def list_products(session: Session, names: Mapping[UUID, str]) -> None:
    """List these products; one that is listed already keeps its name."""
    with catalog.unit_of_work(session):
        listed = set(session.scalars(select(Product.id)))
        session.add_all(
            Product(id=product_id, name=name, category=category_of(name))
            for product_id, name in names.items()
            if product_id not in listed
        )


def category_of(name: str) -> str:
    """The category of the first word that has one."""
    return next((CATEGORIES[word] for word in name.upper().split() if word in CATEGORIES), OTHER)
