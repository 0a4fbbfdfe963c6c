"""The web shop for tests: filled once with a few customers, served on loopback, and a browser to walk in it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support import tiers

from retail.web.__main__ import opened
from retail.web.app import application
from retail.web.connections import PromptProtocol
from retail.web.opening import PERSONAS, prepare
from retail.web.personas import Persona
from retail.web.shop import Shop

EVERY = 12
PATIENT_SECONDS = 10.0
"""How long optional parts may take in tests: a busy machine is no reason to show a fallback."""
WAIT_MS = 20_000
KEY = "of the back office"
CHROMIUM = os.environ.get("PRETERITE_CHROMIUM", "/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
REQUIRED = os.environ.get("PRETERITE_TEST_BROWSER") == "required"
PLAIN, AGREEMENT, BULK, OVERDUE, NEW = range(5)


@cache
def filled() -> Path:
    """A folder with a filled shop, which no test changes."""
    folder = Path(mkdtemp(prefix="preterite-shop-"))
    prepare(folder, every=EVERY)
    return folder


def forget() -> None:
    """Delete what `filled` has made, if it has."""
    if filled.cache_info().currsize:
        shutil.rmtree(filled(), ignore_errors=True)


@dataclass
class Served:
    """A shop that is served, and where."""

    shop: Shop
    address: str

    def persona(self, number: int) -> Persona:
        """One of those one can be."""
        return self.shop.personas.all[number]

    def stop(self, component: str) -> None:
        """Stop a component."""
        self.shop.running.stop(self.shop.open.components[component])

    def start(self, component: str) -> None:
        """Start it again."""
        self.shop.running.start(self.shop.open.components[component])


@contextmanager
def served(folder: Path, *, optional_seconds: float = PATIENT_SECONDS) -> Generator[Served]:
    """A fresh copy of the filled shop, served at a free port."""
    for file in filled().iterdir():
        shutil.copy(file, folder / file.name)
    assert (folder / PERSONAS).exists()
    with opened(folder, optional_seconds=optional_seconds) as shop:
        app = application(shop, "of this test", KEY)
        server = uvicorn.Server(
            uvicorn.Config(app, http=PromptProtocol, log_level="error", timeout_graceful_shutdown=1)
        )
        # Of a socket that says that it is TCP's, small answers are not held back.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        # Connections made before the server is ready wait in line.
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(shop, f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            listening.close()


@contextmanager
def a_browser() -> Generator[Browser]:
    """Debian's Chromium, without a window. Tests that need it are skipped, with the reason, where there is none."""
    tiers.slow_only(tiers.BROWSER)
    if not Path(CHROMIUM).exists():
        reason = f"there is no browser at {CHROMIUM}: scripts/browser install gets it from Debian's packages"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def a_visitor(browser: Browser, at: Served, *, signed_in: bool = True, **options: object) -> Generator[Page]:
    """A browser window on the shop, with its back office; what its console complains of fails the test."""
    context: BrowserContext = browser.new_context(base_url=at.address, **options)  # pyright: ignore[reportArgumentType]
    complaints: list[str] = []
    if signed_in:
        sign_in(context)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    # What the browser says of an answer with an error status is no complaint: it is what was asked for.
    others = [said for said in complaints if "the server responded with a status of" not in said]
    assert others == [], others


def sign_in(context: BrowserContext) -> None:
    """Open the back office for the windows of this context."""
    form = context.request.get("/sign-in").text()
    token = form.partition('name="token" value="')[2].partition('"')[0]
    answer = context.request.post("/sign-in", form={"token": token, "key": KEY, "to": "/office/terms"})
    assert answer.url.endswith("/office/terms")


def press(page: Page, button: str) -> None:
    """Press a button of a form, and wait for the page that answers: what is opened before it would be interrupted.

    The page that answers is known by what it lacks: `expect_navigation` can end with the page before it.
    """
    page.evaluate("document.documentElement.dataset.pressed = 'yes'")
    page.get_by_role("button", name=button).click()
    page.locator("html:not([data-pressed])").wait_for(state="attached")
    page.wait_for_load_state()


def be(page: Page, persona: Persona) -> None:
    """Act as this persona."""
    page.goto("/personas")
    press(page, persona.name)
    page.wait_for_url("**/")


def buy(page: Page, path: str, quantity: int = 1) -> None:
    """Buy a product."""
    page.goto(path)
    page.get_by_label("How many").fill(str(quantity))
    press(page, "Buy")


def open_invoice(page: Page, month: str) -> None:
    """Open the invoice of a month by its address: a click may meet a list that is being replaced."""
    page.goto("/invoices")
    address = page.get_by_role("link", name=month).get_attribute("href")
    assert address is not None
    page.goto(address)


def move_clock(page: Page, button: str) -> None:
    """Move the clock on the operations page."""
    page.goto("/office")
    press(page, button)
