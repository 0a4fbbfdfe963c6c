"""One database that cannot be reached, or the log, keeps no other component from opening, running and being shown."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from support import postgres
from support.any_store import sqlite_only
from support.away import away
from support.processes import RunningShop, running_shop, until
from support.shop import Shop, bills, declare, publish, purchased, texts

from preterite import OpenSystem
from preterite.clock import SystemClock, SystemRandomness
from preterite.errors import StoreUnavailable, WrongDatabase
from preterite.hosting.host import Host
from preterite.hosting.openings import Openings
from preterite.log import connect
from preterite.log.contract import LogIdentity
from preterite.store.rows import StoreIdentity

NAMES = ("sales", "finance")
pytestmark = sqlite_only


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    """Nothing here is about how long an attempt waits."""
    monkeypatch.setattr("preterite.drivers.attempts.OPEN_SECONDS_MIN", 0.01)
    monkeypatch.setattr("preterite.drivers.attempts.OPEN_SECONDS_MAX", 0.02)
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def shop() -> Shop:
    return declare()


def opening(shop: Shop, folder: Path, **places: str) -> OpenSystem:
    urls = {name: f"sqlite:///{folder}/{name}.sqlite" for name in (*NAMES, "log")} | places
    return shop.system.open(databases={name: urls[name] for name in NAMES}, log=urls["log"], create_tables=True)


def in_reach(opened: OpenSystem, name: str) -> bool:
    try:
        opened.runtime.require(name)
    except StoreUnavailable:
        return False
    return True


def test_the_others_open_and_publish_and_what_uses_it_says_why(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with away(tmp_path, "finance"):
        opened = opening(shop, tmp_path)
        publish(opened, shop.sales, purchased("a"))
        says = "Component 'finance' is not open, and is tried again when it is used: .*finance.sqlite cannot be opened"
        with pytest.raises(StoreUnavailable, match=says), opened.session(shop.finance):
            pass
        with pytest.raises(StoreUnavailable, match=says), opened.connection(shop.finance):
            pass
        with pytest.raises(StoreUnavailable, match=says):
            opened.settle()
        states = {name: one.state for name, one in opened.status().items()}
    until(lambda: in_reach(opened, "finance"), "it is opened")
    opened.settle()

    assert states == {"sales": "running", "finance": "unreachable"}, "settle has worked for Sales"
    assert caplog.text.count("Component 'finance' is not open") == 1
    assert bills(opened, shop.finance) == texts("a")
    opened.close()


async def test_an_asyncio_session_says_the_same_and_works_afterwards(shop: Shop, tmp_path: Path) -> None:
    with away(tmp_path, "finance"):
        opened = opening(shop, tmp_path)
        with pytest.raises(StoreUnavailable, match="Component 'finance' is not open"):
            async with opened.session(shop.finance):
                pass
    until(lambda: in_reach(opened, "finance"), "it is opened")
    async with opened, opened.session(shop.finance) as session:
        assert session.bind is not None


def test_one_that_is_locked_while_the_system_is_opened_is_opened_later(shop: Shop, tmp_path: Path) -> None:
    opening(shop, tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "finance.sqlite", isolation_level=None)) as locking:
        locking.execute("begin immediate")
        opened = opening(shop, tmp_path)
        publish(opened, shop.sales, purchased("a"))
        with pytest.raises(StoreUnavailable, match=r"'finance' is not open.*database is locked"):
            opened.runtime.relay("finance")
        locking.execute("rollback")
    until(lambda: in_reach(opened, "finance"), "it is opened")
    opened.settle()

    assert bills(opened, shop.finance) == texts("a")
    opened.close()


def test_a_host_runs_the_rest_and_goes_on_with_it_once_it_is_there(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with away(tmp_path, "finance"):
        opened = opening(shop, tmp_path)
        running = Host(opened.runtime)
        running.start()
        publish(opened, shop.sales, purchased("a"))
        until(lambda: opened.status()["sales"].outbox == 0, "Sales' relay works")
    until(lambda: in_reach(opened, "finance") and bills(opened, shop.finance) == texts("a"), "it is handled")
    running.stop()
    opened.close()

    assert "finance: its database is available again; it is open" in caplog.text
    assert caplog.text.count("finance receiver: Component 'finance' is not open") == 1


def test_while_the_log_is_away_components_publish_and_it_is_sent_later(shop: Shop, tmp_path: Path) -> None:
    opening(shop, tmp_path).close()
    with away(tmp_path, "log"):
        opened = opening(shop, tmp_path)
        publish(opened, shop.sales, purchased("a"))
        status = opened.status()["sales"]
        with pytest.raises(StoreUnavailable, match=r"log\.sqlite cannot be opened"):
            opened.settle()
    until(lambda: opened.status()["sales"].log_fault is None, "the log is opened")
    opened.settle()

    assert (status.outbox, status.is_quiet) == (1, False)
    assert "log.sqlite cannot be opened" in str(status.log_fault)
    assert bills(opened, shop.finance) == texts("a")
    opened.close()


def test_a_new_component_is_not_open_without_the_log_whose_system_it_is_to_belong_to(
    shop: Shop, tmp_path: Path
) -> None:
    with away(tmp_path, "log"):
        opened = opening(shop, tmp_path)
        with pytest.raises(StoreUnavailable, match=r"Component 'sales' is not open.*log\.sqlite cannot be opened"):
            publish(opened, shop.sales, purchased("a"))
    until(lambda: in_reach(opened, "sales") and in_reach(opened, "finance"), "they are opened")
    publish(opened, shop.sales, purchased("a"))
    opened.settle()

    assert bills(opened, shop.finance) == texts("a")
    opened.close()


def test_a_log_of_another_system_that_comes_later_is_refused_before_anything_is_sent(
    shop: Shop, tmp_path: Path
) -> None:
    opening(shop, tmp_path).close()
    (tmp_path / "log.sqlite").unlink()
    with away(tmp_path, "log"):
        opened = opening(shop, tmp_path)
        publish(opened, shop.sales, purchased("a"))
    another = LogIdentity("shop", SystemRandomness().uuid(), shop.system.partitions)
    connect(f"sqlite:///{tmp_path}/log.sqlite", another, SystemClock()).close()

    def is_refused() -> bool:
        try:
            opened.runtime.relay("sales")
        except StoreUnavailable:
            return False
        except WrongDatabase:
            return True
        raise AssertionError("it was taken")

    until(is_refused, "the new log is refused")
    assert opened.status()["sales"].outbox == 1
    opened.close()


def test_databases_that_are_opened_side_by_side_wait_for_none_that_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both, never = threading.Barrier(2), threading.Event()
    identity = StoreIdentity("", UUID(int=1), "shop", UUID(int=2), 1)

    def open_one(name: str) -> StoreIdentity:
        if name == "silent":
            never.wait()
        both.wait()
        return identity

    openings = Openings(open_one, SystemClock())
    openings.open_side_by_side(["silent", "sales", "finance"], 2.0)
    never.set()
    both.abort()

    assert set(openings.identities) == {"sales", "finance"}
    assert list(openings.faults) == ["silent"]
    assert "Component 'silent' is not open" in caplog.text
    assert "It has not answered within" in caplog.text


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as running:
        yield running


@pytest.mark.slow("processes")
def test_preterite_run_starts_the_rest_and_the_other_once_it_is_there(running: RunningShop, tmp_path: Path) -> None:
    file = Path(running.urls["finance"].removeprefix("sqlite:///"))
    with away(file.parent, file.stem):
        running.run("--create-tables")
        purchase = running.publish()
        until(lambda: running.shipped() == [str(purchase)], "Shipping works")
        until(lambda: "Component 'finance' is not open" in running.errors(), "it is logged")
    until(lambda: running.billed() == [str(purchase)], "Finance works")

    assert running.stop() == 0


@pytest.mark.slow("PostgreSQL")
def test_a_server_that_cannot_be_reached_keeps_no_other_component_from_opening(shop: Shop, tmp_path: Path) -> None:
    url = f"{postgres.ADMIN_URL.rpartition('/')[0]}/no_such_database"
    with opening(shop, tmp_path, sales=url) as opened:
        with opened.connection(shop.finance) as connection:
            assert connection.execute("select count(*) from bill").fetchone() == (0,)
        status = opened.status()
        with pytest.raises(StoreUnavailable, match="no_such_database cannot be reached") as raised:
            opened.settle()

    assert (status["sales"].state, status["finance"].state) == ("unreachable", "off")
    assert "postgres:preterite" not in str(raised.value) + str(status["sales"].fault)


@pytest.mark.parametrize("beyond_bytes", [0, 8192], ids=["its tables' list", "its tables"])
def test_a_damaged_database_keeps_no_other_component_from_opening(
    shop: Shop, tmp_path: Path, beyond_bytes: int
) -> None:
    opening(shop, tmp_path).close()
    damage(tmp_path / "finance.sqlite", max(beyond_bytes, 100))
    with opening(shop, tmp_path) as opened:
        publish(opened, shop.sales, purchased("1"))
        status = opened.status()
        fault = opened.runtime.faults["finance"]

    assert "damaged" in fault
    assert (status["sales"].state, status["sales"].outbox) == ("off", 1)
    assert status["finance"].state == "unreachable"


@pytest.mark.parametrize("beyond_bytes", [0, 100, 8192], ids=["its header", "its tables' list", "its tables"])
def test_while_the_log_is_damaged_components_publish_and_the_status_says_so(
    shop: Shop, tmp_path: Path, beyond_bytes: int
) -> None:
    opening(shop, tmp_path).close()
    damage(tmp_path / "log.sqlite", beyond_bytes)
    with opening(shop, tmp_path) as opened:
        publish(opened, shop.sales, purchased("1"))
        status = opened.status()

    assert "The log is damaged" in str(status["sales"].log_fault)
    assert (status["sales"].state, status["sales"].outbox) == ("off", 1)


def damage(file: Path, beyond_bytes: int) -> None:
    """Overwrite what stands beyond so many bytes; a file that is closed has no write-ahead log."""
    with file.open("r+b") as opened:
        opened.seek(beyond_bytes)
        opened.write(b"\xa5" * (file.stat().st_size - beyond_bytes))


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("table", ["parked", "component", "cursor"])
def test_a_table_that_an_administrator_locks_hides_no_other_component_from_the_status(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr("preterite.drivers.postgres.LOCK_SECONDS", 0.1)
    with (
        postgres.databases() as make,
        opening(shop, tmp_path, sales=make("sales")) as opened,
        psycopg.connect(make("sales")) as administrator,
    ):
        name = sql.Identifier("preterite", table)
        administrator.execute(sql.SQL("lock table {} in access exclusive mode").format(name))
        found = opened.status()
        administrator.rollback()
        again = opened.status()

    assert "lock timeout" in str(found["sales"].fault)
    assert found["finance"].fault is None
    assert again["sales"].fault is None


@pytest.mark.slow("PostgreSQL")
def test_a_log_that_an_administrator_locks_is_said_to_be_unreachable(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.drivers.postgres.LOCK_SECONDS", 0.1)
    with (
        postgres.databases() as make,
        opening(shop, tmp_path, log=make("log")) as opened,
        psycopg.connect(make("log")) as administrator,
    ):
        administrator.execute("lock table preterite_log.stream in access exclusive mode")
        found = opened.status()
        administrator.rollback()
        again = opened.status()

    assert "lock timeout" in str(found["sales"].log_fault)
    assert again["sales"].log_fault is None
