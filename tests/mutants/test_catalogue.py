"""The faults that are put into the core on purpose still fit the core."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import preterite
from mutants.__main__ import in_catalogue_order, in_order, mutated, what_failed
from mutants.catalogue import MUTANTS, Mutant

SOURCE = Path(preterite.__file__).parent
# Ten is measured by the stores' own suites on PostgreSQL, 19 speaks of brokers, 20 of processes.
RULES_ELSEWHERE = {"10", "19", "20"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_fits_and_is_still_python(mutant: Mutant) -> None:
    text = mutated((SOURCE / mutant.file).read_text(encoding="utf-8"), mutant)

    compile(text, mutant.file, "exec")


def test_there_are_forty_and_every_rule_has_one() -> None:
    rules = {mutant.rule for mutant in MUTANTS}

    assert len(MUTANTS) >= 40
    assert {str(number) for number in range(1, 23)} - RULES_ELSEWHERE <= rules
    assert max(Counter(mutant.what for mutant in MUTANTS).values()) == 1


def test_layers_that_noticed_last_time_are_asked_first_and_no_layer_is_left_out() -> None:
    assert in_order({"stories": "", "simulation": ""}) == ["stories", "simulation", "unit", "suite", "crash"]
    assert in_order({}) == ["unit", "suite", "stories", "simulation", "crash"]


def test_a_run_of_some_mutants_keeps_what_is_known_of_the_others_and_of_none_that_is_gone() -> None:
    first, second = (mutant.what for mutant in MUTANTS[:2])
    rows = [{"what": second}, {"what": "gone"}, {"what": first, "rule": "old"}, {"what": first, "rule": "new"}]

    assert in_catalogue_order(rows) == [{"what": first, "rule": "new"}, {"what": second}]


@pytest.mark.parametrize(
    ("code", "output", "failed"),
    [
        (0, "2 passed", None),
        (
            1,
            "FAILED tests/unit/test_x.py::test_a[of two - parts] - assert 1 == 2",
            "tests/unit/test_x.py::test_a[of two",
        ),
        (1, "ERROR tests/unit/test_x.py::test_b", "tests/unit/test_x.py::test_b"),
        (1, "3 worlds, 1 broken", ""),
        (4, "ERROR: not found: tests/unit/test_x.py::test_b", None),
        (5, "no tests ran", None),
    ],
)
def test_a_fault_is_noticed_by_a_test_that_failed_and_never_because_nothing_ran(
    code: int, output: str, failed: str | None
) -> None:
    assert what_failed(code, output) == failed
