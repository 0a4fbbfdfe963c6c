"""The public API stands in a file of its own, so that every change to it is seen.

`PYTHONPATH=tests python tests/architecture/test_public_api.py` writes it anew.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from support.public_api import MODULES, entries

FILE = Path(__file__).with_name("public_api.txt")


def listing() -> str:
    """Every public name with its signature, one a line."""
    lines: list[str] = []
    for module in MODULES:
        for entry in entries(module):
            lines.append(f"{module}.{entry.name}{entry.signature}")
            lines += [f"    {member.name}{member.signature}" for member in entry.members]
    return "\n".join(lines) + "\n"


def test_the_public_api_is_what_the_file_says() -> None:
    assert listing() == FILE.read_text(encoding="utf-8"), (
        "the public API has changed; if that is meant: PYTHONPATH=tests python tests/architecture/test_public_api.py"
    )


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_is_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)

    assert sorted(module.__all__) == list(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


if __name__ == "__main__":
    FILE.write_text(listing(), encoding="utf-8")
