"""Every story gives its databases back."""

from collections.abc import Iterator

import pytest
from support.any_store import closing_databases


@pytest.fixture(autouse=True)
def _databases() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    with closing_databases():
        yield
