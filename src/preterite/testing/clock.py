"""A clock that a test moves; machine time goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from preterite.clock import SystemClock
from preterite.errors import UsageError


def instant(at: str | datetime) -> datetime:
    """The instant that a text such as "2011-03-01T10:00Z" names; UTC where it names no zone; raises `UsageError`."""
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, AttributeError):
        raise UsageError(f"{at!r} is no instant; write one as in '2011-03-01T10:00Z', or pass a datetime.") from None


class MovableClock(SystemClock):
    """Business time as a test wants it. Leases and time limits use the machine's clock, which is not moved."""

    def __init__(self, at: datetime) -> None:
        self._now = at
        self._next_due: Callable[[], datetime | None] = lambda: None
        self._settle: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self._now

    def to(self, at: str | datetime) -> None:
        """Move on to this instant, and settle at every moment on the way at which something is due."""
        until = instant(at)
        if until < self._now:
            raise ValueError(f"The clock is at {self._now.isoformat()} and cannot go back to {until.isoformat()}.")
        while (due := self._next_due()) is not None and due <= until:
            self._now = max(due, self._now)
            self._settle()
            if self._next_due() == due:
                break
        self._now = until

    def advance(self, by: timedelta) -> None:
        """Move on by this much, as `to` does."""
        self.to(self._now + by)

    def settle_with(self, next_due: Callable[[], datetime | None], settle: Callable[[], None]) -> None:
        """Set what is due next and how to settle."""
        self._next_due = next_due
        self._settle = settle

    @staticmethod
    def at_timestamp(seconds: float) -> datetime:
        """The first instant, in whole microseconds, that is not before so many seconds after 1970."""
        nearest = datetime.fromtimestamp(seconds, UTC)
        return nearest if nearest.timestamp() >= seconds else nearest + timedelta(microseconds=1)
