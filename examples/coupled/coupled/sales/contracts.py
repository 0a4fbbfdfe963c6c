"""What Sales tells the others."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from preterite import Event, Fact


class Address(msgspec.Struct):
    """Where somebody lives."""

    street: str
    town: str


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    product_id: UUID
    purchased_at: datetime
    quantity: Annotated[int, Fact("only Sales knows how many")] = 1  # fine: says why
    unit_price: Decimal = Decimal(0)  # crosses: event-carries
    delivery_address: Address | None = None  # crosses: personal-data


class OrderPlaced(Event, key="order_number"):
    order_number: int  # crosses: identifier-has-meaning
    customer_email: str  # crosses: personal-data
    placed_on: date  # crosses: event-carries
    placed_at: datetime
    referrer_id: str = ""  # fine: a string that is named as an identifier


class BasketChanging(Event):  # crosses: event-not-past event-without-key event-unheard
    basket_id: UUID
    changed_at: datetime


class CustomerEvent(Event, key="customer_id"):
    customer_id: UUID
    happened_at: datetime


class CustomerRegistered(CustomerEvent, key="customer_id"):  # crosses: event-inherits
    pass
