"""What SECURITY.md says is checked: each of the 25 checks names a test that there is, or says why there is none."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (C\d+) [^|]*\| ([^|]+) \| ([^|]+) \|$", (ROOT / "SECURITY.md").read_text(), flags=re.MULTILINE)


def test_each_of_the_25_checks_has_a_row() -> None:
    assert [number for number, _, _ in ROWS] == [f"C{number}" for number in range(1, 26)]


@pytest.mark.parametrize(("number", "holds", "held_by"), ROWS, ids=[number for number, _, _ in ROWS])
def test_a_check_names_a_test_or_says_why_there_is_none(number: str, holds: str, held_by: str) -> None:
    named = re.fullmatch(r"`(.+)::(\w+)`", held_by)
    if named is None:
        assert held_by == "does not apply" or held_by.startswith("no test"), f"{number}: {holds}"
        return
    tree = ast.parse((ROOT / named[1]).read_text())

    assert named[2] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_rules_of_bandit_are_part_of_every_check() -> None:
    """By ruff, which has them and needs no network; whole folders of the package are excused of none of them."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    excused = lint["per-file-ignores"]

    assert "S" in lint["select"]
    assert [path for path, rules in excused.items() if "S" in rules] == ["{tests,benchmarks,examples/*/tests}/**"]
    assert [rule for rule in lint["ignore"] if re.fullmatch(r"S\d+", rule)] == ["S101"]


def test_every_dependency_is_pinned_with_its_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    requirements = re.findall(r"^([\w.-]+(?:\[[\w,]+\])?)(.*?)(?=^\w|\Z)", lock, flags=re.MULTILINE | re.DOTALL)

    assert requirements
    assert [name for name, rest in requirements if not (rest.startswith("==") and "--hash=sha256:" in rest)] == []
