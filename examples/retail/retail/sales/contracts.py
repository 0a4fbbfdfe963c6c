"""What Sales tells the others: the only module of Sales that they import."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import field

from preterite import Event, Fact, OwnKey


class ItemPurchased(Event, key="customer_id"):
    """A customer purchased a product."""

    product_id: UUID = field(name="productIdentifier")
    customer_id: UUID = field(name="customerIdentifier")
    purchased_at: datetime = field(name="purchaseDate")
    purchase_id: Annotated[UUID, OwnKey()] = field(name="purchaseIdentifier")
    quantity: Annotated[int, Fact("only Sales knows how many")] = 1


class PurchaseCancelled(Event, key="customer_id"):
    """A customer took back a purchase before it was packed."""

    purchase_id: UUID
    customer_id: UUID
    cancelled_at: datetime
