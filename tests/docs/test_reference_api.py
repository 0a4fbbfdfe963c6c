"""`docs/reference/api.md` is what the public modules export, with their docstrings.

`PYTHONPATH=tests python tests/docs/test_reference_api.py` writes it anew.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from support.public_api import MODULES, entries

FILE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"


def page() -> str:
    """The whole document."""
    parts = ["# API reference\n\nGenerated from the code: every name that the public modules export.\n"]
    for module in MODULES:
        summary = (importlib.import_module(module).__doc__ or "").split("\n\n")[0].replace("\n", " ")
        parts.append(f"\n## `{module}`\n\n{summary}\n")
        for entry in entries(module):
            parts.append(f"\n### `{entry.name}{entry.signature}`\n\n{_text(entry.text)}")
            for member in entry.members:
                parts.append(f"\n#### `{entry.name}.{member.name}{member.signature}`\n\n{_text(member.text)}")
    return "".join(parts).replace("\n\n\n", "\n\n").rstrip("\n") + "\n"


def _text(text: str) -> str:
    return f"{text}\n" if text else ""


def test_the_reference_of_the_api_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), (
        "the reference differs from the code: PYTHONPATH=tests python tests/docs/test_reference_api.py"
    )


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
