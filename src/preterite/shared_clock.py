"""The business clock of a demo: kept beside the log, moved by hand, the same for every process of the system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from preterite.clock import SystemClock
from preterite.errors import UsageError
from preterite.log import MACHINE_TIME, ClockSetting, Log


class SharedClock(SystemClock):
    """Business time as whoever moves the clock has set it. Leases and time limits rest on the machine's clock."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def now(self) -> datetime:
        """The business time, with zone."""
        setting = self._log.clock_setting()
        at = self.wall() + setting.offset_seconds if setting.frozen_at is None else setting.frozen_at
        return datetime.fromtimestamp(at, UTC)

    @property
    def frozen(self) -> bool:
        """Whether it stands still until it is moved."""
        return self._log.clock_setting().frozen_at is not None

    def begin(self, at: datetime) -> None:
        """Let it stand still at an instant, before it was ever moved; raises `UsageError` afterwards."""
        if self._log.clock_setting() != MACHINE_TIME:
            raise UsageError(f"The clock was set already; it stands at {self.now().isoformat()}.")
        self._log.set_clock(ClockSetting(at.timestamp(), 0.0))

    def freeze(self) -> None:
        """Let it stand still where it is."""
        self._log.set_clock(ClockSetting(self.now().timestamp(), 0.0))

    def run(self) -> None:
        """Let it go on from where it stands."""
        self._log.set_clock(ClockSetting(None, self.now().timestamp() - self.wall()))

    def to(self, at: datetime) -> None:
        """Set it to a later instant; raises `UsageError` for an earlier one, since time does not go back."""
        now = self.now()
        if at.utcoffset() is None:
            raise UsageError(f"{at} is a time without zone; the clock was not moved.")
        if at < now:
            raise UsageError(f"The clock stands at {now.isoformat()} and cannot go back to {at.isoformat()}.")
        if self.frozen:
            self._log.set_clock(ClockSetting(at.timestamp(), 0.0))
        else:
            self._log.set_clock(ClockSetting(None, at.timestamp() - self.wall()))

    def advance(self, by: timedelta) -> None:
        """Set it on by this much."""
        self.to(self.now() + by)
