"""Who holds a lease, and whether that process is gone for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from preterite.clock import SystemRandomness
from preterite.leases import is_gone, new_owner

TELL = (
    "from preterite.clock import SystemRandomness; from preterite.leases import new_owner; "
    "print(new_owner(SystemRandomness()), flush=True)"
)


def test_no_two_loops_have_one_name() -> None:
    assert new_owner(SystemRandomness()) != new_owner(SystemRandomness())


def test_the_process_itself_is_not_gone() -> None:
    assert not is_gone(new_owner(SystemRandomness()))


def test_a_process_that_runs_is_not_gone_and_one_that_was_killed_is_even_before_anybody_reaps_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{TELL}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    running = is_gone(owner)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    unreaped = is_gone(owner)
    process.communicate()

    assert (running, unreaped, is_gone(owner)) == (False, True, True)


def test_another_process_under_the_same_number_is_not_the_same() -> None:
    machine, pid, started, loop = new_owner(SystemRandomness()).split("/", 3)

    assert is_gone(f"{machine}/{pid}/{int(started) - 1}/{loop}")


@pytest.mark.parametrize("owner", ["", "somebody else", "another:machine/1/2/3", "/1/2/3", "/", "a/b/c/d"])
def test_an_owner_that_cannot_be_looked_up_is_not_taken_for_gone(owner: str) -> None:
    assert not is_gone(owner)
