"""Which tests run when. `pytest` runs the quick tier, without servers; `pytest --all` runs every test.

A file is in the tier of its folder, unless it stands in `SLOW_FILES`; `@pytest.mark.slow("why")` moves a single test
out of the quick tier. A file or a test that the command line names is run whole, whatever its tier.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

QUICK, SLOW = "quick", "slow"
POSTGRES, PROCESSES, BROWSER = "PostgreSQL", "processes", "browser"
CRASH, WORLDS, BENCHMARKS, YEAR = "crash points", "simulated worlds", "benchmarks", "the replayed year"

FOLDERS = {
    "tests/architecture": QUICK,
    "tests/checks": QUICK,
    "tests/composition": QUICK,
    "tests/crash": SLOW,
    "tests/docs": QUICK,
    "tests/evolution": QUICK,
    "tests/fuzz": QUICK,
    "tests/integrations": QUICK,
    "tests/logs": QUICK,
    "tests/mutants": QUICK,
    "tests/simulation": QUICK,
    "tests/stores": QUICK,
    "tests/stories": QUICK,
    "tests/unit": QUICK,
    "examples/retail/tests": QUICK,
}
SLOW_FILES = {
    "tests/checks/test_recording_postgres.py": POSTGRES,
    "tests/checks/test_sql_dump.py": POSTGRES,
    "tests/checks/test_rights.py": POSTGRES,
    "tests/composition/test_composer_postgres.py": POSTGRES,
    "tests/crash/test_crash_points.py": CRASH,
    "tests/logs/test_postgres.py": POSTGRES,
    "tests/stores/test_postgres.py": POSTGRES,
    "tests/stores/test_postgres_floor.py": POSTGRES,
    "tests/stories/when_a_process_dies.py": PROCESSES,
    "tests/stories/when_a_year_passes.py": YEAR,
    "tests/stories/when_workers_share.py": PROCESSES,
    "examples/retail/tests/test_hostile_requests.py": PROCESSES,
    "examples/retail/tests/test_pages_are_usable.py": BROWSER,
    "examples/retail/tests/when_a_component_joins_the_year.py": YEAR,
    "examples/retail/tests/when_an_owner_is_away.py": BROWSER,
    "examples/retail/tests/when_people_shop.py": BROWSER,
    "examples/retail/tests/when_the_demo_meets_another_file.py": PROCESSES,
    "examples/retail/tests/when_the_tour_is_walked.py": BROWSER,
    "examples/retail/tests/when_the_year_is_replayed.py": YEAR,
}
LONGEST = (
    "tests/unit/handling/test_session_programs.py",
    "examples/retail/tests/when_the_year_is_replayed.py",
    "tests/simulation/test_simulation.py",
    "tests/stories/when_a_year_passes.py",
    "tests/stories/when_the_zoo_is_let_in.py",
    "tests/unit/publishing/test_units_that_user_code_ends.py",
    "tests/crash/test_crash_points.py",
)
"""Files that take minutes, the longest first. They begin first, so that no processor waits for one at the end.

What a file's tests share is made once only where one worker runs them all.
"""
_ALL = "PRETERITE_TEST_ALL"
_running: list[str] = []


def run_everything() -> None:
    """Samples are whole from now on, in this process and those that it starts."""
    os.environ[_ALL] = "1"


def sample(quick: T, everything: T) -> T:
    """How many examples, seeds or cuts: fewer in the quick tier."""
    return everything if os.environ.get(_ALL) else quick


def in_shares(tests: Sequence[T], file_of: Callable[[T], str], workers: int) -> list[T]:
    """The order in which each worker begins with some of the longest files.

    xdist gives each worker a consecutive share of the tests; who has none left takes some from the end of another's.
    """
    longest: list[list[T]] = [[] for _ in range(workers)]
    for number, file in enumerate(LONGEST):
        longest[number % workers] += [test for test in tests if file_of(test) == file]
    others = [test for test in tests if file_of(test) not in LONGEST]
    ordered: list[T] = []
    for worker, first in enumerate(longest):
        share = (len(tests) - len(ordered)) // (workers - worker)
        after = max(share - len(first), 0)
        ordered += [*first, *others[:after]]
        del others[:after]
    return ordered


def tier_of(file: str, *, is_marked: bool) -> str | None:
    """The tier of a test in a file, by its path from the project's root; None if its folder has no tier."""
    folder = next((one for one in FOLDERS if file.startswith(f"{one}/")), None)
    if folder is None:
        return None
    return SLOW if is_marked or file in SLOW_FILES else FOLDERS[folder]


def begin(tier: str) -> None:
    """Note the tier of the test that begins."""
    _running[:] = [tier]


def slow_only(what: str) -> None:
    """Fail a test of the quick tier that uses a server, a browser or processes."""
    if _running == [QUICK] and os.environ.get("PRETERITE_TEST_STORE", "sqlite") == "sqlite":
        pytest.fail(f'{what}: mark the test @pytest.mark.slow("{what}"), see tests/support/tiers.py')
