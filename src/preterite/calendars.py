"""When a calendar's next moment is. Pure; the expressions and daylight saving time are those of cron.

A local time that a change of the clocks skips comes right after the gap; one that comes twice counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

MONTHLY = "0 0 1 * *"
DAILY = "0 0 * * *"


@dataclass(frozen=True)
class Schedule:
    """Moments by a cron expression, read in a time zone."""

    expression: str
    timezone: str = "UTC"

    def __str__(self) -> str:
        return f"{self.expression} {self.timezone}"

    def next_after(self, at: datetime) -> datetime:
        """The first moment after this one, in UTC; raises ValueError with what is wrong with the schedule."""
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise ValueError("calendars need the extra: pip install preterite[calendar]") from error
        try:
            return next(CronSim(self.expression, at.astimezone(self._zone()))).astimezone(UTC)
        except CronSimError as error:
            raise ValueError(f"{self.expression!r} is no cron expression: {error}") from error
        except StopIteration:
            raise ValueError(f"{self.expression!r} never comes") from None

    def _zone(self) -> tzinfo:
        if self.timezone == "UTC":
            return UTC
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{self.timezone!r} is no time zone known here") from error


def schedule_fault(schedule: Schedule) -> str | None:
    """What is wrong with a schedule, or nothing."""
    try:
        schedule.next_after(datetime(2013, 7, 30, tzinfo=UTC))
    except ValueError as error:
        return str(error)
    return None
