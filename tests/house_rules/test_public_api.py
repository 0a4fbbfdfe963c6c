"""The public API stands in a file of its own, so that every change to it is seen.

`python tests/house_rules/test_public_api.py` writes it anew.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("public_api.txt")
MODULES = (
    "preterite",
    "preterite.composition",
    "preterite.composition.web",
    "preterite.errors",
    "preterite.testing",
    "preterite.testing.conformance",
)


def listing() -> str:
    """Every public name with its signature, one a line."""
    lines: list[str] = []
    for name in MODULES:
        module = importlib.import_module(name)
        for public in _names(module):
            lines += _entry(f"{name}.{public}", getattr(module, public))
    return "\n".join(lines) + "\n"


def _names(module: Any) -> list[str]:
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(name for name in dir(module) if getattr(getattr(module, name), "__module__", "") == module.__name__)


def _entry(name: str, value: Any) -> list[str]:
    if not inspect.isclass(value):
        return [f"{name}{inspect.signature(value)}" if inspect.isroutine(value) else name]
    if issubclass(value, BaseException):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        return [f"{name}({bases})"]
    lines = [f"{name}{_signature(value)}"]
    for member, found in sorted(vars(value).items()):
        if member.startswith(("_", "test_")):
            continue
        if inspect.isfunction(found):
            lines.append(f"    {member}{inspect.signature(found)}")
        elif isinstance(found, property):
            lines.append(f"    {member}: property")
    return lines


def _signature(value: type) -> str:
    try:
        return str(inspect.signature(value))
    except ValueError:
        return ""


def test_the_public_api_is_what_the_file_says() -> None:
    assert listing() == FILE.read_text(encoding="utf-8"), (
        "the public API has changed; if that is meant: python tests/house_rules/test_public_api.py"
    )


def test_every_public_name_of_the_root_can_be_imported() -> None:
    root = importlib.import_module("preterite")

    assert sorted(root.__all__) == root.__all__
    assert all(hasattr(root, name) for name in root.__all__)


if __name__ == "__main__":
    FILE.write_text(listing(), encoding="utf-8")
