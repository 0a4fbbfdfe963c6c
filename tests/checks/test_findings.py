"""One finding for each cause, however many places it shows at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preterite import Component, System
from preterite.checks import baseline, check, report
from preterite.checks.findings import NOWHERE, Finding, Place, in_order

places = st.builds(Place, st.sampled_from([None, Path("a.py"), Path("b.py")]), st.sampled_from([None, 1, 2, 30]))
findings = st.builds(
    Finding,
    st.sampled_from(["imports-indirectly", "cross-component-sql"]),
    st.sampled_from(["sales", "finance"]),
    st.sampled_from(["x", "y"]),
    st.just("read"),
    st.sampled_from(["One.", "Another."]),
    places,
)


@given(st.lists(findings, max_size=30))
def test_findings_with_one_cause_become_one_and_keep_every_place(found: list[Finding]) -> None:
    merged = in_order(found)
    indirect = [one.key for one in merged if one.rule == "imports-indirectly"]

    assert len(set(indirect)) == len(indirect)
    assert {(one.key, place) for one in merged for place in one.places if place != NOWHERE} == {
        (one.key, one.place) for one in found if one.place != NOWHERE
    }
    assert {(one.key, one.place, one.message) for one in merged if one.rule != "imports-indirectly"} == {
        (one.key, one.place, one.message) for one in found if one.rule != "imports-indirectly"
    }
    assert in_order(merged) == merged


SHARED, MODULES = 12, 15


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """Sales uses many shared modules in many places; all of them lead to internals by three imports alone."""
    root = tmp_path / "hubs"
    code = {
        "__init__": "",
        "hub": "import hubs.finance.inner\nimport hubs.stock.inner\n",
        "tool": "import hubs.stock.inner\n",
    }
    for name in ("sales", "finance", "stock"):
        code[f"{name}/__init__"] = f"from preterite import Component\n{name} = Component('{name}')\n"
        code[f"{name}/inner"] = ""
    for number in range(SHARED):
        code[f"shared{number}"] = (
            f"import hubs.{'hub' if number % 2 else 'tool'}\nimport hubs.shared{(number + 1) % SHARED}\n"
        )
    for number in range(MODULES):
        code[f"sales/m{number}"] = "".join(f"import hubs.shared{one}\n" for one in range(SHARED))
    for name, text in code.items():
        file = root / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made: list[Component] = []
    for name in ("sales", "finance", "stock"):
        __import__(f"hubs.{name}")
        made.append(getattr(sys.modules[f"hubs.{name}"], name))
    yield System("hubs", made)
    for name in [name for name in sys.modules if name.partition(".")[0] == "hubs"]:
        del sys.modules[name]


def test_an_import_that_many_modules_depend_on_is_one_finding_of_each_component(system: System) -> None:
    found = [one for one in check(system, {}) if one.rule == "imports-indirectly"]

    assert [one.key for one in found] == [
        "imports-indirectly:sales:hubs.finance.inner:through hubs.hub",
        "imports-indirectly:sales:hubs.stock.inner:through hubs.hub",
        "imports-indirectly:sales:hubs.stock.inner:through hubs.tool",
    ]
    assert all(len(one.places) == SHARED * MODULES for one in found)


MANY = Finding(
    "imports-indirectly", "sales", "x", "through y", "Sales imports x.", Place(Path("/p/a.py"), 1),
    tuple(Place(Path("/p/a.py"), line) for line in range(2, 10)),
)  # fmt: skip


def test_every_format_says_that_there_are_further_places() -> None:
    root = Path("/p")
    document: Any = json.loads(report.as_json([MANY], root))
    sarif: Any = json.loads(report.sarif([MANY], root))

    assert "also at a.py:2, a.py:3, a.py:4, a.py:5, a.py:6, and 3 more" in report.full([MANY], root)
    assert report.concise([MANY], root).endswith("Sales imports x. (and 8 more places)")
    assert document[0]["also"][-1] == {"file": "a.py", "line": 9}
    assert len(sarif["runs"][0]["results"][0]["relatedLocations"]) == 8
    assert report.github([MANY], root).endswith("::Sales imports x. (and 8 more places)")


def test_what_is_recorded_keeps_its_places(tmp_path: Path) -> None:
    file = tmp_path / "recorded"
    file.write_text(json.dumps(baseline.recorded_document([MANY], is_whole=True)))

    assert baseline.read_recorded(file) == ([MANY], True)


def test_one_entry_accepts_a_violation_at_all_its_places() -> None:
    assert [one.key for one in baseline.entries_for([MANY], "as it was", date(2026, 1, 1))] == [MANY.key]
