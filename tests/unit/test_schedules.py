"""When a calendar's next moment is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as some

from preterite.schedules import DAILY, MONTHLY, Schedule, schedule_fault

FIXED = ("30 2 * * *", "15,45 1,2 * * *", "0 0 * * *", "0 0 1 * *", "5 0-3 * * 0", "30 23 * * *")
ON_THE_CLOCK = ("0 * * * *", "*/10 * * * *", "*/10 3 * * *", "*/30 * 1 * *", "0 */2 * * *", "* 2 * * 0")
AROUND = timedelta(hours=30)


def next_after(expression: str, at: str, timezone: str = "UTC") -> str:
    moment = Schedule(expression, timezone).next_after(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert moment.tzinfo is UTC
    return f"{moment:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("expression", "at", "then"),
    [
        (MONTHLY, "2011-01-31T23:59", "2011-02-01 00:00"),
        (MONTHLY, "2011-02-01T00:00", "2011-03-01 00:00"),
        (DAILY, "2011-12-31T12:00", "2012-01-01 00:00"),
        ("0 0 29 2 *", "2011-03-01T00:00", "2012-02-29 00:00"),
        ("*/15 9-10 * * 1-5", "2011-01-07T10:45", "2011-01-10 09:00"),
    ],
)
def test_the_next_moment_is_the_first_one_after(expression: str, at: str, then: str) -> None:
    assert next_after(expression, at) == then


@cache
def changes(zone: ZoneInfo) -> tuple[datetime, ...]:
    """A moment within a minute after each change of the clocks, from 1990 to 2035."""
    days = [datetime(1990, 1, 1, tzinfo=UTC) + timedelta(days=5 * number) for number in range(73 * 45)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    found: list[datetime] = []
    for day, offset, after in zip(days, offsets, offsets[1:], strict=False):
        if offset != after:
            low, high = day, day + timedelta(days=5)
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if middle.astimezone(zone).utcoffset() == offset else (low, middle)
            found.append(high)
    return tuple(found)


@some.composite
def moments_around_changes(draw: some.DrawFn) -> tuple[ZoneInfo, datetime, datetime]:
    """A zone, and two moments, in order, near a change of its clocks, if it has any."""
    zone = ZoneInfo(draw(some.sampled_from(sorted(available_timezones()))))
    change = draw(some.sampled_from(changes(zone) or (datetime(2013, 7, 30, tzinfo=UTC),)))
    one, other = (change + draw(some.timedeltas(-AROUND, AROUND)) for _ in range(2))
    return zone, min(one, other), max(one, other)


@given(moments_around_changes(), some.sampled_from(FIXED + ON_THE_CLOCK))
def test_in_every_zone_the_next_moment_is_later_and_the_same_from_wherever_it_is_asked(
    where: tuple[ZoneInfo, datetime, datetime], expression: str
) -> None:
    zone, earlier, later = where
    schedule = Schedule(expression, zone.key)

    following = schedule.next_after(earlier)

    assert following > earlier
    assert (schedule.next_after(later) == following) == (following > later)


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    assert next_after("30 2 * * *", "2013-03-31T00:00", "Europe/Berlin") == "2013-03-31 01:00"


def test_a_time_that_comes_twice_counts_once() -> None:
    assert next_after("30 2 * * *", "2013-10-27T00:00", "Europe/Berlin") == "2013-10-27 00:30"
    assert next_after("30 2 * * *", "2013-10-27T00:30", "Europe/Berlin") == "2013-10-28 01:30"


def test_what_is_wrong_is_said_in_words() -> None:
    assert schedule_fault(Schedule(DAILY)) is None
    assert schedule_fault(Schedule("0 0 32 * *")) == "'0 0 32 * *' is no cron expression: Bad day-of-month"
    assert schedule_fault(Schedule(DAILY, "Mars/Base")) == "'Mars/Base' is no time zone known here"
