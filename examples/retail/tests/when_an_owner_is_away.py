"""Every page with each of its owners stopped in turn: what it says, what stays, and how it heals."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Window
from web_shop import OVERDUE, Served, a_visitor, be, served

from preterite.composition import Page
from preterite.composition.pages import needed_for, plan
from retail.marketing.reports import most_popular
from retail.sales.reports import purchases_of
from retail.system import finance, marketing, sales
from retail.web.pages import pages

CASES = [(page, owner) for page in pages for owner in sorted({part.component.name for part in page.parts})]


SLOTS = """without => [...document.querySelectorAll("[data-slot]")]
    .filter(one => {
        const inside = [...one.querySelectorAll("[data-slot]")];
        const around = one.parentElement.closest("[data-slot]");
        return ![one, around, ...inside].some(other => other && without.includes(other.dataset.slot));
    })
    .map(one => [one.dataset.slot, one.innerText])"""


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with served(tmp_path_factory.mktemp("away")) as found:
        yield found


@pytest.fixture(scope="module")
def window(browser: Browser, away: Served) -> Generator[Window]:
    """A visitor who is overdue, so that every slot has something to show."""
    with a_visitor(browser, away) as found:
        be(found, away.persona(OVERDUE))
        yield found


def address_of(page: Page, at: Served) -> str:
    """Where the page is shown about something that there is."""
    viewer = at.persona(OVERDUE).customer_id
    with at.shop.open.session(marketing) as session:
        product = most_popular(session, 1)[0][0]
    with at.shop.open.session(sales) as session:
        purchase = purchases_of(session, viewer, 1)[0].purchase_id
    with at.shop.open.session(finance) as session:
        from retail.finance.accounts import owed

        invoice = owed(session, [viewer])[viewer].invoice_ids[0]
    return page.path.format(product=product, purchase_id=purchase, invoice_id=invoice)


def required(page: Page, owner: str) -> bool:
    return any(part.required for part in page.parts if part.component.name == owner)


def depends_on(page: Page, owner: str) -> set[str]:
    """The slots that cannot be as they are without this owner: its own, and those that it gives identifiers to."""
    steps = plan(page)
    slots = page.slots
    own = {slot for slot, part in slots.items() if part.component.name == owner}
    return {slot for slot in slots if needed_for(steps, [slot]) & own}


def slots_shown(window: Window, without: set[str]) -> list[tuple[str, str]]:
    """What stands in every slot, but for these, and not inside of one of these."""
    found: list[list[str]] = window.evaluate(SLOTS, sorted(without))
    return [(name, text) for name, text in found]


@pytest.mark.parametrize(("page", "owner"), CASES, ids=[f"{page.name}-{owner}" for page, owner in CASES])
def test_a_page_says_what_is_missing_keeps_the_rest_and_heals(
    away: Served, window: Window, page: Page, owner: str
) -> None:
    address = address_of(page, away)
    affected = depends_on(page, owner)
    window.goto(address)
    before = slots_shown(window, affected)
    expect(window.locator(".notice")).to_have_count(0)
    away.stop(owner)
    try:
        answer = window.goto(address)
        assert answer is not None
        assert answer.status == (503 if required(page, owner) else 200)
        if required(page, owner):
            fallbacks = {part.fallback for part in page.parts if part.component.name == owner and part.required}
            assert window.locator("[data-problem='503']").inner_text() in fallbacks
        else:
            _says_what_is_missing(window, page, owner)
            assert slots_shown(window, affected) == before
    finally:
        away.start(owner)
    if not required(page, owner):
        _heals(window)
    window.goto(address)
    assert slots_shown(window, affected) == before


def _says_what_is_missing(window: Window, page: Page, owner: str) -> None:
    missing = window.locator(".notice")
    assert {one.get_attribute("data-state") for one in missing.all()} <= {"stopped"}
    parts = {part.full_name: part.fallback for part in page.parts if part.component.name == owner}
    shown = {one.get_attribute("data-part") or "": one.locator("p").inner_text() for one in missing.all()}
    assert shown.items() <= parts.items()
    asked = {part.full_name for part in page.parts if part.component.name == owner and not _hidden(page, part.slot)}
    assert asked <= set(shown), "each of its slots says so"


def _heals(window: Window) -> None:
    """By itself; where that was tried twice before the owner was back, by the button."""
    whole = window.locator("body:not(:has(.notice))")
    button = window.locator(".notice .button").first
    expect(whole.or_(button)).to_be_visible()
    while not whole.count():
        _try_again(window)
        expect(whole.or_(button)).to_be_visible()


def _try_again(window: Window) -> None:
    """Press the button, if it is still there: what changes meanwhile brings the region anew."""
    window.evaluate("document.querySelector('.notice .button')?.click()")


def _hidden(page: Page, slot: str) -> bool:
    """Whether a slot is not asked where its giver is of the same owner, and so has no sentence of its own."""
    step = next(step for wave in plan(page) for step in wave if step.part.slot == slot)
    givers = [page.slots[source].component for source in step.depends_on if source in page.slots]
    return page.slots[slot].component in givers


def test_after_two_attempts_the_page_offers_a_button(away: Served, window: Window) -> None:
    away.stop("catalog")
    try:
        window.goto("/timeline")
        expect(window.locator(".notice .button")).to_be_visible()
    finally:
        away.start("catalog")
    _try_again(window)
    expect(window.locator(".notice")).to_have_count(0)
    expect(window).to_have_url(re.compile("/timeline$"))


def test_a_stopped_component_consumes_everything_after_its_start(away: Served, window: Window) -> None:
    away.stop("finance")
    window.goto("/products?text=lunch+bag")
    path = window.locator("#found .card a").first.get_attribute("href") or ""
    be(window, away.persona(0))
    window.goto(path)
    expect(window.locator("#offer .notice").first).to_contain_text("Prices are unavailable")
    window.get_by_role("button", name="Buy").click()
    expect(window.get_by_role("heading", name="Thank you for your purchase")).to_be_visible()
    expect(window.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "pending")
    away.start("finance")
    expect(window.locator("[data-subscriber=finance]")).to_have_attribute("data-state", "consumed")
    expect(window.locator("#bought [data-slot=billed]")).to_contain_text("at the end of the month")
    be(window, away.persona(OVERDUE))
