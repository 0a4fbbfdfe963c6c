"""The measurements run, and both sides of them do the whole work. How fast is shown by `make bench`, never asserted."""

from __future__ import annotations

import postgres as servers
import pytest
from benchmarks import (
    alternatives,
    due,
    failing,
    history,
    latency,
    memory,
    monolith,
    postgres,
    postgres_latency,
    processes,
    relaying,
    ten_million,
    throughput,
)
from benchmarks.measure import Measured, percentile


def test_every_way_bills_every_purchase() -> None:
    measured = throughput.measure(rounds=1, events=300)

    assert len(measured) == 5
    assert all(one.median > 0 for one in measured)


def test_every_way_drains_every_purchase_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    for limit in ("EVENTS", "EVENTS_OVER_SQLALCHEMY", "EVENTS_SINGLY"):
        monkeypatch.setattr(postgres, limit, 300)
    measured = postgres.measure(rounds=1)

    assert len(measured) == 5
    assert all(one.median > 0 for one in measured)


def test_the_relay_is_measured_for_long_and_beside_an_open_transaction() -> None:
    servers.require()
    relayed = relaying.for_long(events=10_000)
    beside = relaying.undisturbed(seconds=0.5)

    assert relayed.per_second > 0
    assert list(beside) == ["alone", "beside an open transaction"]


def test_a_push_and_two_processes_are_measured_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    monkeypatch.setattr(processes, "EVENTS", 100)
    pushed = postgres_latency.measure(rounds=1, count=3)
    shared = processes.measure(rounds=1)

    assert list(pushed) == ["by hand, pushed by NOTIFY", "with Preterite"]
    assert all(one.median > 0 for one in shared)


def test_live_purchases_are_measured_as_those_of_other_packages_are() -> None:
    servers.require()

    assert alternatives.live_rate(events=20) > 0


def test_a_month_is_closed_beside_purchases_on_one_database_and_partitioned(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    monkeypatch.setattr(monolith, "SECONDS", 1.5)
    monkeypatch.setattr(monolith, "_FILL_FINANCE", monolith._FILL_FINANCE.replace("400000", "3000"))  # pyright: ignore[reportPrivateUsage]
    found = [monolith.monolith(closes=True), monolith.partitioned(closes=True)]

    assert all(one.per_second > 0 and one.close_seconds > 0 for one in found)


def test_events_without_end_are_measured_tenth_by_tenth() -> None:
    servers.require()
    tenths = list(ten_million.measure(events=1_000))

    assert [one.events for one in tenths] == list(range(100, 1_100, 100))
    assert all(one.worker_mib > 0 and set(one.mib) == {"sales", "finance", "log"} for one in tenths)


def test_latency_is_measured_on_both_sides() -> None:
    measured = latency.measure(rounds=1, count=3)

    assert list(measured) == ["by hand, woken by a signal", "with Preterite"]
    assert all(middle.median > 0 for middle, _ in measured.values())


def test_memory_is_looked_at_on_the_way() -> None:
    assert [mark.events for mark in memory.measure((500, 1_000))] == [500, 1_000]


def test_history_is_fed_in_every_way() -> None:
    measured = history.catch_up(rounds=1, events=300)
    live = history.latency(rounds=1, count=3)

    assert len(measured) == 3
    assert all(one.median > 0 for one in measured)
    assert all(middle.median > 0 for middle, _ in live.values())


def test_others_are_measured_beside_a_dead_letter() -> None:
    assert all(middle.median > 0 for middle, _ in failing.measure(rounds=1, count=3, followers=5).values())


def test_what_is_due_is_found_and_handled() -> None:
    assert all(one.median > 0 for one in due.query(rounds=1, many=2_000))
    assert due.lateness(seconds=0.2, commands=10).early == 0


def test_medians_and_percentiles() -> None:
    assert Measured("x", (3.0, 1.0, 2.0)).median == 2.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert percentile([1.0], 0.99) == 1.0
