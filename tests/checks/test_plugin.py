"""The pytest plugin: a test that violates a boundary fails, and given-when-then compares what was published."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.shop import AT, ItemBilled, ItemPurchased, Shop, declare, id_of, publish, purchased

from preterite import Command, Component, Event, System, UnitOfWork
from preterite.checks import baseline
from preterite.checks.baseline import Entry
from preterite.cli.command_line import main
from preterite.errors import UsageError
from preterite.testing.pytest_plugin import Given

pytest_plugins = ["pytester"]

SHOP = """
import sqlite3
from contextlib import closing
from uuid import UUID, uuid4
from preterite import Component, Event, System

class ItemPurchased(Event, key="purchase_id"):
    purchase_id: UUID

sales = Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text)")
finance = Component("finance", tables="create table bill (id text)")
system = System("shop", [sales, finance])
files = []

@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
    connection.execute("insert into bill values ('a')")
    for file in files:
        with closing(sqlite3.connect(file)) as other:
            other.execute("select * from purchase").fetchall()
"""
TESTS = """
from uuid import uuid4
import shop

def test_own(given):
    given(shop.system).when(shop.ItemPurchased(purchase_id=uuid4())).then()

def test_other(given, start_system):
    scenario = given(shop.system)
    url = scenario.shop.databases["sales"].url
    shop.files.append(url.removeprefix("sqlite:///"))
    scenario.when(shop.ItemPurchased(purchase_id=uuid4()))

def test_other_again(given):
    scenario = given(shop.system)
    shop.files[:] = [scenario.shop.databases["sales"].url.removeprefix("sqlite:///")]
    scenario.when(shop.ItemPurchased(purchase_id=uuid4()))
"""


def run(pytester: pytest.Pytester, baseline: str = "") -> pytest.RunResult:
    pytester.makeini("[pytest]\npreterite_boundaries = shop:system\naddopts = -p no:randomly\n")
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    if baseline:
        Path(pytester.path / "baseline.toml").write_text(baseline)
    return pytester.runpytest_subprocess()


def test_the_first_test_that_violates_a_boundary_fails_with_its_findings(pytester: pytest.Pytester) -> None:
    result = run(pytester)

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*test_other violates a boundary:*"])
    result.stdout.fnmatch_lines(
        ["*error[[]cross-component-sql-at-runtime[]] finance reads purchase, a table of sales.*"]
    )
    result.stdout.fnmatch_lines(["*error[[]waits-while-handling[]] finance connects to the database of sales *"])


def test_what_was_recorded_and_what_could_not_be_checked_is_counted(pytester: pytest.Pytester) -> None:
    result = run(pytester)

    result.stdout.re_match_lines(
        [r"shop:system: \d+ statements of components recorded; 0 not understood, \d+ more in .*, 0 not recorded"]
    )


def test_a_violation_in_the_baseline_does_not_fail(pytester: pytest.Pytester) -> None:
    key = "cross-component-sql-at-runtime:finance:sales.purchase:read"
    result = run(pytester, f'[[violation]]\nkey = "{key}"\nreason = "as it was"\nsince = 2026-01-01\n')

    assert "cross-component-sql-at-runtime" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*error[[]waits-while-handling[]]*"])


KEYS = {
    "cross-component-sql-at-runtime:finance:sales.purchase:read",
    "waits-while-handling:finance:sales:bill",
}
STALE = "waits-while-handling:finance:sales:removed"


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return main(["check", "-A", "shop:system", *options])


def accepted(folder: Path) -> set[str]:
    return {entry.key for entry in baseline.read(folder / "baseline.toml")}


def test_violations_of_every_source_share_the_baseline(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pytester)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    first = Entry("excess-rights:finance:sales:connect", "no server here", date(2026, 1, 1))
    baseline.write(pytester.path / "baseline.toml", [first])

    check(pytester.path, monkeypatch, "--recorded", "--accept", "as it was")
    assert accepted(pytester.path) > KEYS | {first.key}
    assert check(pytester.path, monkeypatch) == 0, "entries of what did not run are not stale"
    assert check(pytester.path, monkeypatch, "--recorded") == 0
    check(pytester.path, monkeypatch, "--shrink")
    assert accepted(pytester.path) > KEYS | {first.key}, "entries of what did not run are kept"
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=3)
    monkeypatch.delitem(sys.modules, "shop", raising=False)


@pytest.mark.parametrize("selection", [(), ("-k", "other"), ("test_shop.py::test_own",)])
def test_an_entry_is_stale_only_after_a_whole_run_of_the_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, selection: tuple[str, ...]
) -> None:
    run(pytester)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    check(pytester.path, monkeypatch, "--recorded", "--accept", "as it was")
    entries = [*baseline.read(pytester.path / "baseline.toml"), Entry(STALE, "was removed", date(2026, 1, 1))]
    baseline.write(pytester.path / "baseline.toml", entries)
    pytester.runpytest_subprocess(*selection)

    assert check(pytester.path, monkeypatch, "--recorded") == (0 if selection else 1)
    check(pytester.path, monkeypatch, "--recorded", "--shrink")
    assert (STALE in accepted(pytester.path)) == bool(selection)
    assert accepted(pytester.path) >= KEYS
    monkeypatch.delitem(sys.modules, "shop", raising=False)


@pytest.mark.slow("processes")
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_several_processes_recorded_is_one_recording(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    run(pytester)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    check(pytester.path, monkeypatch, "--recorded", "--accept", "as it was")
    entries = [*baseline.read(pytester.path / "baseline.toml"), Entry(STALE, "was removed", date(2026, 1, 1))]
    baseline.write(pytester.path / "baseline.toml", entries)
    if not is_whole:
        tests = pytester.path / "test_shop.py"
        tests.write_text(f"{TESTS}\ndef test_end():\n    import os\n    os._exit(3)\n")
    result = pytester.runpytest_subprocess("-n", "2", "-p", "xdist")

    check(pytester.path, monkeypatch, "--recorded", "--shrink")
    assert accepted(pytester.path) >= KEYS
    assert (STALE in accepted(pytester.path)) == (not is_whole)
    result.stdout.re_match_lines([r"shop:system: [1-9]\d* statements of components recorded.*"])
    monkeypatch.delitem(sys.modules, "shop", raising=False)


def test_an_unknown_system_is_reported_in_one_sentence(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npreterite_boundaries = shop:sytem\n")
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    result = pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*preterite_boundaries = shop:sytem: shop has no System called 'sytem'.*"])


# given, when, then


@pytest.fixture
def shop() -> Shop:
    return declare()


def test_only_events_published_since_given_are_compared(given: Given, shop: Shop) -> None:
    billed = ItemBilled(purchase_id=id_of("b"), customer_id=id_of("anna"), billed_at=AT)

    given(shop.system, purchased("a")).when(purchased("b")).then(billed)
    given(shop.system, purchased("a")).when(purchased("b"), purchased("c")).then(ItemBilled, billed)


def test_missing_and_unexpected_events_are_reported(given: Given, shop: Shop) -> None:
    with pytest.raises(AssertionError, match=r"not expected: ItemBilled\(") as told:
        given(shop.system).when(purchased("a")).then(ItemPurchased)

    assert "not published: ItemPurchased" in str(told.value)


def test_a_scenario_may_call_functions_on_the_system(given: Given, shop: Shop) -> None:
    given(shop.system).when(lambda opened: publish(opened, shop.sales, purchased("a"))).then(ItemPurchased, ItemBilled)


def test_an_event_without_a_publisher_cannot_be_given(given: Given, shop: Shop) -> None:
    class Moved(Event):
        pass

    with pytest.raises(UsageError, match="No component of 'shop' publishes Moved"):
        given(shop.system, Moved())


def test_time_passes_and_due_commands_run(given: Given) -> None:
    class Remind(Command):
        pass

    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance", publishes=[ItemBilled])

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        unit_of_work.schedule(Remind(), after=timedelta(days=30))

    @finance.handles(Remind)
    def remind(command: Remind, unit_of_work: UnitOfWork) -> None:
        unit_of_work.publish(ItemBilled(purchase_id=id_of("a"), customer_id=id_of("anna"), billed_at=AT))

    scenario = given(System("shop", [sales, finance])).when(purchased("a"))
    scenario.advance(timedelta(days=29)).then()
    scenario.advance(timedelta(days=1)).then(ItemBilled)


def test_the_databases_of_the_components_are_those_that_are_configured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows = """
def test_shown(pytestconfig):
    partition = pytestconfig.pluginmanager.getplugin("preterite-boundaries")._recorder._partition
    assert [one.dialect for one in partition.ownerships] == ["postgres", "sqlite"]
"""
    pytester.makeini("[pytest]\npreterite_boundaries = shop:system\n")
    pytester.makepyfile(shop=SHOP, test_shop=shows)
    monkeypatch.setenv("PRETERITE_SALES_URL", "postgresql://sales@127.0.0.1/sales")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)

    monkeypatch.setenv("PRETERITE_SALES_URL", "postgresql://[")
    result = pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: preterite_boundaries = shop:system: *names no PostgreSQL database*"])
