"""The faults that are put into the core on purpose still fit the core."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import preterite
from mutants.__main__ import mutated
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
    assert {str(number) for number in range(1, 22)} - RULES_ELSEWHERE <= rules
    assert max(Counter(mutant.what for mutant in MUTANTS).values()) == 1
