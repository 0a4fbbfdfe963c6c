"""The events of Catalog."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, NewType
from uuid import UUID

from preterite import Event, Justified

ProductId = NewType("ProductId", str)


class Condition(Enum):
    """The condition of a product."""

    NEW = "new"
    USED = "used"


class ProductWithdrawn(Event, key="product_id"):  # fine: an irregular verb, with a subscriber
    product_id: UUID
    withdrawn_at: datetime


class CreateProduct(Event, key="product_id"):  # violation: event-not-past-tense event-without-subscriber
    product_id: UUID
    name: str  # violation: event-carries-data
    price: int  # violation: event-carries-data
    created_at: datetime


class ProductFeed(Event, key="product_id"):  # violation: event-not-past-tense event-without-subscriber
    product_id: UUID
    fed_at: datetime


class PriceSet(Event, key="product_id"):  # fine: an irregular verb after a noun
    product_id: ProductId  # fine: a string type of its own
    valid_from: datetime
    condition: Annotated[Condition, Justified("the price holds for one condition")]  # fine: states a reason


class ProductsMerged(Event, key="product_id"):
    product_id: UUID
    merged_ids: tuple[UUID, ...]  # fine: identifiers, several
    replaced_by_id: UUID | None = None  # fine: an identifier, or none
    merged_at: datetime


class ShelfRelabelledAgain(Event, key="shelf_id"):  # fine: a particle may follow
    shelf_id: UUID
    relabelled_at: datetime


def price_of(product: UUID) -> int:
    """The price of a product: a function that other components call."""
    return product.int % 1000
