"""Both flows of the domain in a browser: purchase to invoice, and overdue to blocked to paid."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect
from web_shop import AGREEMENT, BULK, NEW, OVERDUE, Served, a_visitor, be, buy, move_clock, open_invoice, press

from retail.finance.actions import pay_everything
from retail.finance.contracts import InvoiceOverdue
from retail.sales.contracts import ItemPurchased
from retail.sales.reports import purchase_count
from retail.system import finance, sales
from retail.web.app import MOVES


def first_popular(page: Page) -> str:
    """The address of the first popular product."""
    page.goto("/")
    path = page.locator("#popular_now .card a").first.get_attribute("href")
    assert path is not None
    return path


def count(shop: Served) -> int:
    with shop.shop.open.session(sales) as session:
        return purchase_count(session)


def test_a_purchase_is_consumed_billed_sent_and_invoiced_at_the_price_of_its_moment(page: Page, shop: Served) -> None:
    path = first_popular(page)
    buy(page, path, quantity=2)
    expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
    purchase_id = UUID(page.url.rpartition("/")[2])
    for component in ("finance", "shipping", "marketing"):
        expect(page.locator(f"[data-subscriber={component}]")).to_have_attribute("data-state", "consumed")
    expect(page.locator("#bought [data-slot=billed]")).to_contain_text("2 ×")
    billed = page.locator("#bought [data-slot=billed]").inner_text().split(" ")[0]

    page.goto(f"/office/prices/{path.rpartition('/')[2]}")
    page.get_by_label("Price in pounds").fill("99.99")
    press(page, "Save the price")
    page.goto(path)
    expect(page.locator("#offer .price")).to_have_text("£99.99")

    move_clock(page, "To the next evening")
    page.goto("/purchases")
    expect(page.locator("#list tbody tr").first).to_contain_text("sent 2 May 2011, 22:00")
    move_clock(page, "To the end of the month")
    open_invoice(page, "May 2011")
    line = page.locator("#sheet tbody tr").last
    expect(line).to_contain_text("2 May 2011")
    assert line.locator("td").last.inner_text() == billed
    events = {event.purchase_id: event.quantity for event in shop.shop.open.published(ItemPurchased)}
    assert events[purchase_id] == 2


def test_an_overdue_customer_is_refused_while_finance_is_away_and_may_purchase_again_once_all_is_paid(
    page: Page, shop: Served
) -> None:
    path = first_popular(page)
    buy(page, path)
    move_clock(page, "To the end of the month")
    move_clock(page, "Past the due date")
    page.goto(path)
    expect(page.get_by_text("You cannot purchase.")).to_be_visible()
    # The banner and the button follow by themselves, also on a page that was there before.
    expect(page.get_by_role("button", name="Buy")).to_be_disabled()
    shop.stop("finance")
    before = count(shop)
    page.evaluate("document.querySelector('#buy').submit()")
    expect(page.locator("#quantity-says")).to_contain_text("You have an overdue invoice")
    assert count(shop) == before
    shop.start("finance")

    page.goto("/invoices")
    for pay in range(page.get_by_role("button", name="Pay").count(), 0, -1):
        page.get_by_role("button", name="Pay").first.click()
        expect(page.get_by_role("button", name="Pay")).to_have_count(pay - 1)
    expect(page.get_by_text("You cannot purchase.")).to_have_count(0)
    buy(page, path)
    expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
    assert shop.persona(0).customer_id in {event.customer_id for event in shop.shop.open.published(InvoiceOverdue)}


def test_the_button_follows_the_invoices_of_a_customer_and_keeps_what_was_typed(page: Page, shop: Served) -> None:
    path = first_popular(page)
    buy(page, path)
    page.goto(path)
    button, quantity = page.get_by_role("button", name="Buy"), page.get_by_label("How many")
    quantity.fill("7")
    form = page.locator("#buy input[name=id]").input_value()
    for move in ("month", "due"):
        shop.shop.move_clock(MOVES[move](shop.shop.clock.now()))
    expect(button).to_be_disabled()
    expect(quantity).to_have_value("7")
    with shop.shop.open.session(finance) as session:
        pay_everything(session, shop.persona(0).customer_id, shop.shop.clock.now())

    expect(button).to_be_enabled()
    expect(page.get_by_text("You cannot purchase.")).to_have_count(0)
    expect(quantity).to_have_value("7")
    assert page.locator("#buy input[name=id]").input_value() == form, "pressed twice, it is one purchase"


def test_an_overdue_customer_sees_what_to_pay_on_every_page(page: Page, shop: Served) -> None:
    be(page, shop.persona(OVERDUE))
    for path in ("/", "/products", "/invoices", "/tour"):
        page.goto(path)
        expect(page.locator("[data-slot=owed]")).to_contain_text("to pay")
    page.locator("[data-slot=owed] a").first.click()
    expect(page.get_by_role("heading", name=re.compile("Invoice for"))).to_be_visible()


def test_prices_are_those_of_the_viewer(page: Page, shop: Served) -> None:
    path = first_popular(page)
    page.goto(path)
    plain = page.locator("#offer .price").inner_text()
    be(page, shop.persona(AGREEMENT))
    page.goto(path)
    expect(page.locator("#offer")).to_contain_text("your agreement, 8 % off")
    assert page.locator("#offer s").inner_text().endswith(plain)
    be(page, shop.persona(BULK))
    buy(page, path, quantity=48)
    expect(page.locator("#bought")).to_contain_text("from 48 units, 5 % off")


def test_a_new_customer_enters_an_address_once(page: Page, shop: Served) -> None:
    be(page, shop.persona(NEW))
    path = first_popular(page)
    page.goto("/purchases")
    expect(page.locator(".empty")).to_contain_text("You have not purchased anything yet")
    page.goto(path)
    page.get_by_label("To which country").fill("Iceland")
    page.get_by_role("button", name="Buy").click()
    expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
    page.goto(path)
    expect(page.get_by_label("To which country")).to_have_count(0)
    page.goto("/office/packing")
    expect(page.locator("#packing tbody tr").first).to_contain_text("Iceland")


def test_a_cancelled_purchase_is_neither_billed_nor_sent(page: Page) -> None:
    buy(page, first_popular(page))
    page.goto("/purchases")
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.locator("#list tbody tr").first).to_contain_text("cancelled 2 May 2011")
    page.goto("/timeline")
    # A month that is closed before Finance has consumed the cancellation bills the purchase.
    cancelled = page.locator("[data-event=PurchaseCancelled]").first
    for component in ("finance", "shipping"):
        expect(cancelled.locator(f"[data-subscriber={component}]")).to_have_attribute("data-state", "consumed")
    move_clock(page, "To the end of the month")
    page.goto("/purchases")
    expect(page.locator("#list tbody tr").first).to_contain_text("cancelled 2 May 2011")
    page.goto("/office/months")
    expect(page.locator("#months")).to_contain_text("May 2011")
    open_invoice(page, "May 2011")
    expect(page.locator("#sheet tbody")).not_to_contain_text("2 May 2011")


def test_what_cannot_be_right_is_refused_beside_its_field_and_what_was_written_stays(page: Page, shop: Served) -> None:
    path = first_popular(page)
    before = count(shop)
    page.goto(path)
    page.get_by_label("How many").fill("a few")
    page.get_by_role("button", name="Buy").click()
    expect(page.locator("#quantity-says")).to_contain_text("Write a number")
    expect(page.get_by_label("How many")).to_have_value("a few")
    page.goto("/office/catalog/new")
    page.get_by_label("Price in pounds").fill("free")
    page.get_by_role("button", name="List the product").click()
    expect(page.locator("#name-says")).to_contain_text("A name has from 1")
    expect(page.locator("#price-says")).to_contain_text("Write the price in pounds")
    assert count(shop) == before


def test_a_new_product_is_taken_apart_between_its_owners_and_completed_when_one_was_away(
    page: Page, shop: Served
) -> None:
    page.goto("/office/catalog/new")
    page.get_by_label("Name").fill("MOON LAMP")
    page.get_by_label("Price in pounds").fill("12.50")
    shop.stop("finance")
    page.get_by_role("button", name="List the product").click()
    expect(page.get_by_role("alert")).to_contain_text("Finance has not saved the price yet.")
    shop.start("finance")
    page.get_by_role("button", name="List the product").click()
    expect(page.get_by_role("heading", name="Moon Lamp")).to_be_visible()
    expect(page.locator("#known")).to_contain_text("£12.50")
    page.goto("/products?text=moon+lamp")
    expect(page.locator("#found .card")).to_have_count(1)


def test_a_renamed_product_keeps_its_name_on_issued_invoices(page: Page) -> None:
    page.goto("/invoices")
    page.locator("#list a").first.click()
    before = page.locator("#sheet tbody").inner_text()
    page.goto("/purchases")
    product = page.locator("#list tbody a").first.get_attribute("href") or ""
    page.goto(product.replace("/products/", "/office/catalog/"))
    page.get_by_label("Name", exact=True).fill("SOMETHING ELSE")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Something Else")).to_be_visible()
    page.goto("/invoices")
    page.locator("#list a").first.click()
    assert page.locator("#sheet tbody").inner_text() == before


def test_an_invoice_is_printed_without_what_belongs_to_the_screen(page: Page) -> None:
    page.goto("/invoices")
    page.locator("#list a").first.click()
    expect(page.locator("header")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    expect(page.locator("#sheet .hint")).to_be_hidden()
    expect(page.locator("#sheet table")).to_be_visible()


def test_a_withdrawn_product_stays_but_is_not_sold(page: Page) -> None:
    path = first_popular(page)
    page.goto(path.replace("/products/", "/office/catalog/"))
    press(page, "Withdraw")
    page.goto(path)
    expect(page.get_by_text("Withdrawn on 2 May 2011")).to_be_visible()
    expect(page.get_by_role("button", name="Buy")).to_have_count(0)


def test_sending_a_form_twice_purchases_once(browser: Browser, shop: Served) -> None:
    with a_visitor(browser, shop, java_script_enabled=False) as page:
        path = first_popular(page)
        before = count(shop)
        page.goto(path)
        identifier = page.locator("input[name=id]").input_value()
        page.get_by_role("button", name="Buy").dblclick()
        # The second click ends the first one's navigation: only the page's address is looked at, not how it came there.
        expect(page).to_have_url(re.compile(rf"/purchases/{identifier}$"))
        assert count(shop) == before + 1


def test_everything_works_without_javascript(browser: Browser, shop: Served) -> None:
    with a_visitor(browser, shop, java_script_enabled=False) as page:
        page.goto("/")
        page.get_by_label("Search products").fill("lunch bag")
        page.get_by_role("button", name="Search").click()
        page.locator("#found .card a").first.click()
        page.get_by_role("button", name="Buy").click()
        expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
        page.goto("/invoices")
        page.get_by_role("button", name="Pay").first.click()
        expect(page.locator("#list tbody tr").first).to_contain_text("paid")


def test_the_timeline_updates_without_a_reload(page: Page, shop: Served) -> None:
    page.goto("/timeline")
    before = page.locator("[data-event]").count()
    assert before > 0
    first = page.locator("[data-event]").first.inner_text()
    shop.shop.customer.purchase_one()
    expect(page.locator("[data-event]").first).not_to_have_text(first)
    shown = page.locator("[data-event=ItemPurchased]").first
    expect(shown.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "consumed")
    assert shown.locator("th").all_inner_texts() == [
        "product_id",
        "customer_id",
        "purchased_at",
        "purchase_id",
        "quantity",
    ]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, "sent by another site"),
        ({"Origin": "http://elsewhere.example"}, "sent by another site"),
        ({}, "open for too long"),
        ({"Content-Length": "99999"}, "larger than any form"),
    ],
)
def test_a_form_of_another_site_or_without_its_token_changes_nothing(
    shop: Served, headers: dict[str, str], says: str
) -> None:
    before = count(shop)
    body = b"id=7a0c7d5e-3a55-4b8e-9d0c-2f3d0d6a1c11&product=7a0c7d5e-3a55-4b8e-9d0c-2f3d0d6a1c11&quantity=1"
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    path = "/products/7a0c7d5e-3a55-4b8e-9d0c-2f3d0d6a1c11"
    request = urllib.request.Request(shop.address + path, body, form, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value:
        assert refused.value.code == 403
        assert says in refused.value.read().decode()
    assert count(shop) == before


@pytest.mark.parametrize("path", ["/nowhere", "/products/nonsense", "/purchases/nonsense"])
def test_an_unknown_address_shows_a_page_that_says_so(shop: Served, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(shop.address + path, timeout=10)
    with refused.value:
        assert refused.value.code == 404
        assert "There is no page at this address." in refused.value.read().decode()


def test_every_answer_forbids_what_comes_from_elsewhere(shop: Served) -> None:
    with urllib.request.urlopen(f"{shop.address}/", timeout=10) as answer:
        policy = answer.headers["Content-Security-Policy"]
        cookie = answer.headers["Set-Cookie"].lower()
        text = answer.read().decode()
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
