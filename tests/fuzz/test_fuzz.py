"""A sample of each fuzz that `make fuzz` runs; the shop's is beside its other hostile requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random

import pytest
from support import tiers

from fuzz import command_lines, documents
from fuzz.judging import Case, Judge, wrong_in
from preterite.cli import command_line as cli


@pytest.mark.parametrize(
    ("ready", "cases"),
    [(documents.ready, tiers.sample(100, 1_000)), (command_lines.ready, tiers.sample(12, 120))],
    ids=["messages", "command lines"],
)
def test_a_sample_finds_nothing(
    ready: Callable[[], AbstractContextManager[Case]], cases: int, caplog: pytest.LogCaptureFixture
) -> None:
    judge = Judge()
    with ready() as case:
        for seed in range(cases):
            judge.run(case, seed)

    assert judge.findings == []


def test_a_case_that_raises_is_a_finding_with_its_seed() -> None:
    def raises(chance: Random) -> list[str]:
        raise KeyError(chance.random())

    judge = Judge()
    judge.run(raises, 17)

    assert [finding.seed for finding in judge.findings] == [17]
    assert "KeyError" in judge.findings[0].what


def test_output_is_judged_by_its_control_characters_and_by_a_traceback_of_the_command_itself() -> None:
    unexpected = 'preterite: an unexpected error:\n  | File "src/preterite/x.py", line 1, in f\n  | KeyError: 1'

    assert wrong_in("one line\n  | Traceback (most recent call last):") == []
    assert wrong_in("\x1b[31m") == ["printed '\\x1b'"]
    assert ["a traceback: KeyError: 1" in one for one in wrong_in(unexpected)] == [True]


def test_every_command_is_tried_but_those_that_end_when_they_are_stopped() -> None:
    with command_lines.ready() as case:
        assert isinstance(case, command_lines.Commands)
        tried = {" ".join(names) for names, _ in case.commands}

    assert {command.__name__.rpartition(".")[2].replace("_", "-") for command in cli.COMMANDS} - {
        name.partition(" ")[0] for name in tried
    } == set(command_lines.LEFT_OUT)
