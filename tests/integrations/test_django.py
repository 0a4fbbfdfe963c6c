"""A unit of work on Django's connection does what the page about web applications says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import postgres
from support.import_path import import_path

Came = Mapping[str, tuple[str | None, int, int]]


def run(folder: Path, urls: Mapping[str, str]) -> Came:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
    environment = {**kept, **urls, "PYTHONPATH": import_path()}
    command = [sys.executable, "-m", "support.django_units"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: (raised, rows, events) for name, (raised, rows, events) in json.loads(done.stdout).items()}


@pytest.fixture(scope="module", params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.slow("PostgreSQL"))])
def came(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Came]:
    """What came of each way to use a unit of work in Django: the error, and the rows and events that it added."""
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        if request.param == "PostgreSQL":
            make = stack.enter_context(postgres.databases())
            urls = {f"PRETERITE_{name.upper()}_URL": make(name) for name in ("sales", "log")}
        yield run(tmp_path_factory.mktemp("django"), urls)


def test_in_an_outermost_atomic_a_unit_commits_with_all_that_django_does_in_it(came: Came) -> None:
    assert came["in_durable_atomic"] == (None, 2, 1)


def test_an_atomic_inside_is_a_savepoint_that_takes_its_events_along(came: Came) -> None:
    assert came["savepoint_inside"] == (None, 1, 1)


def test_what_raises_in_the_unit_keeps_nothing(came: Came) -> None:
    assert came["raises_inside"] == ("KeyError", 0, 0)


def test_the_unit_commits_at_its_own_end_whatever_the_atomic_around_it_does_after(came: Came) -> None:
    assert came["raises_after"] == ("KeyError", 1, 1)
    assert came["set_rollback"] == (None, 1, 1)


def test_without_an_atomic_around_it_a_unit_commits_and_refuses_those_inside(came: Came) -> None:
    raised, *kept = came["atomic_inside_alone"]

    assert came["without_atomic"] == (None, 1, 1)
    assert raised is not None
    assert kept == [0, 0]


def test_in_an_inner_atomic_django_misses_its_savepoint_and_a_durable_one_refuses_before(came: Came) -> None:
    assert came["in_inner_atomic"] == ("OperationalError", 1, 1)
    assert came["durable_in_another_atomic"] == ("RuntimeError", 0, 0)


def test_the_object_of_django_is_refused(came: Came) -> None:
    assert came["object_of_django"] == ("ConfigurationError", 0, 0)
