"""What a purchase costs: the price of its moment and the best discount. Pure but for looking things up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, null, select, union_all

from retail.db import Queryable
from retail.finance.model import Agreement, BulkDiscount, Price

LIST = "list"


_ACTIVE = (
    select(Price.pence)
    .where(Price.product_id == bindparam("product_id"), Price.valid_from <= bindparam("at"))
    .order_by(Price.valid_from.desc())
    .limit(1)
)
_TERMS = union_all(
    select(BulkDiscount.from_quantity, BulkDiscount.percent),
    select(null(), Agreement.percent).where(
        Agreement.customer_id == bindparam("customer_id"), Agreement.valid_from <= bindparam("at")
    ),
)
"""Discounts by quantity, and without one, the agreement."""


class UnknownPrice(Exception):
    """A product was purchased that had no price at that moment."""


class Discount(NamedTuple):
    """How much is taken off, and by which rule."""

    percent: int
    rule: str


def price_at(db: Queryable, product_id: UUID, at: datetime) -> int:
    """The price that was active at this instant, in pence."""
    price = db.scalar(_ACTIVE, {"product_id": product_id, "at": at})
    if price is None:
        raise UnknownPrice(f"Product {product_id} had no price at {at.isoformat()}; add one valid from then.")
    return price


class Terms(NamedTuple):
    """What a customer may count on besides prices: an agreement, in percent, and discounts by quantity."""

    agreement: int
    bulk: Mapping[int, int]

    def discount(self, quantity: int) -> Discount:
        """The largest of the discounts that apply; they are never added up."""
        discounts = [Discount(0, LIST)]
        discounts += [Discount(percent, f"bulk {one}") for one, percent in self.bulk.items() if one <= quantity]
        if self.agreement:
            discounts.append(Discount(self.agreement, "agreement"))
        return max(discounts, key=lambda discount: discount.percent)


def terms_of(db: Queryable, customer_id: UUID | None, at: datetime) -> Terms:
    """The terms of a customer at an instant; without a customer, those without an agreement."""
    found: dict[int | None, int] = dict(db.execute(_TERMS, {"customer_id": customer_id, "at": at}).all())
    agreement = found.pop(None, 0)
    return Terms(agreement, {quantity: percent for quantity, percent in found.items() if quantity is not None})


def best_discount(db: Queryable, customer_id: UUID, quantity: int, at: datetime) -> Discount:
    """The largest of the discounts that apply to a purchase."""
    return terms_of(db, customer_id, at).discount(quantity)


def net_pence(quantity: int, unit_pence: int, percent: int) -> int:
    """Quantity times price less the discount, rounded to whole pence, half a penny up."""
    return (quantity * unit_pence * (100 - percent) + 50) // 100


def month_of(at: datetime) -> str:
    """The month to which an instant belongs, as in 2011-03."""
    return f"{at:%Y-%m}"
