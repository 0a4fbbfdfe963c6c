"""The pytest fixture: `start_system(system, at=…)` starts a system that is closed when the test ends."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

import pytest

from preterite.system import System
from preterite.testing import SEED, StartedSystem, started


class StartSystem(Protocol):
    """What the fixture gives: `started` without the `with`."""

    def __call__(self, system: System, *, at: str | datetime = ..., seed: int = SEED) -> StartedSystem: ...


@pytest.fixture
def start_system() -> Generator[StartSystem]:
    """Start systems that are closed when the test ends."""
    with ExitStack() as stack:

        def start(system: System, *, at: str | datetime = "2013-07-30T12:00Z", seed: int = SEED) -> StartedSystem:
            return stack.enter_context(started(system, at=at, seed=seed))

        yield start
