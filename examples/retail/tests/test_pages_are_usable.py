"""Accessible pages: axe finds nothing in light and dark, a phone needs no sideways scrolling, a keyboard is enough.

Screenshots go to `.preterite/screenshots`, or where PRETERITE_SCREENSHOTS says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Window
from web_shop import OVERDUE, Served, a_visitor, be, served
from when_an_owner_is_away import address_of

from preterite.composition import Page
from retail.web.links import ROWS
from retail.web.pages import pages

SCREENSHOTS = Path(os.environ.get("PRETERITE_SCREENSHOTS", ".preterite/screenshots"))
WIDE = {"width": 1200, "height": 850}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
PAGES = [page.name for page in pages]


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with served(tmp_path_factory.mktemp("usable")) as found:
        yield found


@pytest.fixture(scope="module", params=["light", "dark"])
def window(request: pytest.FixtureRequest, browser: Browser, open_shop: Served) -> Generator[Window]:
    with a_visitor(browser, open_shop, color_scheme=request.param, viewport=WIDE) as found:
        be(found, open_shop.persona(OVERDUE))
        yield found


@pytest.fixture(scope="module")
def phone(browser: Browser, open_shop: Served) -> Generator[Window]:
    with a_visitor(browser, open_shop, viewport=PHONE, is_mobile=True, has_touch=True) as found:
        be(found, open_shop.persona(0))
        yield found


def faults(window: Window) -> list[str]:
    """What axe finds, each with where it is."""
    axe: Any = Axe()
    found: Any = axe.run(window).response["violations"]
    return [f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("page", pages, ids=PAGES)
def test_axe_finds_nothing(open_shop: Served, window: Window, page: Page) -> None:
    window.goto(address_of(page, open_shop))
    assert faults(window) == []
    scheme = "dark" if window.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    window.screenshot(path=SCREENSHOTS / f"{page.name}-{scheme}.png")


def test_axe_finds_nothing_where_something_is_missing_refused_or_not_there(open_shop: Served, browser: Browser) -> None:
    with a_visitor(browser, open_shop) as window:
        window.goto("/nowhere")
        assert faults(window) == []
        open_shop.stop("catalog")
        try:
            window.goto("/")
            expect(window.locator(".notice").first).to_be_visible()
            assert faults(window) == []
            window.goto("/products")
            assert faults(window) == []
        finally:
            open_shop.start("catalog")
        window.goto("/office/catalog/new")
        window.get_by_role("button", name="List the product").click()
        expect(window.locator("#name-says")).to_be_visible()
        assert faults(window) == []


@pytest.mark.parametrize("page", pages, ids=PAGES)
def test_a_phone_needs_no_sideways_scrolling(open_shop: Served, phone: Window, page: Page) -> None:
    with_invoices = {"invoice", "purchase"}
    if page.name in with_invoices:
        be(phone, open_shop.persona(OVERDUE))
    phone.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    phone.goto(address_of(page, open_shop))
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    phone.screenshot(path=SCREENSHOTS / f"{page.name}-phone.png")
    for width in (PHONE, NARROW):
        phone.set_viewport_size(width)  # pyright: ignore[reportArgumentType]
        over = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{over} pixels stick out at a width of {width['width']}"


@pytest.mark.parametrize("page", pages, ids=PAGES)
def test_a_page_has_one_heading_names_its_tables_and_lets_fields_be_told_apart(
    open_shop: Served, phone: Window, page: Page
) -> None:
    be(phone, open_shop.persona(OVERDUE))
    phone.goto(address_of(page, open_shop))
    assert phone.locator("h1").count() == 1
    assert phone.title().endswith("The shop")
    assert phone.locator("table:not(:has(caption))").count() == 0
    ids = phone.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids)), "no identifier of the page stands twice"


def test_a_purchase_needs_only_a_keyboard(open_shop: Served, browser: Browser) -> None:
    with a_visitor(browser, open_shop) as window:
        window.goto("/products?text=lunch+bag")
        window.keyboard.press("Tab")
        expect(window.get_by_text("Skip to the content")).to_be_focused()
        window.keyboard.press("Enter")
        for _ in range(40):
            window.keyboard.press("Tab")
            if window.evaluate("document.activeElement.closest('.card') !== null"):
                break
        window.keyboard.press("Enter")
        expect(window.get_by_label("How many")).to_be_visible()
        window.get_by_label("How many").focus()
        window.keyboard.press("Tab")
        outline = window.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where one is can be seen"
        window.keyboard.press("Enter")
        expect(window.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()


def test_focus_and_what_was_typed_stay_while_the_page_follows_what_happens(open_shop: Served, browser: Browser) -> None:
    with a_visitor(browser, open_shop) as window:
        window.goto("/purchases")
        window.get_by_role("link", name="Home").focus()
        window.goto("/timeline")
        button = window.get_by_role("button", name="Start the scripted customer")
        button.focus()
        first = window.locator("[data-event]").first.inner_text()
        open_shop.shop.customer.purchase_one()
        expect(window.locator("[data-event]").first).not_to_have_text(first)
        expect(button).to_be_focused()


ROWS_OF_LINKS = (
    "one => [...new Set([...one.querySelectorAll('a')].map(link => link.getBoundingClientRect().top))].length"
)
LINES = """() => [...document.querySelectorAll('.event th')].map(one => {
    const words = document.createRange(); words.selectNodeContents(one); return words.getClientRects().length })"""


def test_on_a_phone_each_navigation_is_one_row_and_a_name_is_not_broken(open_shop: Served, phone: Window) -> None:
    phone.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    for path in ("/", "/office"):
        phone.goto(path)
        assert [phone.evaluate(ROWS_OF_LINKS, nav) for nav in phone.query_selector_all("header nav")] == [1] * (
            1 + (path != "/")
        )
    be(phone, open_shop.persona(0))
    phone.goto("/timeline")
    lines = phone.evaluate(LINES)
    assert lines
    assert set(lines) == {1}


def test_on_a_phone_products_are_a_list(phone: Window) -> None:
    phone.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    phone.goto("/products")
    heights = phone.evaluate("[...document.querySelectorAll('.card')].map(one => one.getBoundingClientRect().height)")
    assert len(heights) > 12
    assert max(heights) < 120


def test_everything_begins_at_one_left_edge(open_shop: Served, browser: Browser) -> None:
    edges = "['.brand', 'main h1', 'footer p'].map(one => document.querySelector(one).getBoundingClientRect().left)"
    with a_visitor(browser, open_shop, viewport={"width": 1280, "height": 850}) as window:
        for path in ("/", "/products", "/office"):
            window.goto(path)
            assert len(set(window.evaluate(edges))) == 1


def test_who_one_is_can_be_told_from_the_link_that_changes_it(window: Window, open_shop: Served) -> None:
    window.goto("/")
    said = window.locator("header .persona")
    link = said.get_by_role("link", name="change who you are", exact=True)

    assert "you are: " in said.inner_text()
    assert "underline" in link.evaluate("one => getComputedStyle(one).textDecorationLine")
    link.click()
    expect(window).to_have_url(re.compile("/personas$"))


def test_what_is_missing_is_no_box_in_a_box(open_shop: Served, browser: Browser) -> None:
    inside = "one => getComputedStyle(one).backgroundColor"
    with a_visitor(browser, open_shop) as window:
        window.goto("/")
        product = window.locator("main a[href^='/products/']").first.get_attribute("href")
        open_shop.stop("shipping")
        try:
            window.goto(product or "")
            notice = window.locator("#buy .notice")
            expect(notice).to_be_visible()
            assert notice.evaluate(inside) == "rgba(0, 0, 0, 0)"
        finally:
            open_shop.start("shipping")


def test_long_lists_have_pages(open_shop: Served, browser: Browser) -> None:
    with a_visitor(browser, open_shop) as window:
        for path in ("/office/invoices", "/office/packing", "/office/sales", "/office/terms", "/office/months"):
            window.goto(path)
            rows = window.evaluate("[...document.querySelectorAll('.rows')].map(one => one.tBodies[0].rows.length)")
            assert max(rows) <= ROWS
        window.goto("/office/invoices")
        first = window.locator("table.rows").last.inner_text()
        window.get_by_role("link", name="Next in payments").click()
        expect(window.locator("nav[aria-label='Pages of payments']")).to_contain_text("page 2 of")
        assert window.locator("table.rows").last.inner_text() != first
