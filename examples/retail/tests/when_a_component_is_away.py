"""Components that do not run miss nothing: what was purchased meanwhile is billed and shipped once they do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import uuid5

from retail_shop import ANNA, BEN, LANTERN, NAMES, at

from preterite import Component, OpenSystem
from preterite.testing import MovableClock
from retail.finance.actions import NewPrice, close_month, keep_prices
from retail.finance.contracts import InvoiceIssued
from retail.finance.reports import months
from retail.sales.actions import Wanted, purchase
from retail.shipping.actions import keep_addresses
from retail.shipping.contracts import ItemShipped
from retail.shipping.reports import shipments_by_country
from retail.system import catalog, finance, marketing, sales, shipping, system

MARCH = at("2011-03-10T10:00")
APRIL = at("2011-04-01")


def open_some(folder: Path, components: Sequence[Component], now: datetime = MARCH) -> OpenSystem:
    """Only these components, on files that all share."""
    databases = {component.name: f"sqlite:///{folder}/{component.name}.sqlite" for component in system.components}
    return system.open(
        databases=databases,
        log=f"sqlite:///{folder}/log.sqlite",
        only=components,
        create_tables=True,
        clock=MovableClock(now),
    )


def buy(folder: Path, *names: str) -> None:
    with open_some(folder, [sales]) as shop:
        for name in names:
            with shop.session(sales) as session:
                customer = ANNA if name < "d" else BEN
                purchase(session, [Wanted(uuid5(NAMES, name), LANTERN)], customer, MARCH)
        shop.settle()


def test_purchases_made_while_finance_does_not_run_are_invoiced_once_it_does(tmp_path: Path) -> None:
    buy(tmp_path, "a", "b", "d")
    with open_some(tmp_path, [finance], APRIL) as shop:
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2010-12-01"), 339)])
        shop.settle()
        with shop.session(finance) as session:
            close_month(session, APRIL)
            assert months(session) == {"2011-03": [2, 3 * 339]}
        shop.settle()
        assert len(shop.published(InvoiceIssued)) == 2


def test_shipping_attached_at_the_end_ships_everything_and_no_other_component_notices(tmp_path: Path) -> None:
    the_others = [catalog, marketing, sales, finance]
    with open_some(tmp_path, the_others) as shop, shop.session(finance) as session:
        keep_prices(session, [NewPrice(LANTERN, at("2010-12-01"), 339)])
    buy(tmp_path, "a", "b", "d")
    with open_some(tmp_path, the_others) as shop:
        shop.settle()
        before = {name: (one.counts.handled, one.numbered) for name, one in shop.status().items()}
    with open_some(tmp_path, [*the_others, shipping], at("2011-03-12")) as shop:
        with shop.session(shipping) as session:
            keep_addresses(session, {ANNA: "United Kingdom", BEN: "France"})
        shop.settle()
        after = {name: (one.counts.handled, one.numbered) for name, one in shop.status().items() if name != "shipping"}
        with shop.session(shipping) as session:
            assert shipments_by_country(session) == {"France": 1, "United Kingdom": 2}
        assert len(shop.published(ItemShipped)) == 3

    assert after == before
