"""The coupled shop: every marked line is found with its rule, and no other line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import coupled  # pyright: ignore[reportMissingTypeStubs] - its types are not checked
from coupled.system import system  # pyright: ignore[reportMissingTypeStubs]

from preterite.checks import check
from preterite.checks.rules import RULES

FOLDER = Path(coupled.__file__).parent
URLS = {
    "catalog": "sqlite:///catalog.sqlite",
    "sales": "postgresql://sales:secret@127.0.0.1/shop",
    "finance": "postgresql://finance:secret@127.0.0.1/shop",
    "shipping": "postgresql://sales:secret@127.0.0.1:5432/shop",
    "marketing": "postgresql://postgres@127.0.0.1/marketing",
}
MARKS_MIN, LOOK_ALIKES_MIN = 40, 40
TESTED_ELSEWHERE = {
    "cross-component-sql-at-runtime",
    "waits-while-handling",
    "statement-of-no-component",
    "statement-not-recorded",
    "excess-rights",
    "baseline-stale",
    "module-shared",
    "module-not-understood",
}
"""Rules about what runs, rights, the baseline and modules as such: like those about contracts, tested separately."""
_MARK = re.compile(r"# violation: (?P<rules>[a-z0-9 -]+)")
_TIMES = re.compile(r"(?P<rule>[a-z-]+)(?: (?P<times>\d+))?")


def marked() -> Counter[tuple[str, int, str]]:
    """File, line and rule of every mark."""
    found: Counter[tuple[str, int, str]] = Counter()
    for file in FOLDER.rglob("*.py"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            mark = None if file.name == "__init__.py" else _MARK.search(line)
            for one in _TIMES.finditer(mark["rules"]) if mark else ():
                found[str(file.relative_to(FOLDER)), number, one["rule"]] += int(one["times"] or 1)
    return found


def look_alikes() -> list[tuple[str, int]]:
    """File and line of every `fine` mark."""
    return [
        (str(file.relative_to(FOLDER)), number)
        for file in FOLDER.rglob("*.py")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if "fine:" in line and file.name != "__init__.py"
    ]


def found() -> Counter[tuple[str, int, str]]:
    return Counter(
        (str((one.place.file or FOLDER).relative_to(FOLDER)), one.place.line or 0, one.rule)
        for one in check(system, URLS)
    )


def test_every_marked_line_is_found_and_no_other() -> None:
    actual, expected = found(), marked()

    assert dict(actual - expected) == {}, "found without a mark"
    assert dict(expected - actual) == {}, "marked and not found"


def test_marks_cover_every_rule_and_enough_lines_that_resemble_violations() -> None:
    errors = [rule for _, _, rule in marked().elements() if RULES[rule].severity == "error"]

    assert len(errors) >= MARKS_MIN
    assert len(look_alikes()) >= LOOK_ALIKES_MIN
    of_contracts = {rule.id for rule in RULES.values() if rule.level == "contracts"}
    assert {rule for _, _, rule in marked()} == set(RULES) - TESTED_ELSEWHERE - of_contracts


def test_the_key_of_a_finding_contains_no_line() -> None:
    for one in check(system, URLS):
        assert re.fullmatch(r"[a-z-]+:[a-z]+:[^:]+:[^:]*", one.key), one.key
