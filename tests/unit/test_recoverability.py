"""Failure + history → retry now, later, or dead letter: a pure decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from preterite.recoverability import DeadLetter, Decision, Recoverability, RetryBudget, RetryLater, RetryNow


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


def test_an_error_that_is_pointless_to_retry_is_final_at_once() -> None:
    policy = Recoverability(unrecoverable=(KeyError,))

    assert policy.decide(1, 0.5, error=KeyError("no price")) == DeadLetter()
    assert policy.decide(1, 0.5, error=ValueError("locked")) == RetryNow()
    assert policy.decide(1, 0.5) == RetryNow()


# the budget


def test_retries_are_a_tenth_of_successes_while_others_wait() -> None:
    budget = RetryBudget()
    while budget.spend(0.0):
        pass
    budget.earn(50)

    assert [budget.spend(0.5) for _ in range(7)] == [True] * 5 + [False] * 2


def test_where_nothing_succeeds_one_retry_a_second_is_left() -> None:
    budget = RetryBudget()
    while budget.spend(0.0):
        pass

    assert [budget.spend(now) for now in (0.9, 1.0, 1.5, 2.0)] == [False, True, False, True]


def test_successes_are_not_saved_up_without_end() -> None:
    budget = RetryBudget()
    budget.earn(1_000_000)

    assert [budget.spend(0.0) for _ in range(20)].count(True) == 10
