"""A status that is read while relays and receivers work: it is quiet only when nothing is left."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from support.shop import id_of
from support.tiers import sample

from preterite import Component, Event, OpenSystem, System, UnitOfWork
from preterite.clock import SystemClock
from preterite.hosting.runtime import close_all
from preterite.loop import Loop
from preterite.operations.status_reader import StatusReader
from preterite.testing import started

HOPS = 7
SEED = 19
STEPS_MAX = 4


class PassedBySales(Event, key="parcel_id"):
    parcel_id: UUID
    hops_left: int


class PassedByFinance(Event, key="parcel_id"):
    parcel_id: UUID
    hops_left: int


class PassedByShipping(Event, key="parcel_id"):
    parcel_id: UUID
    hops_left: int


def ring() -> tuple[System, Component, list[int]]:
    """Three components that pass a parcel round, and the hops that were left at each of them."""
    sales = Component("sales", publishes=[PassedBySales])
    finance = Component("finance", publishes=[PassedByFinance])
    shipping = Component("shipping", publishes=[PassedByShipping])
    handled: list[int] = []

    @finance.handles(PassedBySales)
    def pass_to_shipping(event: PassedBySales, unit_of_work: UnitOfWork) -> None:
        handled.append(event.hops_left)
        if event.hops_left > 1:
            unit_of_work.publish(PassedByFinance(parcel_id=event.parcel_id, hops_left=event.hops_left - 1))

    @shipping.handles(PassedByFinance)
    def pass_to_sales(event: PassedByFinance, unit_of_work: UnitOfWork) -> None:
        handled.append(event.hops_left)
        if event.hops_left > 1:
            unit_of_work.publish(PassedByShipping(parcel_id=event.parcel_id, hops_left=event.hops_left - 1))

    @sales.handles(PassedByShipping)
    def pass_to_finance(event: PassedByShipping, unit_of_work: UnitOfWork) -> None:
        handled.append(event.hops_left)
        if event.hops_left > 1:
            unit_of_work.publish(PassedBySales(parcel_id=event.parcel_id, hops_left=event.hops_left - 1))

    return System("ring", [sales, finance, shipping]), sales, handled


class WorkingClock(SystemClock):
    """The machine's clock; whenever the status asks it for the time, some loops work."""

    def __init__(self, loops: list[Loop], chance: random.Random) -> None:
        self._loops = loops
        self._chance = chance

    def wall(self) -> float:
        for _ in range(self._chance.randrange(STEPS_MAX)):
            self._chance.choice(self._loops).step()
        return super().wall()


def status_is_quiet(reader: StatusReader, _clock: WorkingClock) -> bool:
    return all(status.is_quiet for status in reader.status().values())


def is_quiet(reader: StatusReader, clock: WorkingClock) -> bool:
    """The short reading. It may end before it asks for the time: loops also work between two of them."""
    clock.wall()
    return reader.is_quiet()


READINGS = {"status": status_is_quiet, "is_quiet": is_quiet}


def readings_until(quiet: Callable[[], bool], opened: OpenSystem, sales: Component) -> int:
    """Publish, then read until it is quiet."""
    with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        unit_of_work.publish(PassedBySales(parcel_id=id_of("a"), hops_left=HOPS))
    readings = 1
    while not quiet():
        readings += 1
    return readings


@pytest.mark.parametrize("reading", READINGS)
def test_a_quiet_status_means_that_nothing_is_left_however_work_and_reading_interleave(reading: str) -> None:
    system, sales, handled = ring()
    seen: set[int] = set()
    with started(system) as opened:
        loops: list[Loop] = [opened.runtime.relay(name) for name in opened.components]
        loops += [opened.runtime.receiver(name) for name in opened.components]
        clock = WorkingClock(loops, random.Random(SEED))
        reader = StatusReader(opened.topology, opened.databases, opened.log, clock)
        for number in range(sample(20, 600)):
            handled.clear()
            seen.add(readings_until(partial(READINGS[reading], reader, clock), opened, sales))
            assert len(handled) == HOPS, f"reading {number}: quiet after {len(handled)} of {HOPS} hops"
        close_all([reader.close, *(loop.close for loop in loops)])

    assert len(seen) > 3, "work ended at different moments"
