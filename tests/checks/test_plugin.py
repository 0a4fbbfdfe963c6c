"""The pytest plugin: a test that crosses a boundary fails, and given-when-then says what was told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from small_shop import AT, ItemBilled, ItemPurchased, Shop, declare, id_of, publish, purchased

from preterite import Command, Component, Event, System, UnitOfWork
from preterite.errors import UsageError
from preterite.testing.pytest_plugin import Given

pytest_plugins = ["pytester"]

CROSSING = """
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


def run(pytester: pytest.Pytester, accepted: str = "") -> pytest.RunResult:
    pytester.makeini("[pytest]\npreterite_boundaries = shop:system\naddopts = -p no:randomly\n")
    pytester.makepyfile(shop=CROSSING, test_shop=TESTS)
    if accepted:
        Path(pytester.path / "accepted.toml").write_text(accepted)
    return pytester.runpytest_subprocess()


def test_the_test_that_first_crosses_a_boundary_fails_with_what_it_has_crossed(pytester: pytest.Pytester) -> None:
    result = run(pytester)

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*test_other crosses a boundary:*"])
    result.stdout.fnmatch_lines(["*error[[]touched-foreign-table[]] finance reads purchase, a table of sales.*"])
    result.stdout.fnmatch_lines(["*error[[]waits-while-handling[]] finance connects to the database of sales *"])


def test_what_is_accepted_does_not_fail(pytester: pytest.Pytester) -> None:
    key = "touched-foreign-table:finance:sales.purchase:read"
    result = run(pytester, f'[[accepted]]\nkey = "{key}"\nreason = "as it was"\nsince = 2026-01-01\n')

    assert "touched-foreign-table" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*error[[]waits-while-handling[]]*"])


def test_a_system_that_is_not_there_is_said_in_one_sentence(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npreterite_boundaries = shop:sytem\n")
    pytester.makepyfile(shop=CROSSING, test_shop=TESTS)
    result = pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*preterite_boundaries = shop:sytem: shop has no System called 'sytem'.*"])


# given, when, then


@pytest.fixture
def shop() -> Shop:
    return declare()


def test_what_is_told_since_is_compared_and_what_was_before_is_not(given: Given, shop: Shop) -> None:
    billed = ItemBilled(purchase_id=id_of("b"), customer_id=id_of("anna"), billed_at=AT)

    given(shop.system, purchased("a")).when(purchased("b")).then(billed)
    given(shop.system, purchased("a")).when(purchased("b"), purchased("c")).then(ItemBilled, billed)


def test_what_is_not_told_and_what_is_told_as_well_are_said(given: Given, shop: Shop) -> None:
    with pytest.raises(AssertionError, match=r"told as well: ItemBilled\(") as told:
        given(shop.system).when(purchased("a")).then(ItemPurchased)

    assert "not told: ItemPurchased" in str(told.value)


def test_anything_may_be_done_to_the_system(given: Given, shop: Shop) -> None:
    given(shop.system).when(lambda opened: publish(opened, shop.sales, purchased("a"))).then(ItemPurchased, ItemBilled)


def test_an_event_that_nobody_publishes_cannot_be_given(given: Given, shop: Shop) -> None:
    class Moved(Event):
        pass

    with pytest.raises(UsageError, match="No component of 'shop' publishes Moved"):
        given(shop.system, Moved())


def test_time_passes_and_what_is_due_is_done(given: Given) -> None:
    class Remind(Command):
        pass

    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance", publishes=[ItemBilled])

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        unit_of_work.later(Remind(), after=timedelta(days=30))

    @finance.handles(Remind)
    def remind(command: Remind, unit_of_work: UnitOfWork) -> None:
        unit_of_work.publish(ItemBilled(purchase_id=id_of("a"), customer_id=id_of("anna"), billed_at=AT))

    scenario = given(System("shop", [sales, finance])).when(purchased("a"))
    scenario.later(timedelta(days=29)).then()
    scenario.later(timedelta(days=1)).then(ItemBilled)
