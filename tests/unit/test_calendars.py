"""When a calendar's next moment is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from preterite.calendars import DAILY, MONTHLY, Schedule, schedule_fault


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


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    assert next_after("30 2 * * *", "2013-03-31T00:00", "Europe/Berlin") == "2013-03-31 01:00"


def test_a_time_that_comes_twice_counts_once() -> None:
    assert next_after("30 2 * * *", "2013-10-27T00:00", "Europe/Berlin") == "2013-10-27 00:30"
    assert next_after("30 2 * * *", "2013-10-27T00:30", "Europe/Berlin") == "2013-10-28 01:30"


def test_what_is_wrong_is_said_in_words() -> None:
    assert schedule_fault(Schedule(DAILY)) is None
    assert schedule_fault(Schedule("0 0 32 * *")) == "'0 0 32 * *' is no cron expression: Bad day-of-month"
    assert schedule_fault(Schedule(DAILY, "Mars/Base")) == "'Mars/Base' is no time zone known here"
