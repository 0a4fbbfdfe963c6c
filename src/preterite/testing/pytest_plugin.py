"""The pytest plugin: systems under test, given-when-then, and tests that fail on violations of boundaries.

    [tool.pytest.ini_options]
    preterite_boundaries = "shop.system:system"

records what every test runs, and fails the first test with a violation that is not in baseline.toml. Needs
`preterite[check]`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from preterite import settings
from preterite.contracts import Event
from preterite.errors import ConfigurationError
from preterite.printing.text import clause
from preterite.system import System
from preterite.testing import SEED, StartedSystem, started
from preterite.testing.scenario import Act, Scenario

BOUNDARIES = "preterite_boundaries"
BEGINNING = "2013-07-30T12:00Z"


class StartSystem(Protocol):
    """The type of the fixture `start_system`: `started` without the `with`."""

    def __call__(self, system: System, *, at: str | datetime = ..., seed: int = SEED) -> StartedSystem: ...


class Given(Protocol):
    """The type of the fixture `given`: a scenario of a system, and what has happened in it."""

    def __call__(self, system: System, *what: Event | Act, at: str | datetime = ...) -> Scenario: ...


@pytest.fixture
def start_system() -> Generator[StartSystem]:
    """Start systems; they are closed when the test ends."""
    with ExitStack() as stack:

        def start(system: System, *, at: str | datetime = BEGINNING, seed: int = SEED) -> StartedSystem:
            return stack.enter_context(started(system, at=at, seed=seed))

        yield start


@pytest.fixture
def given(start_system: StartSystem) -> Given:
    """Begin a scenario: `given(system, what has happened).when(what happens).then(what is published)`."""

    def begin(system: System, *what: Event | Act, at: str | datetime = BEGINNING) -> Scenario:
        return Scenario(start_system(system, at=at)).given(*what)

    return begin


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting."""
    parser.addini(BOUNDARIES, "module:attribute of the system whose boundaries tests must not violate", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the recording if a system is set."""
    name = str(config.getini(BOUNDARIES))
    if name:
        config.pluginmanager.register(Boundaries(name, config.rootpath), "preterite-boundaries")


class Boundaries:
    """Records from the first test to the last; fails each test that is the first with a violation."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._root = root
        self._stack = ExitStack()
        self._recorder: Any = None
        self._known: set[str] = set()
        self._started = 0
        self._is_selected = False
        self._collected = 0
        self._findings: list[Any] = []
        """What was recorded, here and in the processes of pytest-xdist."""
        self._counts: list[list[int]] = []
        self._has_lost_worker = False

    def pytest_sessionstart(self) -> None:
        """Import the system and begin to record."""
        from preterite.checks import baseline
        from preterite.checks.recording import recording

        self._known = {entry.key for entry in baseline.read(self._root / baseline.FILE)}
        system = self._system()
        names = [one.name for one in system.components]
        try:
            urls = settings.database_urls(system.name, names, {}, os.environ, settings.read_project(self._root))
            self._recorder = self._stack.enter_context(recording(system, urls))
        except ConfigurationError as error:
            raise pytest.UsageError(f"{BOUNDARIES} = {self._name}: {error}") from None

    def _system(self) -> System:
        """The system that the setting names; modules are searched in the project's root too."""
        module, _, attribute = self._name.partition(":")
        if str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            raise pytest.UsageError(f"{BOUNDARIES} = {self._name}: {clause(error)}.") from error
        if not isinstance(found, System):
            raise pytest.UsageError(f"{BOUNDARIES} = {self._name}: {module} has no System called {attribute!r}.")
        return found

    def pytest_deselected(self) -> None:
        """Note that not every test runs."""
        self._is_selected = True

    def pytest_runtest_logstart(self) -> None:
        """Count the tests that run in this process."""
        self._started += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over what a process of pytest-xdist has recorded; without it, not everything was."""
        from preterite.checks.baseline import read_document

        output = getattr(node, "workeroutput", {}).get(BOUNDARIES)
        if error is not None or output is None:
            self._has_lost_worker = True
            return
        document, counts, collected, is_selected = output
        self._findings += read_document(document)[0]
        self._counts.append(counts)
        self._collected = max(self._collected, collected)
        self._is_selected = self._is_selected or is_selected

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the recording, and keep what it found for `preterite check --recorded`."""
        from preterite.checks.baseline import RECORDED_KEY, recorded_document
        from preterite.checks.findings import in_order

        findings = in_order([*self._recorder.findings(), *self._findings])
        self._counts.append(list(self._recorder.counts()))
        self._collected = max(self._collected, session.testscollected)
        self._stack.close()
        document = recorded_document(findings, self._is_whole(session))
        output: Any = getattr(session.config, "workeroutput", None)
        cache: pytest.Cache | None = getattr(session.config, "cache", None)
        if output is not None:
            output[BOUNDARIES] = document, self._counts[0], self._collected, self._is_selected
        elif cache is not None and self._started:
            cache.set(RECORDED_KEY, document)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much was recorded, and how much could not be checked."""
        from preterite.checks.recording import Counts

        if self._started:
            counts = Counts(*map(sum, zip(*self._counts, strict=True)))
            terminalreporter.write_line(f"{self._name}: {counts}")

    def _is_whole(self, session: pytest.Session) -> bool:
        """Whether every test of the project has run, here or in the processes of pytest-xdist."""
        is_named = session.config.args_source is pytest.Config.ArgsSource.ARGS
        is_part = self._is_selected or self._has_lost_worker or is_named
        return not is_part and self._started == self._collected

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test that passed, if it has new violations."""
        outcome = yield
        new = [one for one in self._recorder.findings() if one.key not in self._known]
        self._known.update(one.key for one in new)
        failing = [one for one in new if one.definition.severity == "error"]
        if failing:
            from preterite.checks.report import full

            pytest.fail(f"{item.name} violates a boundary:\n\n{full(failing, self._root)}", pytrace=False)
        return outcome
