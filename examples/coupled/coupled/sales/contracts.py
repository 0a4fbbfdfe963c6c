"""The events of Sales."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from preterite import Event, Justified


class Address(msgspec.Struct):
    """A postal address."""

    street: str
    town: str


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    product_id: UUID
    purchased_at: datetime
    quantity: Annotated[int, Justified("only Sales knows how many")] = 1  # fine: states a reason
    unit_price: Decimal = Decimal(0)  # violation: event-carries-data
    delivery_address: Address | None = None  # violation: personal-data


class OrderPlaced(Event, key="order_number"):
    order_number: int  # violation: identifier-has-meaning
    customer_email: str  # violation: personal-data
    placed_on: date  # violation: event-carries-data
    placed_at: datetime
    referrer_id: str = ""  # fine: a string that is named as an identifier


class BasketChanging(Event):  # violation: event-not-past-tense event-without-key event-without-subscriber
    basket_id: UUID
    changed_at: datetime


class CustomerEvent(Event, key="customer_id"):
    customer_id: UUID
    happened_at: datetime


class CustomerRegistered(CustomerEvent, key="customer_id"):  # violation: event-inherits
    pass
