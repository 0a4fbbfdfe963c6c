"""What the tests of the command line share: a shop that the environment names, and running one command on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import Run, runner
from support.processes import RunningShop, running_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as shop:
        for name, value in shop.environment.items():
            monkeypatch.setenv(name, value)
        yield shop


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)
