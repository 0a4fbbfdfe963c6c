"""A system is declared, verified, opened: what opening does, and what an open system gives."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from small_shop import ItemBilled, ItemPurchased, declare, publish, purchased, texts

from preterite import Component, Event, OpenSystem, System
from preterite.errors import ConfigurationError, LogAhead, UsageError, WrongDatabase, WrongLog
from preterite.testing import started


def test_declaring_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    declare().system.verify()

    assert list(tmp_path.iterdir()) == []


def test_without_settings_everything_is_in_a_folder_of_the_systems_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declare().system.open().close()
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.sqlite"))

    assert files == [f".preterite/shop/{name}.sqlite" for name in ("finance", "log", "sales")]


def test_opening_says_once_which_promise_holds_and_for_what(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "preterite"), started(declare().system):
        pass
    memory, sqlite = caplog.messages

    assert memory.startswith("log: in memory: ")
    assert sqlite.startswith("sales, finance: SQLite ")
    assert "synchronous=FULL: commits survive power failure" in sqlite


def test_only_what_is_named_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop = declare()
    with shop.system.open(only=["sales"]) as opened:
        with pytest.raises(ConfigurationError, match="'finance' is not run here"), opened.connection(shop.finance):
            pass

    assert not (tmp_path / ".preterite/shop/finance.sqlite").exists()


def test_a_component_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="has no component 'finanse'; it has sales, finance"):
        declare().system.open(only=["finanse"])


def test_two_systems_live_in_one_process_without_knowing_of_each_other() -> None:
    one, other = declare(), declare()
    with started(one.system) as first, started(other.system) as second:
        publish(first, one.sales, purchased("a"))
        first.settle()
        second.settle()

        assert [str(event.purchase_id) for event in first.published(ItemPurchased)] == texts("a")
        assert second.published(ItemPurchased) == []


def test_the_database_of_another_component_is_refused(tmp_path: Path) -> None:
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    log = f"sqlite:///{tmp_path}/log.sqlite"
    shop.system.open(databases=files, log=log).close()
    swapped = {"sales": files["finance"], "finance": files["sales"]}

    with pytest.raises(WrongDatabase, match="belongs to component 'finance' of system 'shop'"):
        shop.system.open(databases=swapped, log=log)


@pytest.mark.rule(3)
def test_a_database_with_the_log_of_another_life_is_refused(tmp_path: Path) -> None:
    """The log was deleted, and a new one made: its identity is another one."""
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    shop.system.open(databases=files, log=f"sqlite:///{tmp_path}/log.sqlite").close()

    with pytest.raises(WrongDatabase, match="Check the component's URL, and the log's"):
        shop.system.open(databases=files, log=f"sqlite:///{tmp_path}/new.sqlite")


@pytest.mark.rule(3)
def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    sales = Component("sales", publishes=[ItemPurchased])
    files = {"sales": f"sqlite:///{tmp_path}/sales.sqlite"}
    log = f"sqlite:///{tmp_path}/log.sqlite"
    System("shop", [sales]).open(databases=files, log=log).close()

    with pytest.raises(WrongLog, match="with 8 partitions; this is 'shop' with 16"):
        System("shop", [sales], partitions=16).open(databases=files, log=log)


def test_tables_are_made_where_they_are_missing_and_left_alone_where_they_are(tmp_path: Path) -> None:
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    count = 0
    for name in "ab":
        with shop.system.open(databases=files, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True) as opened:
            publish(opened, shop.sales, purchased(name))
            with opened.connection(shop.sales) as connection:
                count = connection.execute("select count(*) from purchase").fetchone()[0]

    assert count == 2


async def test_an_open_system_settles_from_asyncio_too() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        await opened.settled()

        assert [str(event.purchase_id) for event in opened.published(ItemBilled)] == texts("a")


async def test_a_system_with_asyncio_sessions_is_left_by_async_with(tmp_path: Path) -> None:
    shop = declare()
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    opened = shop.system.open(databases=urls, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True)
    async with opened.session(shop.sales) as session:
        await session.connection()
    with pytest.raises(UsageError, match="async with"):
        opened.close()
    await opened.async_engine("sales").dispose()


def test_a_system_with_asyncio_sessions_is_closed_where_no_loop_runs() -> None:
    shop = declare()

    async def look(opened: OpenSystem) -> None:
        async with opened.session(shop.sales) as session:
            await session.connection()

    before = threading.active_count()
    with started(shop.system) as opened:
        asyncio.run(look(opened))

    assert threading.active_count() == before


def test_an_event_of_nobody_has_not_been_published() -> None:
    class Unknown(Event):
        pass

    with started(declare().system) as opened, pytest.raises(ConfigurationError, match="publishes Unknown"):
        opened.published(Unknown)


def test_a_relay_that_announces_nothing_is_no_quiet_system() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        with opened.connection(shop.sales) as connection:
            connection.execute("update preterite_stream set last_number = 0, confirmed = 0")
        with pytest.raises(LogAhead, match="Nothing is announced until a person has looked"):
            for relay in [opened.relay("sales")]:
                opened.close()
                relay.step()
