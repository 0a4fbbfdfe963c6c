"""Takes the pictures of the documents. PYTHONPATH=tests:examples/retail/tests python examples/retail/tests/pictures.py

They are of a new shop: its home page, the timeline after three purchases, and an invoice while Catalog is stopped.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import expect
from web_shop import PLAIN, Served, a_browser, a_visitor, be, buy, forget, served

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
SIZE = {"width": 1100, "height": 720}


def take(shop: Served) -> None:
    """Take the three pictures."""
    with a_browser() as browser:
        with a_visitor(browser, shop, viewport=SIZE) as window:
            be(window, shop.persona(PLAIN))
            window.screenshot(path=FOLDER / "shop-home.png")
            shop.stop("catalog")
            window.goto("/invoices")
            window.locator("main a[href^='/invoices/']").first.click()
            expect(window.locator(".notice").first).to_be_visible()
            window.screenshot(path=FOLDER / "shop-invoice.png")
            shop.start("catalog")
        with a_visitor(browser, shop, viewport=SIZE, color_scheme="dark") as window:
            be(window, shop.persona(PLAIN))
            product = window.locator("main a[href^='/products/']").first.get_attribute("href")
            assert product is not None, "the home page shows popular products"
            for _ in range(3):
                buy(window, product)
            shop.shop.open.wait_settled()
            window.goto("/timeline")
            window.screenshot(path=FOLDER / "shop-timeline.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as shop:
        take(shop)
    forget()
