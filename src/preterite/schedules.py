"""When a calendar's next moment is. Pure; the expressions and daylight saving time are those of cron.

A fixed local time that a change of the clocks skips comes right after the gap; one that comes twice counts once.
An expression with `*` in its minute or hour, as `*/10 * * * *`, follows the local clock instead: what is skipped does
not come, and what comes twice counts twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from preterite.drivers.extras import missing
from preterite.printing.text import clause

MONTHLY = "0 0 1 * *"
DAILY = "0 0 * * *"
_FIELDS = 5
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


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
            from cronsim import CronSimError
        except ImportError as error:
            raise ValueError(clause(missing("a calendar", error))) from None
        zone = self._zone()
        try:
            return self._next_fixed(at, zone) if zone is UTC or self._is_fixed else self._next_on_the_clock(at, zone)
        except CronSimError as error:
            raise ValueError(f"{self.expression!r} is no cron expression: {error}") from None
        except StopIteration:
            raise ValueError(f"{self.expression!r} never comes") from None

    @property
    def _is_fixed(self) -> bool:
        """Whether it names fixed times of the day; the rule is cron's."""
        fields = self.expression.split()
        return len(fields) == _FIELDS and not any(field.startswith("*") for field in fields[:2])

    def _next_fixed(self, at: datetime, zone: tzinfo) -> datetime:
        from cronsim import CronSim

        moments = (moment.astimezone(UTC) for moment in CronSim(self.expression, at.astimezone(zone)))
        # In the hour that comes twice, the times that follow on the clock belong to its first coming, which is over.
        return next(moment for moment in moments if moment > at)

    def _next_on_the_clock(self, at: datetime, zone: tzinfo) -> datetime:
        """Between two changes of the clocks, local time is UTC and a fixed offset: search one such period at a time."""
        from cronsim import CronSim

        start = at.astimezone(UTC).replace(microsecond=0) + _SECOND
        while True:
            offset = _offset(start, zone)
            local = start.replace(tzinfo=None) + offset
            found = next(CronSim(self.expression, local - _SECOND)).replace(tzinfo=UTC) - offset
            change = _first_change(start, found, zone)
            if change is None:
                return found
            start = change

    def _zone(self) -> tzinfo:
        if self.timezone == "UTC":
            return UTC
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{self.timezone!r} is no time zone known here") from None


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None, "a time in a zone has an offset"
    return offset


def _first_change(start: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """The first second after `start`, up to `end`, at which another offset holds than at `start`."""
    before, offset = start, _offset(start, zone)
    while before < end:
        after = min(before + _DAY, end)
        if _offset(after, zone) == offset:
            before = after
            continue
        while after - before > _SECOND:
            middle = before + (after - before) // 2 // _SECOND * _SECOND
            before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
        return after
    return None


def schedule_fault(schedule: Schedule) -> str | None:
    """What is wrong with a schedule, or nothing."""
    try:
        schedule.next_after(datetime(2013, 7, 30, tzinfo=UTC))
    except ValueError as error:
        return str(error)
    return None
