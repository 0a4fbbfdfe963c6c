"""Failure + history → retry now, later, or dead letter: a pure decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from preterite import Recoverability
from preterite.recoverability import DeadLetter, Decision, RetryLater, RetryNow


def decisions(policy: Recoverability, *, process_died: bool = False) -> list[Decision]:
    """What is decided after the first, second, third … failure, with the longest waits that can be drawn."""
    found: list[Decision] = []
    while not found or not isinstance(found[-1], DeadLetter):
        found.append(policy.decide(len(found) + 1, 1.0, process_died=process_died))
    return found


def test_at_once_then_later_with_growing_waits_then_dead() -> None:
    policy = Recoverability(immediate_retries=2, delayed_retries=3, first_delay_seconds=10, delay_growth=5)

    assert decisions(policy) == [RetryNow(), RetryNow(), RetryLater(10), RetryLater(50), RetryLater(250), DeadLetter()]


def test_no_wait_is_longer_than_the_longest() -> None:
    policy = Recoverability(immediate_retries=0, delayed_retries=3, first_delay_seconds=10, delay_seconds_max=60)

    assert decisions(policy) == [RetryLater(10), RetryLater(40), RetryLater(60), DeadLetter()]


def test_without_retries_the_first_failure_is_final() -> None:
    assert decisions(Recoverability(immediate_retries=0, delayed_retries=0)) == [DeadLetter()]


def test_what_ends_the_process_is_never_run_again_at_once_and_soon_not_at_all() -> None:
    policy = Recoverability(first_delay_seconds=10, delay_growth=5, process_deaths_max=3)

    assert decisions(policy, process_died=True) == [RetryLater(10), RetryLater(50), DeadLetter()]


@given(some.integers(1, 100), some.floats(0, 1, exclude_max=True), some.booleans())
def test_the_wait_is_drawn_from_the_whole_range(attempts: int, fraction: float, died: bool) -> None:
    decision = Recoverability().decide(attempts, fraction, process_died=died)

    if isinstance(decision, RetryLater):
        assert 0 <= decision.seconds <= Recoverability().delay_seconds_max
        longest = Recoverability().decide(attempts, 1.0, process_died=died)
        assert isinstance(longest, RetryLater)
        assert decision.seconds == longest.seconds * fraction
