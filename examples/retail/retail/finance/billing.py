"""What a purchase costs: the price of its moment and the best discount. Pure but for looking things up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, null, select, union_all

from retail.db import Queryable
from retail.finance.model import Agreement, BulkDiscount, Price

LIST = "list"


_PRICES = (
    select(Price.product_id, Price.valid_from, Price.pence)
    .where(Price.product_id.in_(bindparam("ids", expanding=True)))
    .order_by(Price.valid_from)
)
_AGREEMENTS = select(Agreement.customer_id, Agreement.valid_from, Agreement.percent).where(
    Agreement.customer_id.in_(bindparam("ids", expanding=True))
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


class Rates(NamedTuple):
    """What billing purchases of some products by some customers takes: prices, agreements, discounts by quantity."""

    prices: Mapping[UUID, Sequence[tuple[datetime, int]]]
    """By product, from when on and how many pence, in order of time."""
    agreements: Mapping[UUID, tuple[datetime, int]]
    """By customer, from when on and how many percent."""
    bulk: Mapping[int, int]

    def price(self, product_id: UUID, at: datetime) -> int:
        """The price that was active at this instant, in pence."""
        active = [pence for valid_from, pence in self.prices.get(product_id, ()) if valid_from <= at]
        if not active:
            raise UnknownPrice(f"Product {product_id} had no price at {at.isoformat()}; add one valid from then.")
        return active[-1]

    def discount(self, customer_id: UUID, quantity: int, at: datetime) -> Discount:
        """The largest of the discounts that apply to a purchase."""
        valid_from, percent = self.agreements.get(customer_id, (at, 0))
        return Terms(percent if valid_from <= at else 0, self.bulk).discount(quantity)


def rates_for(db: Queryable, product_ids: Iterable[UUID], customer_ids: Iterable[UUID]) -> Rates:
    """Look up what billing purchases of these products by these customers takes."""
    prices: dict[UUID, list[tuple[datetime, int]]] = {}
    for product_id, valid_from, pence in db.execute(_PRICES, {"ids": list(product_ids)}):
        prices.setdefault(product_id, []).append((valid_from, pence))
    agreements = {
        customer_id: (valid_from, percent)
        for customer_id, valid_from, percent in db.execute(_AGREEMENTS, {"ids": list(customer_ids)})
    }
    bulk = db.execute(select(BulkDiscount.from_quantity, BulkDiscount.percent))
    return Rates(prices, agreements, dict(bulk.all()))


def net_pence(quantity: int, unit_pence: int, percent: int) -> int:
    """Quantity times price less the discount, rounded to whole pence, half a penny up."""
    return (quantity * unit_pence * (100 - percent) + 50) // 100


def month_of(at: datetime) -> str:
    """The month to which an instant belongs, as in 2011-03."""
    return f"{at:%Y-%m}"
