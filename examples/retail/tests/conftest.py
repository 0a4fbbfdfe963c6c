"""What the tests of the web shop share."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from web_shop import Served, a_browser, a_visitor, forget, served


@pytest.fixture(scope="session", autouse=True)
def _tidy() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    yield
    forget()


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with a_browser() as found:
        yield found


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture
def page(browser: Browser, shop: Served) -> Generator[Page]:
    with a_visitor(browser, shop) as found:
        yield found
