"""The guided tour, step by step, in one shop: what each step promises to show is seen."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from web_shop import Served, buy, move_clock, open_invoice, press

from retail.web.tour import STEPS

ROOT = Path(__file__).parents[3]


def switch(page: Page, component: str, button: str) -> None:
    """Stop or start a component on the operations page."""
    page.goto("/office")
    press(page, f"{button} {component}")
    expect(page.get_by_role("button", name=f"{'Start' if button == 'Stop' else 'Stop'} {component}")).to_be_visible()


def test_every_step_of_the_tour_shows_what_it_says(page: Page, shop: Served) -> None:
    page.goto("/tour")
    assert page.locator(".steps > li").count() == len(STEPS) == 11
    assert page.locator(".steps h2").all_inner_texts() == [step.title for step in STEPS]

    path = _buy_something(page)
    _raise_its_price(page, path)
    _stop_finance_and_buy_again(page, path)
    _sell_what_has_no_price(page)
    _let_the_month_end(page)
    _do_not_pay(page, path)
    _pay(page, path)
    _stop_catalog_and_look_at_an_invoice(page)
    _let_marketing_come_late(page, path)
    _write_a_line_that_crosses_a_boundary()
    _find_what_is_broken(page, shop)


def _buy_something(page: Page) -> str:
    page.goto("/")
    path = page.locator("#popular_now .card a").first.get_attribute("href") or ""
    buy(page, path)
    for component in ("finance", "shipping", "marketing"):
        expect(page.locator(f"[data-subscriber={component}]")).to_have_attribute("data-state", "consumed")
    page.goto("/timeline")
    carried = page.locator("[data-event=ItemPurchased]").first.locator("th").all_inner_texts()
    assert carried == ["product_id", "customer_id", "purchased_at", "purchase_id", "quantity"]
    return path


def _raise_its_price(page: Page, path: str) -> None:
    page.goto("/purchases")
    billed = page.locator("#list tbody tr").first.locator("td").nth(3).inner_text()
    page.goto(path.replace("/products/", "/office/prices/"))
    page.get_by_label("Price in pounds").fill("77.00")
    press(page, "Save the price")
    page.goto(path)
    expect(page.locator("#offer .price")).to_have_text("£77.00")
    page.goto("/purchases")
    assert page.locator("#list tbody tr").first.locator("td").nth(3).inner_text() == billed


def _stop_finance_and_buy_again(page: Page, path: str) -> None:
    switch(page, "Finance", "Stop")
    page.goto(path)
    expect(page.locator("#offer .notice").first).to_contain_text("Prices are unavailable.")
    press(page, "Buy")
    expect(page.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "pending")
    bought = page.url
    switch(page, "Finance", "Start")
    page.goto(bought)
    expect(page.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "consumed")
    expect(page.locator("#bought [data-slot=billed]")).to_contain_text("£77.00")


def _sell_what_has_no_price(page: Page) -> None:
    page.goto("/office/catalog/new")
    page.get_by_label("Name").fill("A THING WITHOUT A PRICE")
    page.get_by_label("Price in pounds").fill("5.00")
    page.get_by_label("From").fill("2011-05-03")
    press(page, "List the product")
    expect(page.get_by_role("heading", name="A Thing Without A Price")).to_be_visible()
    product = page.url.rpartition("/")[2]
    buy(page, f"/products/{product}")
    expect(page.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "parked")
    bought = page.url
    page.goto(f"/office/prices/{product}")
    page.get_by_label("Price in pounds").fill("4.00")
    press(page, "Save the price")
    expect(page.locator("#history")).to_contain_text("£4.00")
    move_clock(page, "To the next morning")
    page.goto(bought)
    expect(page.locator("#bought [data-slot=billed]")).to_contain_text("£4.00 (1 × £4.00")


def _let_the_month_end(page: Page) -> None:
    move_clock(page, "To the end of the month")
    open_invoice(page, "May 2011")
    amounts = page.locator("#sheet tbody tr td:last-child").all_inner_texts()
    assert {"£77.00", "£4.00"} < set(amounts)
    assert amounts.count("£77.00") == 1, "what was bought before keeps its price"


def _do_not_pay(page: Page, path: str) -> None:
    move_clock(page, "Past the due date")
    page.goto(path)
    expect(page.get_by_text("You cannot purchase.")).to_be_visible()
    expect(page.get_by_role("button", name="Buy")).to_be_disabled()
    expect(page.locator("#buy-says")).to_contain_text("You can buy again once your overdue invoices are paid")


def _pay(page: Page, path: str) -> None:
    page.goto("/invoices")
    for left in range(page.get_by_role("button", name="Pay").count() - 1, -1, -1):
        page.get_by_role("button", name="Pay").first.click()
        expect(page.get_by_role("button", name="Pay")).to_have_count(left)
    expect(page.get_by_text("You cannot purchase.")).to_have_count(0)
    buy(page, path)
    expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()


def _stop_catalog_and_look_at_an_invoice(page: Page) -> None:
    page.goto("/invoices")
    page.get_by_role("link", name="May 2011").click()
    invoice, whole = page.url, page.locator("#sheet tfoot").inner_text()
    switch(page, "Catalog", "Stop")
    page.goto(invoice)
    expect(page.locator("#sheet .notice")).to_contain_text("Product names are unavailable.")
    assert page.locator("#sheet tfoot").inner_text() == whole
    switch(page, "Catalog", "Start")
    page.goto(invoice)
    expect(page.locator("#sheet .notice")).to_have_count(0)


def _let_marketing_come_late(page: Page, path: str) -> None:
    counted = f"/office/popular/{path.rpartition('/')[2]}"
    page.goto(counted)
    before = int(re.findall(r"purchased (\d+) times", page.locator("#list").inner_text())[0])
    switch(page, "Marketing", "Stop")
    page.goto("/")
    expect(page.locator("#popular_now .notice")).to_contain_text("Popular products are unavailable.")
    expect(page.locator("#new_here .card").first).to_be_visible()
    for _ in range(2):
        buy(page, path)
        expect(page.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
    switch(page, "Marketing", "Start")
    page.goto(counted)
    expect(page.locator("#list")).to_contain_text(f"purchased {before + 2} times")


def _write_a_line_that_crosses_a_boundary() -> None:
    command = [str(Path(sys.executable).parent / "preterite"), "check", "-A"]
    coupled = subprocess.run([*command, "coupled.system:system"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert coupled.returncode == 1
    assert "imports-internals" in coupled.stdout
    ours = subprocess.run([*command, "retail.system:system"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ours.returncode, "error" in ours.stdout) == (0, False)


def _find_what_is_broken(page: Page, shop: Served) -> None:
    page.goto("/office")
    page.get_by_role("button", name="Start a drill").click()
    expect(page.get_by_text("A drill: one component is stopped")).to_be_visible()
    broken = shop.shop.running.drill
    assert broken is not None
    right, wrong = broken.name.capitalize(), "Sales" if broken.name == "catalog" else "Catalog"
    page.get_by_role("button", name=f"Start {wrong}").click()
    expect(page.get_by_text("That component was running.")).to_be_visible()
    page.get_by_role("button", name=f"Start {right}").click()
    expect(page.get_by_text(f"It was {right}. You found it in")).to_be_visible()
