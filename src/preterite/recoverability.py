"""What happens when handling fails: a failure and its history become a decision. Pure; it acts on nothing.

While other events wait, retries get a tenth of what succeeds, and at least one a second: a component whose every
event fails does not spend its time on failing again.
"""

from __future__ import annotations

from dataclasses import dataclass

BUDGET_FRACTION = 0.1
BUDGET_RETRIES_MAX = 10.0
BUDGET_FLOOR_SECONDS = 1.0


@dataclass(frozen=True)
class RetryNow:
    """Run it again at once."""


@dataclass(frozen=True)
class RetryLater:
    """Run it again after this many seconds."""

    seconds: float


@dataclass(frozen=True)
class DeadLetter:
    """Set it aside for a person."""


Decision = RetryNow | RetryLater | DeadLetter


@dataclass(frozen=True)
class Recoverability:
    """How often and when a failed handler is run again.

    `give_up_on` names exceptions after which running it again is pointless. The number of attempts of one event is
    bounded by immediate and delayed retries together.
    """

    immediate_retries: int = 2
    delayed_retries: int = 4
    first_delay_seconds: float = 5.0
    delay_growth: float = 4.0
    delay_seconds_max: float = 3600.0
    process_deaths_max: int = 3
    give_up_on: tuple[type[BaseException], ...] = ()

    def decide(
        self, attempts: int, fraction: float, *, error: BaseException | None = None, process_died: bool = False
    ) -> Decision:
        """Decide after the given number of failed attempts (1 = the first has just failed).

        `fraction` is a random number in [0, 1): the wait is drawn from the whole range (full jitter),
        so that what failed together does not return together.
        An event that ended the process is never run again at once.
        """
        if isinstance(error, self.give_up_on):
            return DeadLetter()
        if process_died and attempts >= self.process_deaths_max:
            return DeadLetter()
        if not process_died and attempts <= self.immediate_retries:
            return RetryNow()
        delays_spent = attempts - 1 if process_died else attempts - 1 - self.immediate_retries
        if delays_spent >= self.delayed_retries:
            return DeadLetter()
        longest = min(self.first_delay_seconds * self.delay_growth**delays_spent, self.delay_seconds_max)
        return RetryLater(longest * fraction)


class RetryBudget:
    """How many retries a component may make while others wait. Told of successes; asked before each retry."""

    def __init__(self) -> None:
        self._left = BUDGET_RETRIES_MAX
        self._spent_at = float("-inf")

    def earn(self, successes: int) -> None:
        """Note events that were handled."""
        self._left = min(self._left + successes * BUDGET_FRACTION, BUDGET_RETRIES_MAX)

    def spend(self, now: float) -> bool:
        """Whether one more retry may be made at this monotonic time; it is counted then."""
        if self._left < 1.0 and now - self._spent_at < BUDGET_FLOOR_SECONDS:
            return False
        self._left = max(self._left - 1.0, 0.0)
        self._spent_at = now
        return True
