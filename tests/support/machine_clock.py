"""A clock of which a test moves the machine's time, too: for leases and time limits."""

from __future__ import annotations

from datetime import UTC, datetime

from preterite.testing import MovableClock


class MachineClock(MovableClock):
    """Wall and monotonic time as a test wants them."""

    def __init__(self) -> None:
        super().__init__(datetime(2013, 7, 30, 12, tzinfo=UTC))
        self._wall = 1_000_000.0
        self._monotonic = 0.0

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        """Time passes, on every clock of the machine."""
        self._wall += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """The machine's clock is set; monotonic time does not care."""
        self._wall += seconds
