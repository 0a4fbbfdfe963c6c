"""What happens when handling fails: a failure and its history become a decision. Pure; it acts on nothing.

While other events wait, retries get a tenth of what succeeds, and at least one a second: a component whose every
event fails does not spend its time on retries.
"""

from __future__ import annotations

from dataclasses import dataclass

from preterite.printing.raised import is_a

BUDGET_FRACTION = 0.1
"""Retries that each handled event earns while other events wait."""
BUDGET_RETRIES_MAX = 10.0
"""Retries that a component can have saved up."""
BUDGET_FLOOR_SECONDS = 1.0
"""Time after which one retry is allowed even if none was earned."""


@dataclass(frozen=True)
class RetryNow:
    """Run it again at once."""


@dataclass(frozen=True)
class RetryLater:
    """Run it again after this many seconds."""

    seconds: float


@dataclass(frozen=True)
class DeadLetter:
    """Set it aside for an operator."""


Decision = RetryNow | RetryLater | DeadLetter


@dataclass(frozen=True)
class Recoverability:
    """How often and when a failed handler is run again.

    `unrecoverable` names exceptions after which running it again is pointless. The number of attempts of one event is
    bounded by immediate and delayed retries together.
    """

    immediate_retries: int = 2
    """Retries at once after the first attempt."""
    delayed_retries: int = 4
    """Retries after a wait, once the immediate ones have failed; then the event becomes a dead letter."""
    first_delay_seconds: float = 5.0
    """The longest wait before the first delayed retry; the wait is drawn at random from 0 up to it."""
    delay_growth: float = 4.0
    """Factor by which the longest wait grows with each delayed retry."""
    delay_seconds_max: float = 3600.0
    """The longest wait before any retry."""
    process_deaths_max: int = 3
    """Attempts after which an event whose handler ended its process becomes a dead letter."""
    unrecoverable: tuple[type[BaseException], ...] = ()
    """Exceptions that make the event a dead letter at once."""

    def decide(
        self, attempts: int, fraction: float, *, error: BaseException | None = None, process_died: bool = False
    ) -> Decision:
        """Decide after the given number of failed attempts (1 = the first has just failed).

        `fraction` is a random number in [0, 1): the wait is drawn from the whole range (full jitter),
        so that what failed together does not return together.
        An event that ended the process is never run again at once.
        """
        if error is not None and is_a(error, self.unrecoverable):
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
    """The retries of a component while other events wait. A success earns a part of one; a retry spends one."""

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
