"""What users test with: a system in a test, a clock to move, the fixture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from support import postgres
from support.shop import ItemPurchased, bills, declare, publish, purchased, texts

from preterite import Recoverability
from preterite.errors import ConfigurationError, UsageError
from preterite.testing import MovableClock, SeededRandomness, instant, started
from preterite.testing.databases import VARIABLE
from preterite.testing.pytest_plugin import StartSystem
from preterite.testing.scenario import Scenario

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


@pytest.mark.parametrize("given", ["nonsense", "2011-13-01", date(2011, 3, 1), None, 5])
def test_what_is_no_instant_is_refused_in_one_sentence(given: Any) -> None:
    with pytest.raises(UsageError, match=r"is no instant; write one as in '2011-03-01T10:00Z'"):
        instant(given)


def test_what_is_no_event_is_refused_in_one_sentence() -> None:
    with started(declare().system) as shop:
        scenario = Scenario(shop)
        for wrong in (ItemPurchased, "ItemPurchased"):
            with pytest.raises(UsageError, match=r"ItemPurchased'? is no event; pass one with its fields"):
                scenario.given(cast(Any, wrong))
        with pytest.raises(UsageError, match="'ItemPurchased' is no event and no type of events"):
            scenario.then(cast(Any, "ItemPurchased"))
    with pytest.raises(UsageError, match="is no System; pass the one that the application declares"):
        started(cast(Any, "shop")).__enter__()


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


TESTS_OF_A_USER = """
from uuid import UUID, uuid4
import psycopg, pytest
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from preterite import Component, Event, System

class Base(DeclarativeBase): ...

class Bill(Base):
    __tablename__ = "bill"
    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)

class ItemPurchased(Event, key="purchase_id"):
    purchase_id: UUID

class ItemBilled(Event, key="purchase_id"):
    purchase_id: UUID

sales = Component("sales", publishes=[ItemPurchased])
finance = Component("finance", publishes=[ItemBilled], tables=Base.metadata)
shipping = Component("shipping")

@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, session: Session) -> None:
    session.add(Bill(purchase_id=event.purchase_id))

@shipping.handles(ItemPurchased)
def ship(event: ItemPurchased, connection: psycopg.Connection) -> None:
    connection.execute("create temporary table shipped (id int)")

system = System("shop", [sales, finance, shipping])

@pytest.mark.parametrize("number", [1, 2])
def test_given(given, number):
    scenario = given(system, ItemPurchased(purchase_id=uuid4())).when().then()
    with scenario.shop.session(finance) as session:
        assert session.query(Bill).count() == 1
        print("database", session.execute(text("select current_database()")).scalar())

def test_started(start_system):
    with start_system(system).connection(finance) as connection:
        assert connection.execute("select count(*) from bill").fetchone() == (0,)
"""


@pytest.mark.slow("PostgreSQL")
def test_handlers_are_tested_on_postgresql_where_a_server_is_named(tmp_path: Path) -> None:
    postgres.require()
    (tmp_path / "test_shop.py").write_text(TESTS_OF_A_USER)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:randomly", "-p", "no:xdist", "test_shop.py"]
    environment = {**os.environ, VARIABLE: postgres.ADMIN_URL}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    used = set(re.findall("database (.*)", done.stdout))
    with psycopg.connect(postgres.ADMIN_URL) as admin:
        left = {name for (name,) in admin.execute("select datname from pg_database").fetchall()}

    assert "3 passed" in done.stdout, done.stdout
    assert len(used) in (1, 2)
    assert used & left == set()


def test_another_url_than_a_servers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sqlite:///shop.sqlite")
    with pytest.raises(
        ConfigurationError, match=r"^PRETERITE_TEST_URL is sqlite:///shop\.sqlite; tests run on a Postgre"
    ):
        with started(declare().system):
            pass
