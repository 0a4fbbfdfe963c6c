"""The shop of the retail tests: one product, some customers, and what they do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid5

from sqlalchemy import select

from preterite.testing import StartedSystem, started
from retail.finance.actions import NewPrice, agree, keep_prices
from retail.finance.model import BillableItem, Invoice
from retail.sales.actions import Wanted, cancel, purchase
from retail.shipping.actions import keep_addresses
from retail.system import finance, sales, shipping, system

NAMES = UUID(int=2011)
ANNA, BEN = uuid5(NAMES, "anna"), uuid5(NAMES, "ben")
LANTERN, MUG = uuid5(NAMES, "lantern"), uuid5(NAMES, "mug")
START = "2011-03-01T10:00Z"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def open_shop(start: str = START) -> Generator[StartedSystem]:
    """The five components, with a lantern at £3.39 and a mug at 85p, and addresses for Anna and Ben."""
    with started(system, at=start) as shop:
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2010-12-01"), 339), NewPrice(MUG, at("2010-12-01"), 85)])
        with shop.session(shipping) as session:
            keep_addresses(session, {ANNA: "United Kingdom", BEN: "France"})
        yield shop


def buy(shop: StartedSystem, *names: str, customer: UUID = ANNA, product: UUID = LANTERN, quantity: int = 1) -> None:
    """One basket; each name becomes one purchase."""
    basket = [Wanted(uuid5(NAMES, name), product, quantity) for name in names]
    with shop.session(sales) as session:
        purchase(session, basket, customer, shop.clock.now())


def take_back(shop: StartedSystem, name: str) -> None:
    """Cancel the purchase of this name."""
    with shop.session(sales) as session:
        cancel(session, uuid5(NAMES, name), shop.clock.now())


def until(shop: StartedSystem, text: str) -> None:
    """Settle, and let time pass; what becomes due in between is handled."""
    shop.settle()
    shop.clock.to(text)
    shop.settle()


def items(shop: StartedSystem) -> list[BillableItem]:
    shop.settle()
    with shop.session(finance) as session:
        return list(session.scalars(select(BillableItem).order_by(BillableItem.purchased_at)))


def invoices(shop: StartedSystem) -> list[Invoice]:
    with shop.session(finance) as session:
        return list(session.scalars(select(Invoice).order_by(Invoice.issued_at, Invoice.pence)))


def make_agreement(shop: StartedSystem, customer: UUID, percent: int, valid_from: str) -> None:
    with shop.session(finance) as session:
        agree(session, [customer], percent, at(valid_from))
