"""The measurements run, and both sides of them do the whole work. How fast is shown by `make bench`, never asserted."""

from __future__ import annotations

import pytest
from benchmarks import (
    alternatives,
    checking,
    deadline,
    due,
    expectations,
    failing,
    grid,
    growth,
    history,
    late,
    latency,
    loaded,
    memory,
    monolith,
    pages,
    postgres,
    postgres_latency,
    processes,
    relaying,
    report,
    tables,
    targets,
    ten_million,
    throughput,
)
from benchmarks.measure import Measured, percentile
from benchmarks.parts import PARTS
from support import postgres as servers

BY_TESTS = {"crash", "mutants", "restores", "storm", "worlds"}
"""Results of tests, which `make crash` and the like keep."""


def test_every_way_bills_every_purchase() -> None:
    measured = throughput.measure(rounds=1, events=300)

    assert len(measured) == 6
    assert all(one.median > 0 for pair in measured.values() for one in pair)


@pytest.mark.slow("benchmarks")
def test_a_page_of_which_a_part_never_answers_is_measured() -> None:
    measured = deadline.measure(rounds=1)

    assert measured[deadline.LATE][0] > measured[deadline.WHOLE][0]


@pytest.mark.slow("benchmarks")
def test_pages_are_viewed_while_purchases_go_on() -> None:
    measured = pages.measure(rounds=1, seconds=0.5, rates=(20,), every=20)

    assert list(measured) == [pages.NOTHING, f"{pages.SHOP}, 20 a second", pages.SHOP_BY_TWO]
    assert all(one["p99 ms"][0] > 0 and one["purchases per second"][0] > 0 for one in measured.values())


@pytest.mark.slow("benchmarks")
def test_every_way_drains_every_purchase_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    for limit in ("EVENTS", "EVENTS_OVER_SQLALCHEMY", "EVENTS_SINGLY"):
        monkeypatch.setattr(postgres, limit, 300)
    measured = postgres.measure(rounds=1)

    assert len(measured) == 6
    assert all(one.median > 0 for one in measured)


@pytest.mark.slow("benchmarks")
def test_the_relay_is_measured_for_long_and_beside_an_open_transaction() -> None:
    servers.require()
    relayed = relaying.for_long(events=10_000)
    beside = relaying.undisturbed(seconds=0.5)

    assert relayed.per_second > 0
    assert list(beside) == ["alone", "beside an open transaction"]


@pytest.mark.slow("benchmarks")
def test_a_push_and_two_processes_are_measured_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    monkeypatch.setattr(processes, "EVENTS", 100)
    pushed = postgres_latency.measure(rounds=1, count=3)
    shared = processes.measure(rounds=1)

    assert list(pushed) == ["hand-written, pushed by NOTIFY", "with Preterite"]
    assert all(one.median > 0 for one in shared)


@pytest.mark.slow("benchmarks")
def test_live_purchases_are_measured_as_those_of_other_packages_are() -> None:
    servers.require()

    assert alternatives.live_rate(events=20) > 0
    assert alternatives.alone_rate(events=20) > 0


@pytest.mark.slow("benchmarks")
def test_every_store_goes_with_every_log(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    monkeypatch.setattr(grid, "EVENTS", {"batch handler": 100, "per event": 100})
    for store, log in (("sqlite", "postgres"), ("postgres", "sqlite")):
        assert grid.drained_handwritten(store, log) > 0
    assert grid.drained("sqlite", "postgres", "per event", 1) > 0
    assert grid.drained("postgres", "sqlite", "batch handler", 2) > 0


@pytest.mark.slow("benchmarks")
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_half_of_the_highest_rate_is_measured(store: str) -> None:
    servers.require()
    found = loaded.loaded(store, full_seconds=0.3, half_seconds=0.3)

    assert found.per_second > 0
    assert 0 < found.p50_ms <= found.p99_ms


@pytest.mark.slow("benchmarks")
def test_a_late_subscriber_reads_everything() -> None:
    assert [one.name for one in late.measure(rounds=1, events=2_000)] == [late.LIVE, late.LATE]


@pytest.mark.slow("benchmarks")
def test_a_log_that_has_grown_is_measured_beside_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "DRAINED_EVENTS", 1_000)
    monkeypatch.setattr(growth, "LITTLE", 100)

    assert all(one.median > 0 for one in growth.measure(rounds=1, much=2_000))


@pytest.mark.slow("benchmarks")
def test_the_check_is_timed_on_a_code_base_that_is_made_for_it() -> None:
    shop, many = checking.measure(rounds=1, modules=30, statements=60)

    assert shop.median > 0
    assert many.median > 0


def test_every_target_is_about_a_part_that_can_be_measured() -> None:
    assert {one.part for one in targets.TARGETS} <= set(PARTS)


def test_every_result_is_called_as_the_module_that_measures_it() -> None:
    results = {path.stem for path in report.FIGURES.glob("*.json")}

    assert results - BY_TESTS == set(PARTS)
    assert {name.partition(".")[0] for name in PARTS} <= {path.stem for path in report.FIGURES.parent.glob("*.py")}
    assert {one.result for one in expectations.EXPECTATIONS} <= results


def test_a_target_is_met_or_not() -> None:
    idle = next(one for one in targets.TARGETS if one.part == "latency")
    late_ones = next(one for one in targets.TARGETS if one.part == "late")

    assert idle.is_met({"hand-written": {"p50 ms": [1.0]}, "ours": {"p50 ms": [1.25]}})
    assert not idle.is_met({"hand-written": {"p50 ms": [1.0]}, "ours": {"p50 ms": [1.35]}})
    assert not late_ones.is_met({late.LATE: [0.8, 0.8], late.LIVE: [1.0, 1.0]})
    assert targets.lines("late", {late.LATE: [2.0], late.LIVE: [1.0]})[0].endswith("2.00   at least 0.9: yes")


def test_tables_line_up() -> None:
    lines = tables.rates({"one way": [1.0, 2.0, 3.0], "another, which is longer": [4000.0]}).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[3].split("|")[2:5] == [" 4,000 ", " 4,000 to 4,000 ", "      2000.00 "]


@pytest.mark.slow("benchmarks")
def test_a_month_is_closed_beside_purchases_on_one_database_and_partitioned(monkeypatch: pytest.MonkeyPatch) -> None:
    servers.require()
    monkeypatch.setattr(monolith, "SECONDS", 1.5)
    monkeypatch.setattr(monolith, "_FILL_FINANCE", monolith._FILL_FINANCE.replace("400000", "3000"))  # pyright: ignore[reportPrivateUsage]
    found = [monolith.monolith(closes=True), monolith.partitioned(closes=True)]

    assert all(one.per_second > 0 and one.close_seconds > 0 for one in found)


@pytest.mark.slow("benchmarks")
def test_events_without_end_are_measured_tenth_by_tenth() -> None:
    servers.require()
    tenths = list(ten_million.measure(events=1_000))

    assert [one.events for one in tenths] == list(range(100, 1_100, 100))
    assert all(one.worker_mib > 0 and set(one.mib) == {"sales", "finance", "log"} for one in tenths)


@pytest.mark.slow("benchmarks")
def test_latency_is_measured_on_both_sides() -> None:
    measured = latency.measure(rounds=1, count=3)

    assert list(measured) == ["hand-written, woken by a signal", "with Preterite"]
    assert all(middle.median > 0 for middle, _ in measured.values())


def test_memory_is_looked_at_on_the_way() -> None:
    assert [mark.events for mark in memory.measure((500, 1_000))] == [500, 1_000]


@pytest.mark.slow("benchmarks")
def test_history_is_replayed_in_every_way() -> None:
    measured = history.catch_up(rounds=1, events=300)
    live = history.live(rounds=1, count=3)

    assert len(measured) == 3
    assert all(one.median > 0 for one in measured)
    assert all(middle.median > 0 for middle, _ in live.values())


@pytest.mark.slow("benchmarks")
def test_others_are_measured_beside_a_dead_letter() -> None:
    assert all(middle.median > 0 for middle, _ in failing.measure(rounds=1, count=3, followers=5).values())


@pytest.mark.slow("benchmarks")
def test_what_is_due_is_found_and_handled() -> None:
    assert all(one.median > 0 for one in due.query(rounds=1, many=2_000))
    assert due.lateness(seconds=0.2, commands=10).early == 0


def test_medians_and_percentiles() -> None:
    assert Measured("x", (3.0, 1.0, 2.0)).median == 2.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert percentile([1.0], 0.99) == 1.0
