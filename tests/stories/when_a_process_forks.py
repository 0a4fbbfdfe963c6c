"""An application that is loaded once and forked into its workers afterwards, as gunicorn does with --preload."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from support.any_store import log_place, places, sql
from support.forking_shop import CHILDREN, UNITS
from support.import_path import import_path
from support.process_shop import finance, sales, system
from support.processes import PATIENCE_SECONDS


def test_rows_and_events_of_parent_and_children_stand_together(tmp_path: Path) -> None:
    assert _run(tmp_path, "after") == 0
    assert _purchases(tmp_path) == _billed(tmp_path)
    assert _purchases(tmp_path).total() == 2 + (CHILDREN + 1) * UNITS * 2


def test_a_connection_that_is_carried_into_a_child_is_refused(tmp_path: Path) -> None:
    assert _run(tmp_path, "across") == 0
    assert _purchases(tmp_path) == _billed(tmp_path)


def test_a_child_that_closes_what_it_has_not_used_leaves_the_parent_alone(tmp_path: Path) -> None:
    assert _run(tmp_path, "unused") == 0
    assert _purchases(tmp_path) == _billed(tmp_path)


def test_pages_are_composed_in_parent_and_children_whatever_was_running_at_the_fork(tmp_path: Path) -> None:
    assert _run(tmp_path, "pages") == 0
    assert _purchases(tmp_path) == _billed(tmp_path)


def _run(folder: Path, how: str) -> int:
    urls = {
        f"PRETERITE_{name.upper()}_URL": url for name, url in places(folder, ("sales", "finance", "shipping")).items()
    }
    environment = {**os.environ, **urls, "PRETERITE_LOG_URL": log_place(folder), "PYTHONPATH": import_path()}
    command = [sys.executable, "-m", "support.forking_shop", how]
    return subprocess.run(command, env=environment, cwd=folder, timeout=PATIENCE_SECONDS, check=False).returncode


def _purchases(folder: Path) -> Counter[str]:
    return _read(folder, "sales", "select id from purchase")


def _billed(folder: Path) -> Counter[str]:
    return _read(folder, "finance", "select purchase from bill")


def _read(folder: Path, component: str, query: str) -> Counter[str]:
    owner = {"sales": sales, "finance": finance}[component]
    urls = places(folder, ("sales", "finance", "shipping"))
    with system.open(databases=urls, log=log_place(folder)) as shop, shop.connection(owner) as connection:
        return Counter(row[0] for row in connection.execute(sql(query)))
