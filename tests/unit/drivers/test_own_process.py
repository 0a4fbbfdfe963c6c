"""A connection is refused in a process that was forked from the one that opened it; stories do that with real forks."""

from __future__ import annotations

import os
import sqlite3

import pytest

from preterite.drivers.own_process import require_own_process
from preterite.drivers.postgres_guard import GuardedConnection
from preterite.drivers.sqlite_guard import GuardedConnection as GuardedFile
from preterite.errors import UsageError


def test_a_connection_of_this_process_is_accepted() -> None:
    with sqlite3.connect(":memory:", factory=GuardedFile) as connection:
        require_own_process(connection.process)
    connection.close()


def test_another_ones_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        UsageError, match=rf"opened by another process, 1, .*process {os.getpid()}.*dispose\(close=False\)"
    ):
        require_own_process(1)


def test_only_the_process_that_opened_a_connection_may_close_it() -> None:
    connection = GuardedConnection.__new__(GuardedConnection)
    found: dict[int, bool] = {}
    for process in (0, 1, os.getpid()):
        connection.process = process
        found[process] = connection.belongs_here
    assert found == {0: True, 1: False, os.getpid(): True}
