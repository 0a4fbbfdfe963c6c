"""What users test with: a system in a test, a clock to move, the fixture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from support.small_shop import ItemPurchased, bills, declare, publish, purchased, texts

from preterite import Recoverability
from preterite.testing import MovableClock, SeededRandomness, instant, started
from preterite.testing.pytest_plugin import StartSystem

NOON = datetime(2011, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2011-03-01T12:00Z", NOON),
        ("2011-03-01T12:00", NOON),
        ("2011-03-01", NOON.replace(hour=0)),
        ("2011-03-01T13:00+01:00", NOON),
        (NOON.astimezone(timezone(timedelta(hours=5))), NOON),
    ],
)
def test_an_instant_is_utc_where_it_names_no_zone(text: str | datetime, moment: datetime) -> None:
    assert instant(text) == moment


def test_the_clock_stands_still_until_it_is_moved_and_never_goes_back() -> None:
    clock = MovableClock(NOON)
    first, second = clock.now(), clock.now()
    clock.advance(timedelta(minutes=5))

    assert first == second == NOON
    assert clock.now() == NOON + timedelta(minutes=5)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.to("2011-03-01T12:00Z")


def test_moving_the_clock_stops_at_every_retry_that_is_due_on_the_way() -> None:
    stops: list[datetime] = []
    clocks: list[MovableClock] = []

    def fails(_purchase: UUID) -> bool:
        stops.append(clocks[0].now())
        return len(stops) < 4

    patient = Recoverability(immediate_retries=0, delayed_retries=5, first_delay_seconds=100.0)
    shop = declare(recoverability=patient, fails=fails)
    with started(shop.system, at=NOON) as opened:
        clocks.append(opened.clock)
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        opened.clock.to("2011-03-02")

        assert bills(opened, shop.finance) == texts("a")
        assert stops == sorted(stops)
        assert len(set(stops)) == 4, "each retry ran at a moment of its own"
        assert opened.clock.now() == instant("2011-03-02")


def test_two_runs_of_one_test_are_the_same() -> None:
    def run() -> list[UUID]:
        shop = declare()
        with started(shop.system, seed=7) as opened:
            publish(opened, shop.sales, purchased("a"))
            opened.settle()
            return [opened.randomness.uuid() for _ in range(3)]

    assert run() == run()
    assert SeededRandomness(1).fraction() == SeededRandomness(1).fraction() != SeededRandomness(2).fraction()


def test_a_system_leaves_nothing_behind() -> None:
    shop = declare()
    with started(shop.system) as opened:
        folder = opened.databases["sales"].url.removeprefix("sqlite:///").rpartition("/")[0]

    assert not Path(folder).exists()


def test_the_fixture_starts_systems_that_end_with_the_test(start_system: StartSystem) -> None:
    shop = declare()
    opened = start_system(shop.system, at="2011-03-01T12:00Z")
    publish(opened, shop.sales, purchased("a"))
    opened.settle()

    assert opened.clock.now() == NOON
    assert len(opened.published(ItemPurchased)) == 1
