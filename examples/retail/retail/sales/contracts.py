"""The events that Sales publishes: the only module of Sales that other components import."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import field

from preterite import Event, Justified, OwnKey


class ItemPurchased(Event, key="customer_id"):
    """A customer purchased a product."""

    product_id: UUID = field(name="productIdentifier")
    customer_id: UUID = field(name="customerIdentifier")
    purchased_at: datetime = field(name="purchaseDate")
    purchase_id: Annotated[UUID, OwnKey()] = field(name="purchaseIdentifier")
    quantity: Annotated[int, Justified("only Sales knows how many")] = 1


class PurchaseCancelled(Event, key="customer_id"):
    """A customer cancelled a purchase before it was packed."""

    purchase_id: UUID
    customer_id: UUID
    cancelled_at: datetime
