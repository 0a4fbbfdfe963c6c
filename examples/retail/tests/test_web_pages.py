"""The shop's pages without a browser: how many calls they make, what they show when, and as what else."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from retail_shop import ANNA, BEN, LANTERN, MUG, NAMES, at, buy, invoices, make_agreement, open_shop, until

import retail.web
from preterite.composition import ComposedPage, Composer, Form, Page, State, Submission
from preterite.testing import StartedSystem
from retail.catalog.actions import list_products, rename
from retail.catalog.parts import names_then
from retail.catalog.reports import names
from retail.finance.actions import NewPrice, keep_bulk_discount, keep_prices
from retail.finance.back_office import closing, new_agreement, new_price, new_tier
from retail.sales.actions import Wanted, purchase
from retail.system import catalog, finance, sales
from retail.web import pages
from retail.web.links import ROWS, Paged, paged
from retail.web.mail import invoice_mail

PATIENT_SECONDS = 10.0
UNKNOWN = UUID(int=404)


@contextmanager
def composing(**options: Any) -> Generator[tuple[StartedSystem, Composer]]:
    """The five components, with a lantern and a mug in the catalogue."""
    with open_shop() as shop:
        with shop.session(catalog) as session:
            list_products(session, {LANTERN: "RED LANTERN", MUG: "BLUE MUG"}, at("2010-12-01"))
        options = {"optional_seconds": PATIENT_SECONDS, **options}
        with Composer(shop, pages.pages, pages.forms, **options) as composer:
            yield shop, composer


def compose(composer: Composer, page: Page, viewer: UUID = ANNA, **asked: Any) -> ComposedPage:
    """A page as one customer sees it."""
    customer = {"customer": viewer} if "customer" in page.takes else {}
    return composer.compose(page, viewer=viewer, **customer, **asked)


def invoice_of(shop: StartedSystem) -> UUID:
    until(shop, "2011-04-01")
    (found,) = invoices(shop)
    return found.id


@pytest.mark.parametrize("lines", [1, 10, 500])
def test_an_invoice_makes_as_many_calls_as_it_has_parts_however_many_lines_it_has(lines: int) -> None:
    with composing() as (shop, composer):
        basket = [Wanted(uuid5(NAMES, str(number)), LANTERN, 1) for number in range(lines)]
        with shop.session(sales) as session:
            purchase(session, basket, ANNA, shop.clock.now())
        composed = compose(composer, pages.invoice, invoice_id=invoice_of(shop))

    assert len(composed["invoice"].value.lines) == lines
    assert composed["owed"].state is State.NOT_CALLED, "no customer is blocked"
    assert composed.calls == len(pages.invoice.parts) - 1 == 5


def test_a_renamed_product_keeps_its_name_on_what_was_purchased_before() -> None:
    with composing() as (shop, composer):
        buy(shop, "one")
        until(shop, "2011-03-15")
        with shop.session(catalog) as session:
            rename(session, LANTERN, "GREEN LANTERN", at("2011-03-10"))
        buy(shop, "two")
        composed = compose(composer, pages.invoice, invoice_id=invoice_of(shop))
        shown = [
            composed["names_then"].row((one.product_id, one.purchased_at)) for one in composed["invoice"].value.lines
        ]
        with shop.session(catalog) as session:
            now = names(session, [LANTERN])

    assert shown == ["RED LANTERN", "GREEN LANTERN"]
    assert now == {LANTERN: "GREEN LANTERN"}


def test_a_changed_price_changes_no_earlier_purchase_and_is_what_others_see_from_then_on() -> None:
    with composing() as (shop, composer):
        buy(shop, "one")
        shop.settle()
        until(shop, "2011-03-15")
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2011-03-10"), 500)])
        buy(shop, "two")
        composed = compose(composer, pages.invoice, invoice_id=invoice_of(shop))
        offer = compose(composer, pages.product, product=LANTERN)["prices"].row(LANTERN)
        then = compose(composer, pages.product, product=LANTERN, as_of=at("2011-03-05"))["prices"].row(LANTERN)

    assert [line.unit_pence for line in composed["invoice"].value.lines] == [339, 500]
    assert (offer.list_pence, then.list_pence) == (500, 339)


def test_a_price_is_that_of_the_viewer() -> None:
    with composing() as (shop, composer):
        make_agreement(shop, BEN, 8, "2011-01-01")
        anna = compose(composer, pages.product, ANNA, product=LANTERN)["prices"].row(LANTERN)
        ben = compose(composer, pages.product, BEN, product=LANTERN)["prices"].row(LANTERN)

    assert (anna.pence, anna.rule) == (339, "list")
    assert (ben.pence, ben.list_pence, ben.rule, ben.percent) == (312, 339, "agreement", 8)


def test_what_belongs_to_another_customer_is_not_found() -> None:
    with composing() as (shop, composer):
        buy(shop, "one")
        invoice = invoice_of(shop)
        foreign = compose(composer, pages.invoice, BEN, invoice_id=invoice)
        purchase_ = compose(composer, pages.purchase, BEN, purchase_id=uuid5(NAMES, "one"))
        nowhere = compose(composer, pages.product, product=UNKNOWN)

    assert (foreign.status, purchase_.status, nowhere.status) == (404, 404, 404)
    assert foreign["names_then"].state is State.NOT_CALLED


def test_an_invoice_by_mail_has_the_same_slices_and_needs_no_http() -> None:
    with composing() as (shop, composer):
        buy(shop, "one", quantity=48)
        invoice = invoice_of(shop)
        shown = compose(composer, pages.invoice, invoice_id=invoice)
        again = asyncio.run(composer.compose_async(pages.invoice, viewer=ANNA, customer=ANNA, invoice_id=invoice))
        composer.stopped.add("catalog")
        without = invoice_mail(compose(composer, pages.invoice, invoice_id=invoice))

    assert {name: slot.value for name, slot in shown.slots.items()} == {
        name: slot.value for name, slot in again.slots.items()
    }
    mail = invoice_mail(shown)
    assert "Red Lantern" in mail
    assert "from 48 units, 5 % off" in mail
    assert mail.rstrip().endswith("£154.58")
    assert "Product names are unavailable." in without
    assert "£154.58" in without


def test_a_slow_part_delays_no_page_beyond_its_deadline() -> None:
    held = threading.Event()

    def slowly(**_: object) -> None:
        held.wait(30)

    slow = replace(names_then, function=slowly, injected={})
    page = Page(
        "slow invoice",
        takes=pages.invoice.takes,
        parts=[slow if part is names_then else part for part in pages.invoice.parts],
    )
    with composing() as (shop, _):
        buy(shop, "one")
        invoice = invoice_of(shop)
        with Composer(shop, [page], optional_seconds=0.2) as composer:
            compose(composer, page, invoice_id=invoice)
            began = time.monotonic()
            composed = compose(composer, page, invoice_id=invoice)
            took = time.monotonic() - began
            held.set()

    assert composed["names_then"].state is State.LATE
    assert took < 10, "it would have waited for half a minute"


def test_forms_of_finance_are_written_once_and_refuse_what_cannot_be_right() -> None:
    with composing() as (_, composer):

        def submit(form: Form, under: UUID, **fields: str) -> Submission:
            return asyncio.run(composer.submit(form, under, fields))

        under = uuid5(NAMES, "a form")
        for _ in range(2):
            assert submit(pages.pricing, LANTERN, price="4.20", **{"from": "2011-03-01"}).is_complete
            assert submit(pages.agreeing, under, customer=str(ANNA), percent="8").is_complete
            assert submit(pages.discounting, under, quantity="10", percent="3").is_complete
            assert submit(pages.closing, under).is_complete
        refused = {
            "price": submit(pages.pricing, LANTERN, price="3.999", **{"from": "2011-03-01"}),
            "from": submit(pages.pricing, LANTERN, price="3.99", **{"from": "2011-02-01"}),
            "customer": submit(pages.agreeing, under, customer=str(ANNA), percent="9"),
            "percent": submit(pages.discounting, under, quantity="10", percent="99"),
            "quantity": submit(pages.discounting, under, quantity="1", percent="9"),
        }
        offer = compose(composer, pages.product, product=LANTERN)["prices"].row(LANTERN)

    assert {name: list(one.errors) for name, one in refused.items()} == {name: [name] for name in refused}
    assert (offer.list_pence, offer.pence) == (420, 386)
    assert {one.component.name for one in (new_price, new_agreement, new_tier, closing)} == {"finance"}


def test_a_discount_by_quantity_can_be_taken_away() -> None:
    with composing() as (shop, composer):
        with shop.session(finance) as session:
            keep_bulk_discount(session, 48, 0)
            keep_bulk_discount(session, 144, 12)
        terms = compose(composer, pages.product, product=LANTERN)["terms"].value

    assert terms.bulk == {144: 12}


def test_what_was_made_elsewhere_is_as_it_was_published() -> None:
    folder = Path(retail.web.__file__).parent / "static" / "vendor"
    listed = tomllib.loads((folder / "vendor.toml").read_text(encoding="utf-8"))["file"]

    assert {one["file"] for one in listed} == {file.name for file in folder.glob("*.js")}
    for one in listed:
        assert hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        assert (folder / one["licence_file"]).read_text(encoding="utf-8").startswith("Zero-Clause BSD")


@pytest.mark.parametrize(
    ("asked", "page"),
    [("", 1), ("2", 2), ("3", 3), ("4", 3), ("0", 1), ("-1", 1), ("two", 1), ("²", 1), ("9" * 5000, 1)],
)
def test_whatever_is_asked_for_is_a_page_of_the_list(asked: str, page: int) -> None:
    found = paged(range(ROWS * 2 + 1), {"list": asked, "other": "5"}, "list")

    assert (found.page, found.pages) == (page, 3)
    assert found.rows == list(range(ROWS * 2 + 1))[(page - 1) * ROWS : page * ROWS]
    assert [bool(found.before), bool(found.next)] == [page > 1, page < 3]
    assert all("other=5" in address for address in (found.before, found.next) if address)


def test_an_empty_list_is_one_page() -> None:
    assert paged([], {}, "list") == Paged([], 1, 1, "", "")
