"""When the loops of a process are woken after other processes have committed."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from support.any_store import started
from support.processes import until
from support.shop import declare

from preterite.errors import StoreUnavailable
from preterite.hosting.changes import WATCH_ACTIVE_SECONDS, WATCH_SECONDS, ChangeWatcher, Watched, compared

COMPARISONS = 3000


def woken(versions: list[int], *, waits: bool) -> list[int]:
    """The comparisons after which loops are woken, for the version found by each."""
    watched, found = Watched(), list[int]()
    for number, version in enumerate(versions):
        watched, wakes = compared(watched, version, number * WATCH_ACTIVE_SECONDS, waits=waits)
        found += [number] if wakes else []
    return found


def test_a_change_after_a_pause_wakes_at_once() -> None:
    assert woken([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1], waits=True) == [0, 8]


def test_a_notification_wakes_at_once_however_many_came_before() -> None:
    assert woken([0, 1, 2, 3, 3], waits=False) == [0, 1, 2, 3]


def test_many_changes_in_a_row_wake_once_in_a_while_and_after_the_last() -> None:
    every = round(WATCH_SECONDS / WATCH_ACTIVE_SECONDS + 0.5)

    assert woken([*range(2 * every), 2 * every, 2 * every], waits=True) == [0, every, 2 * every]
    assert woken([*range(every + 2), every + 1, every + 1], waits=True) == [0, every, every + 2]


@pytest.mark.parametrize("seed", range(5))
def test_every_change_wakes_soon_and_the_last_one_at_the_next_comparison(seed: int) -> None:
    chance = random.Random(seed)
    versions = [0]
    while len(versions) < COMPARISONS:
        versions.append(versions[-1] + (chance.random() < chance.choice([0.02, 0.5, 0.98])))
    waken = woken([*versions, versions[-1]], waits=True)
    changes = [number for number in range(1, COMPARISONS) if versions[number] != versions[number - 1]]

    for change in changes:
        next_wake = min(number for number in waken if number >= change)
        assert (next_wake - change) * WATCH_ACTIVE_SECONDS <= WATCH_SECONDS + WATCH_ACTIVE_SECONDS
    assert len(waken) <= len(changes) + 1


def test_one_database_that_is_out_of_reach_keeps_no_other_from_waking_its_loops() -> None:
    shop = declare()
    with started(shop.system) as opened, opened.connection(shop.finance) as connection:
        connection.execute("create table one (n integer)")
        watcher = ChangeWatcher(opened.runtime)
        watcher.step()
        wakes: list[str] = []
        asked: list[str] = []

        def out_of_reach(*, elsewhere: bool = False) -> int:
            asked.append("sales")
            raise StoreUnavailable("no route")

        opened.databases["sales"].version = out_of_reach  # pyright: ignore[reportAttributeAccessIssue]
        opened.runtime.wake_ups.add("finance", lambda: wakes.append("finance"), reads_log=False)
        connection.execute("create table another (n integer)")

        def is_woken() -> bool:
            watcher.step()
            return bool(wakes)

        until(is_woken, "the loops of Finance are woken")
        watcher.close()

    assert asked == ["sales"], "it is left alone for a while"


DESCRIPTORS = 1_200
"""More than fit into the set of descriptors that `select` takes."""


@contextmanager
def beyond_a_thousand() -> Generator[tuple[int, int]]:
    """The two ends of a pipe in a process that has so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * DESCRIPTORS:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * DESCRIPTORS), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(DESCRIPTORS)]
    try:
        held += os.pipe()
        yield held[-2], held[-1]
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_notification_wakes_a_process_that_has_thousands_of_files_open() -> None:
    shop = declare()
    with started(shop.system) as opened, beyond_a_thousand() as (reading, writing):
        watcher = ChangeWatcher(opened.runtime)
        compared_anew: list[bool] = []
        sales = opened.databases["sales"]
        sales.fileno = lambda: reading  # pyright: ignore[reportAttributeAccessIssue] - as of a connection that listens
        sales.version = lambda *, elsewhere=False: compared_anew.append(elsewhere) or 1  # pyright: ignore
        watcher.step()
        before = list(compared_anew)
        os.write(writing, b"a notification")
        watcher.step()
        watcher.close()
        del sales.fileno, sales.version

    assert reading > 1_024
    assert (before, compared_anew) == ([], [True])
