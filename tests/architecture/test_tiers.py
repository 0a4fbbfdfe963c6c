"""Every test is in a tier, and the two commands that run them run all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import tiers

ROOT = Path(__file__).parents[2]
OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
FILES = {
    str(path.relative_to(ROOT))
    for folder in ("tests", "examples", "src", "benchmarks")
    for pattern in OPTIONS["python_files"]
    for path in (ROOT / folder).rglob(pattern)
}
REASONS = {tiers.POSTGRES, tiers.PROCESSES, tiers.BROWSER, tiers.CRASH, tiers.WORLDS, tiers.BENCHMARKS, tiers.YEAR}


def test_every_file_of_tests_is_collected_and_in_a_tier() -> None:
    outside = {file for file in FILES if not file.startswith(tuple(f"{path}/" for path in OPTIONS["testpaths"]))}

    assert outside == set()
    assert {file for file in FILES if tiers.tier_of(file, is_marked=False) is None} == set()


def test_every_folder_and_file_that_the_tiers_name_is_there_and_every_reason_is_known() -> None:
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in FILES)
    marked = re.findall(r'^@pytest\.mark\.slow\((?:"(.*?)")?\)$', text, re.MULTILINE)

    assert {folder for folder in tiers.FOLDERS if not (ROOT / folder).is_dir()} == set()
    assert {*tiers.SLOW_FILES, *tiers.LONGEST} - FILES == set()
    assert {*marked, *tiers.SLOW_FILES.values()} <= REASONS


def test_a_marked_test_and_a_slow_file_are_left_out_of_the_quick_tier_and_nothing_else_of_a_quick_folder_is() -> None:
    assert tiers.tier_of("tests/unit/test_clock.py", is_marked=False) == tiers.QUICK
    assert tiers.tier_of("tests/unit/test_clock.py", is_marked=True) == tiers.SLOW
    assert tiers.tier_of("tests/stores/test_postgres.py", is_marked=False) == tiers.SLOW
    assert tiers.tier_of("elsewhere/test_clock.py", is_marked=False) is None


def test_one_command_runs_the_quick_tier_and_one_runs_all() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.search(r"^test:.*\n\t\$\(PYTEST\)$", makefile, re.MULTILINE)
    assert re.search(r"^test-all:.*\n\t\$\(PYTEST\) --all$", makefile, re.MULTILINE)


def test_no_property_fails_because_a_machine_is_slow() -> None:
    now = settings()
    assert now.deadline is None
    assert HealthCheck.too_slow in now.suppress_health_check


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 64])
def test_each_worker_begins_with_a_file_of_the_longest_and_no_test_is_lost(workers: int) -> None:
    tests = [(file, number) for file in sorted(FILES) for number in range(3)]
    ordered = tiers.in_shares(tests, lambda test: test[0], workers)
    begun: list[str] = []
    start = 0
    for worker in range(workers):
        begun.append(ordered[start][0])
        start += (len(tests) - start) // (workers - worker)

    assert sorted(ordered) == tests
    assert begun[: len(tiers.LONGEST)] == list(tiers.LONGEST[:workers])
