"""Attempts to open what is out of reach: bounded waits between them, one at a time."""

from __future__ import annotations

import itertools
import threading

import pytest

from preterite.clock import SystemClock
from preterite.drivers.attempts import OPEN_SECONDS_MAX, OPEN_SECONDS_MIN, Attempts
from preterite.errors import StoreUnavailable


class SteppingClock(SystemClock):
    """Machine time that a test moves."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def test_attempts_are_made_after_growing_waits_and_the_last_reason_is_given_meanwhile() -> None:
    clock = SteppingClock()
    made: list[float] = []

    def attempt() -> None:
        made.append(clock.seconds)
        raise StoreUnavailable(f"attempt {len(made)}")

    attempts = Attempts(clock, StoreUnavailable("no route"))
    reasons: set[str] = set()
    for _ in range(400):
        with pytest.raises(StoreUnavailable) as raised:
            attempts.run(attempt)
        reasons.add(str(raised.value))
        clock.seconds += OPEN_SECONDS_MIN / 4
    waits = [after - before for before, after in itertools.pairwise(made)]

    assert made[0] == 100.0 + OPEN_SECONDS_MIN
    assert waits == sorted(waits)
    assert max(waits) == OPEN_SECONDS_MAX
    assert {"no route", "attempt 1", attempts.reason} <= reasons


def test_while_one_thread_attempts_it_others_get_the_last_reason_at_once() -> None:
    clock = SteppingClock()
    attempts = Attempts(clock, StoreUnavailable("no route"))
    clock.seconds += OPEN_SECONDS_MIN
    entered, released = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        released.wait()

    opening = threading.Thread(target=attempts.run, args=[slow])
    opening.start()
    entered.wait()
    with pytest.raises(StoreUnavailable, match="no route"):
        attempts.run(slow)
    released.set()
    opening.join()
