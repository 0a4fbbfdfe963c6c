"""The business clock of a demo: kept beside the log, moved by commands, the same for every process of the system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from preterite.clock import SystemClock
from preterite.errors import UsageError
from preterite.log.contract import MACHINE_TIME, ClockSetting, Log


class SharedClock(SystemClock):
    """Business time as it was set last. Leases and time limits use the machine's clock."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def now(self) -> datetime:
        """The business time, with zone."""
        setting = self._log.clock_setting()
        at = self.wall() + setting.offset_seconds if setting.frozen_at is None else setting.frozen_at
        return datetime.fromtimestamp(at, UTC)

    @property
    def frozen(self) -> bool:
        """Whether it is stopped until it is moved."""
        return self._log.clock_setting().frozen_at is not None

    def begin(self, at: datetime) -> None:
        """Stop it at an instant, before it was ever moved; raises `UsageError` afterwards."""
        if self._log.clock_setting() != MACHINE_TIME:
            raise UsageError(f"The clock was set already; it is at {self.now().isoformat()}.")
        self._log.set_clock(ClockSetting(at.timestamp(), 0.0))

    def freeze(self) -> None:
        """Stop it at the present moment."""
        self._log.set_clock(ClockSetting(self.now().timestamp(), 0.0))

    def run(self) -> None:
        """Let it run on from its present moment."""
        self._log.set_clock(ClockSetting(None, self.now().timestamp() - self.wall()))

    def to(self, at: datetime) -> None:
        """Set it to a later instant; raises `UsageError` for an earlier one, since time does not go back."""
        now = self.now()
        if at.utcoffset() is None:
            raise UsageError(f"{at} is a time without zone; the clock was not moved.")
        if at < now:
            raise UsageError(f"The clock is at {now.isoformat()} and cannot go back to {at.isoformat()}.")
        if self.frozen:
            self._log.set_clock(ClockSetting(at.timestamp(), 0.0))
        else:
            self._log.set_clock(ClockSetting(None, at.timestamp() - self.wall()))

    def advance(self, by: timedelta) -> None:
        """Set it on by this much; raises `UsageError` where that is beyond the year 9999."""
        now = self.now()
        try:
            at = now + by
        except OverflowError:
            raise UsageError(f"The clock is at {now.isoformat()}; {by} later is beyond the year 9999.") from None
        self.to(at)
