"""The coupled twin of the shop: everything that was planted is found where it stands, and nothing else."""

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
PLANTED_MIN, LOOK_ALIKES_MIN = 40, 40
SEEN_ELSEWHERE = {"touched-foreign-table", "waits-while-handling", "rights-reach", "accepted-no-more", "code-untold"}
"""Rules about what runs, about rights, and about the list: they have tests of their own, as those of contracts have."""
_MARKED = re.compile(r"# crosses: (?P<rules>[a-z0-9 -]+)")
_TIMES = re.compile(r"(?P<rule>[a-z-]+)(?: (?P<times>\d+))?")


def planted() -> Counter[tuple[str, int, str]]:
    """File, line and rule of every mark."""
    found: Counter[tuple[str, int, str]] = Counter()
    for file in FOLDER.rglob("*.py"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            marked = None if file.name == "__init__.py" else _MARKED.search(line)
            for one in _TIMES.finditer(marked["rules"]) if marked else ():
                found[str(file.relative_to(FOLDER)), number, one["rule"]] += int(one["times"] or 1)
    return found


def look_alikes() -> list[tuple[str, int]]:
    """File and line of everything that is marked as fine."""
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


def test_everything_planted_is_found_and_nothing_else() -> None:
    seen, wanted = found(), planted()

    assert dict(seen - wanted) == {}, "invented"
    assert dict(wanted - seen) == {}, "missed"


def test_enough_is_planted_over_all_rules_and_enough_only_looks_like_it() -> None:
    errors = [rule for _, _, rule in planted().elements() if RULES[rule].severity == "error"]

    assert len(errors) >= PLANTED_MIN
    assert len(look_alikes()) >= LOOK_ALIKES_MIN
    of_contracts = {rule.id for rule in RULES.values() if rule.level == "contracts"}
    assert {rule for _, _, rule in planted()} == set(RULES) - SEEN_ELSEWHERE - of_contracts


def test_every_finding_has_a_key_that_no_line_is_part_of() -> None:
    for one in check(system, URLS):
        assert re.fullmatch(r"[a-z-]+:[a-z]+:[^:]+:[^:]*", one.key), one.key
