"""What Catalog tells the others."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, NewType
from uuid import UUID

from preterite import Event, Fact

ProductId = NewType("ProductId", str)


class Condition(Enum):
    """How a thing is."""

    NEW = "new"
    USED = "used"


class ProductWithdrawn(Event, key="product_id"):  # fine: irregular, and somebody hears it
    product_id: UUID
    withdrawn_at: datetime


class CreateProduct(Event, key="product_id"):  # crosses: event-not-past event-unheard
    product_id: UUID
    name: str  # crosses: event-carries
    price: int  # crosses: event-carries
    created_at: datetime


class ProductFeed(Event, key="product_id"):  # crosses: event-not-past event-unheard
    product_id: UUID
    fed_at: datetime


class PriceSet(Event, key="product_id"):  # fine: irregular, the same in all tenses, after a noun
    product_id: ProductId  # fine: a string type of its own
    valid_from: datetime
    condition: Annotated[Condition, Fact("the price holds for one condition")]  # fine: says why


class ProductsMerged(Event, key="product_id"):
    product_id: UUID
    merged_ids: tuple[UUID, ...]  # fine: identifiers, several
    replaced_by_id: UUID | None = None  # fine: an identifier, or none
    merged_at: datetime


class ShelfRelabelledAgain(Event, key="shelf_id"):  # fine: a particle may follow
    shelf_id: UUID
    relabelled_at: datetime


def price_of(product: UUID) -> int:
    """What a product costs: a function that others call."""
    return product.int % 1000
