"""What `pytest` gains: systems under test, given-when-then, and tests that fail where they cross a boundary.

    [tool.pytest.ini_options]
    preterite_boundaries = "shop.system:system"

records what every test runs, and fails the test that first crosses; what accepted.toml names is passed over.
Needs `preterite[check]`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from preterite.contracts import Event
from preterite.system import System
from preterite.testing import SEED, StartedSystem, started
from preterite.testing.scenario import Act, Scenario

BOUNDARIES = "preterite_boundaries"
BEGINNING = "2013-07-30T12:00Z"


class StartSystem(Protocol):
    """What the fixture gives: `started` without the `with`."""

    def __call__(self, system: System, *, at: str | datetime = ..., seed: int = SEED) -> StartedSystem: ...


class Given(Protocol):
    """What the fixture gives: a scenario of a system, and what has happened in it."""

    def __call__(self, system: System, *what: Event | Act, at: str | datetime = ...) -> Scenario: ...


@pytest.fixture
def start_system() -> Generator[StartSystem]:
    """Start systems that are closed when the test ends."""
    with ExitStack() as stack:

        def start(system: System, *, at: str | datetime = BEGINNING, seed: int = SEED) -> StartedSystem:
            return stack.enter_context(started(system, at=at, seed=seed))

        yield start


@pytest.fixture
def given(start_system: StartSystem) -> Given:
    """Begin a scenario: `given(system, what has happened).when(what happens).then(what is told)`."""

    def begin(system: System, *what: Event | Act, at: str | datetime = BEGINNING) -> Scenario:
        return Scenario(start_system(system, at=at)).given(*what)

    return begin


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting."""
    parser.addini(BOUNDARIES, "module:attribute of the system whose boundaries tests must not cross", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record, if there is anything to record for."""
    name = str(config.getini(BOUNDARIES))
    if name:
        config.pluginmanager.register(Boundaries(name, config.rootpath), "preterite-boundaries")


class Boundaries:
    """Records from the first test to the last, and tells each test what it has crossed first."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._root = root
        self._stack = ExitStack()
        self._recorder: Any = None
        self._told: set[str] = set()

    def pytest_sessionstart(self) -> None:
        """The system is imported here, and not before."""
        from preterite.checks import accepted
        from preterite.checks.recording import recording

        self._told = {entry.key for entry in accepted.read(self._root / accepted.FILE)}
        self._recorder = self._stack.enter_context(recording(self._system()))

    def _system(self) -> System:
        """The system that is named, seen from the project's root."""
        module, _, attribute = self._name.partition(":")
        if str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            raise pytest.UsageError(f"{BOUNDARIES} = {self._name}: {error}.") from error
        if not isinstance(found, System):
            raise pytest.UsageError(f"{BOUNDARIES} = {self._name}: {module} has no System called {attribute!r}.")
        return found

    def pytest_sessionfinish(self) -> None:
        """Record no more."""
        self._stack.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test that passes but for what it has crossed."""
        outcome = yield
        fresh = [one for one in self._recorder.findings() if one.key not in self._told]
        self._told.update(one.key for one in fresh)
        failing = [one for one in fresh if one.about.severity == "error"]
        if failing:
            from preterite.checks.report import full

            pytest.fail(f"{item.name} crosses a boundary:\n\n{full(failing, self._root)}", pytrace=False)
        return outcome
