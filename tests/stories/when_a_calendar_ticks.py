"""Calendars: every moment is handled once, in order; a missed one comes late, with the time it was meant for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.any_store import log_place, places, sql, started
from support.shop import letters

from preterite import Component, Recoverability, System, Tick, UnitOfWork
from preterite.errors import SystemRefused
from preterite.testing import MovableClock, StartedSystem, instant

START = "2013-07-30T12:00Z"
DAY = timedelta(days=1)


def office(expression: str = "0 0 * * *", **options: str) -> tuple[System, Component, list[datetime]]:
    finance = Component("finance", recoverability=Recoverability(immediate_retries=0, delayed_retries=0))
    moments: list[datetime] = []

    @finance.cron(expression, **options)
    def close(tick: Tick) -> None:
        moments.append(tick.at)

    return System("shop", [finance]), finance, moments


def days(moments: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d}" for moment in moments]


def test_a_calendar_begins_with_the_first_moment_after_the_first_start() -> None:
    system, _, moments = office()
    with started(system, at=START) as shop:
        shop.settle()
        at_once = list(moments)
        shop.clock.to("2013-08-01T00:00Z")

        assert at_once == []
        assert moments == [datetime(2013, 7, 31, tzinfo=UTC), datetime(2013, 8, 1, tzinfo=UTC)]


def test_missed_moments_come_late_in_order_each_once_with_the_time_meant() -> None:
    system, _, moments = office()
    with started(system, at=START) as shop:
        shop.clock.settle_with(lambda: None, lambda: None)
        shop.clock.to("2013-08-03T06:00Z")
        shop.settle()

        assert days(moments) == ["07-31", "08-01", "08-02", "08-03"]


def test_monthly_and_daily_are_plain_words() -> None:
    finance = Component("finance")
    called: list[str] = []

    @finance.monthly()
    def close(tick: Tick) -> None:
        called.append(f"close {tick.at:%m-%d}")

    @finance.daily()
    def count(tick: Tick) -> None:
        called.append(f"count {tick.at:%m-%d}")

    with started(System("shop", [finance]), at=START) as shop:
        shop.clock.to("2013-08-02T00:00Z")
        shop.settle()

        assert called == ["count 07-31", "close 08-01", "count 08-01", "count 08-02"]


def test_moments_are_read_in_the_time_zone_named() -> None:
    system, _, moments = office("30 2 * * *", timezone="Europe/Berlin")
    with started(system, at="2013-10-26T00:00Z") as shop:
        shop.clock.to("2013-10-28T12:00Z")

        assert [f"{moment:%d %H:%M}" for moment in moments] == ["26 00:30", "27 00:30", "28 01:30"]


def test_a_moment_that_fails_holds_up_the_next_ones_of_its_calendar_and_loses_none() -> None:
    finance = Component("finance", recoverability=Recoverability(immediate_retries=0, delayed_retries=0))
    handled: list[str] = []
    broken = [True]

    @finance.daily()
    def close(tick: Tick) -> None:
        if broken[0]:
            raise RuntimeError("no ink")
        handled.append(f"{tick.at:%d}")

    @finance.cron("0 12 * * *")
    def lunch(tick: Tick) -> None:
        handled.append(f"lunch {tick.at:%d}")

    with started(System("shop", [finance]), at=START) as shop:
        shop.clock.to("2013-08-01T13:00Z")
        meanwhile, waiting = list(handled), shop.status()["finance"].counts
        broken[0] = False
        store = shop.databases["finance"].store
        with shop.connection(finance) as connection:
            store.redrive(connection, letters(shop, finance)[0].id)
        shop.settle()

        assert meanwhile == ["lunch 31", "lunch 01"]
        assert (waiting.dead, waiting.parked) == (1, 1)
        assert handled[2:] == ["31", "01"]


def test_what_a_moment_does_and_the_next_moment_commit_together() -> None:
    finance = Component("finance")

    @finance.daily()
    def close(tick: Tick, unit_of_work: UnitOfWork) -> None:
        unit_of_work.new_id()

    with started(System("shop", [finance]), at=START) as shop:
        shop.clock.to("2013-08-01T00:00Z")
        with shop.connection(finance) as connection:
            rows = connection.execute(sql("select due_at from preterite_scheduled")).fetchall()

        assert rows == [(datetime(2013, 8, 2, tzinfo=UTC).timestamp(),)]


def open_at(system: System, folder: Path, at: str) -> tuple[StartedSystem, MovableClock]:
    clock = MovableClock(instant(at))
    from preterite.system import open_as
    from preterite.testing import SeededRandomness

    shop = open_as(
        StartedSystem,
        system,
        databases=places(folder, ["finance"]),
        log=log_place(folder),
        only=["finance"],
        create_tables=True,
        clock=clock,
        randomness=SeededRandomness(),
    )
    return shop, clock


def test_a_calendar_goes_on_where_it_stood_when_the_component_starts_again(tmp_path: Path) -> None:
    first, _, _ = office()
    with open_at(first, tmp_path, START)[0] as shop:
        shop.settle()
    again, _, moments = office()
    with open_at(again, tmp_path, "2013-08-02T12:00Z")[0] as shop:
        shop.settle()

        assert days(moments) == ["07-31", "08-01", "08-02"]


def test_another_schedule_counts_from_now_on_and_what_was_due_still_comes(tmp_path: Path) -> None:
    first, _, _ = office("0 0 * * *")
    with open_at(first, tmp_path, START)[0] as shop:
        shop.settle()
    changed, _, moments = office("0 6 * * *")
    shop, clock = open_at(changed, tmp_path, "2013-07-31T01:00Z")
    with shop:
        shop.settle()
        clock.to("2013-07-31T07:00Z")
        shop.settle()

        assert [f"{moment:%d %H}" for moment in moments] == ["31 00", "31 06"]


def test_a_changed_schedule_drops_the_moment_that_it_no_longer_has(tmp_path: Path) -> None:
    first, _, _ = office("0 0 * * *")
    with open_at(first, tmp_path, START)[0] as shop:
        shop.settle()
    changed, _, moments = office("0 6 * * *")
    shop, clock = open_at(changed, tmp_path, "2013-07-30T13:00Z")
    with shop:
        clock.to("2013-07-31T07:00Z")
        shop.settle()

        assert [f"{moment:%d %H}" for moment in moments] == ["31 06"]


def test_a_calendar_under_a_new_name_goes_on(tmp_path: Path) -> None:
    first, _, _ = office()
    with open_at(first, tmp_path, START)[0] as shop:
        shop.settle()
    renamed, _, moments = office(name="close_day", renamed_from="close")
    with open_at(renamed, tmp_path, "2013-08-01T12:00Z")[0] as shop:
        shop.settle()

        assert days(moments) == ["07-31", "08-01"]


def test_a_schedule_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SystemRefused, match="'every day' is no cron expression"):
        office("every day")[0].verify()
    with pytest.raises(SystemRefused, match="'Mars/Base' is no time zone known here"):
        office("0 0 * * *", timezone="Mars/Base")[0].verify()
    with pytest.raises(SystemRefused, match=r"never comes|no cron expression"):
        office("0 0 31 2 *")[0].verify()


def test_a_moment_is_handled_once_however_many_workers_there_are(tmp_path: Path) -> None:
    system, _, moments = office()
    shops = [open_at(system, tmp_path, START) for _ in range(3)]
    for shop, _ in shops:
        shop.settle()
    for shop, clock in shops:
        clock.settle_with(lambda: None, lambda: None)
        clock.to("2013-08-03T06:00Z")
        shop.settle()
    for shop, _ in shops:
        shop.close()

    assert days(moments) == ["07-31", "08-01", "08-02", "08-03"]
