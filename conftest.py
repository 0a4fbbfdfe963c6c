"""Runs the quick tier of tests, or every test with `--all`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import tiers

MEMORY = Path("/dev/shm")
MEMORY_FREE_BYTES = 4 * 2**30
"""Below this, temporary files stay where they are."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all`."""
    parser.addoption("--all", action="store_true", help="run every test; without it only the quick tier")


def pytest_configure(config: pytest.Config) -> None:
    """Make samples whole for `--all`, and put temporary files into memory. No property fails because it took long."""
    _work_in_memory()
    # As the profile `ci` of Hypothesis has it, which CI asks for.
    settings.register_profile("no-deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("no-deadline")
    if config.getoption("--all"):
        tiers.run_everything()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow, unless the command line names its file or asks for all; then the longest begin."""
    if config.getoption("--all"):
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        items[:] = tiers.in_shares(items, _file, workers)
        return
    here = config.invocation_params.dir
    named = {(here / argument.partition("::")[0]).resolve() for argument in config.args}
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if item.path in named or _tier(item) != tiers.SLOW else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell the test's support which tier it may be slow in."""
    tiers.begin(_tier(item) or tiers.QUICK)


@pytest.fixture(autouse=True)
def _leaves_its_process_as_it_was() -> Generator[None]:
    """A test that leaves another working directory, or logging switched off, breaks others of the same process."""

    def what_others_rely_on() -> tuple[object, ...]:
        return Path.cwd(), logging.root.manager.disable, logging.getLogger("preterite").level

    before = what_others_rely_on()
    yield
    assert what_others_rely_on() == before


def _work_in_memory() -> None:
    """Databases of tests are in memory: no test needs them after a power failure, and a disk is a third of the time."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _tier(item: pytest.Item) -> str | None:
    return tiers.tier_of(_file(item), is_marked=item.get_closest_marker("slow") is not None)


def _file(item: pytest.Item) -> str:
    return str(item.path.relative_to(Path(__file__).parent))
