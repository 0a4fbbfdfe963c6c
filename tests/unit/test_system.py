"""A system is declared, verified, opened: what opening does, and what an open system gives."""

from __future__ import annotations

import asyncio
import pkgutil
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table
from support.processes import PATIENCE_SECONDS
from support.shop import ItemBilled, ItemPurchased, declare, publish, purchased, texts

from preterite import Component, Event, OpenSystem, System
from preterite.clock import SystemClock, SystemRandomness
from preterite.drivers.sqlite_guard import GuardedConnection
from preterite.errors import ConfigurationError, LogAhead, UsageError, WrongDatabase, WrongLog
from preterite.log import connect
from preterite.log.contract import LogIdentity
from preterite.log.sqlite.log import SqliteLog
from preterite.publishing.relay import Relay
from preterite.receiving.receiver import Receiver
from preterite.store.sqlite.store import SqliteDatabase
from preterite.testing import started


def test_declaring_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    declare().system.verify()

    assert list(tmp_path.iterdir()) == []


def test_without_settings_everything_is_in_a_folder_of_the_systems_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declare().system.open(create_tables=True).close()
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.sqlite"))

    assert files == [f".preterite/shop/{name}.sqlite" for name in ("finance", "log", "sales")]


def test_another_working_directory_changes_nothing_of_a_system_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = declare()
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with shop.system.open(create_tables=True) as opened:
        monkeypatch.chdir(tmp_path / "elsewhere")
        publish(opened, shop.sales, purchased("lantern"))
        opened.settle()
        billed = [status.counts.dead + status.lag for status in opened.status().values()]

    assert len(shop.attempted) == 1
    assert billed == [0, 0]
    assert list((tmp_path / "elsewhere").iterdir()) == []


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
    with shop.system.open(only=["sales"], create_tables=True) as opened:
        with pytest.raises(ConfigurationError, match="'finance' is not run here"), opened.connection(shop.finance):
            pass

    assert not (tmp_path / ".preterite/shop/finance.sqlite").exists()


def test_a_component_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"There is no component 'finanse' here; known: sales, finance\. Did you mean 'finance'",
    ):
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
    shop.system.open(databases=files, log=log, create_tables=True).close()
    swapped = {"sales": files["finance"], "finance": files["sales"]}

    with pytest.raises(WrongDatabase, match="belongs to component 'finance' of system 'shop'"):
        shop.system.open(databases=swapped, log=log)


@pytest.mark.rule(3)
def test_a_database_with_the_log_of_another_life_is_refused(tmp_path: Path) -> None:
    """The log was deleted, and a new one made: its identity is another one."""
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    shop.system.open(databases=files, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True).close()

    new = f"sqlite:///{tmp_path}/new.sqlite"
    connect(new, LogIdentity("shop", SystemRandomness().uuid(), shop.system.partitions), SystemClock()).close()

    with pytest.raises(WrongDatabase, match="Check the component's URL, and the log's"):
        shop.system.open(databases=files, log=new)


@pytest.mark.rule(3)
def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    sales = Component("sales", publishes=[ItemPurchased])
    files = {"sales": f"sqlite:///{tmp_path}/sales.sqlite"}
    log = f"sqlite:///{tmp_path}/log.sqlite"
    System("shop", [sales]).open(databases=files, log=log, create_tables=True).close()

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
    await opened.runtime.sessions.close_async()


def test_a_system_with_asyncio_sessions_is_closed_where_no_loop_runs() -> None:
    shop = declare()

    async def look(opened: OpenSystem) -> set[threading.Thread]:
        before = set(threading.enumerate())
        async with opened.session(shop.sales) as session:
            await session.connection()
        return set(threading.enumerate()) - before

    with started(shop.system) as opened:
        begun = asyncio.run(look(opened))

    workers = [thread for thread in begun if "connection_worker" in thread.name]
    for thread in workers:
        thread.join(PATIENCE_SECONDS)
    assert workers
    assert not any(thread.is_alive() for thread in workers)


def test_an_event_that_no_component_publishes_is_refused() -> None:
    class Unknown(Event):
        pass

    with started(declare().system) as opened, pytest.raises(ConfigurationError, match="publishes Unknown"):
        opened.published(Unknown)


def test_a_relay_that_publishes_nothing_is_no_quiet_system() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        with opened.connection(shop.sales) as connection:
            connection.execute("update preterite_stream set last_number = 0, confirmed = 0")
        with pytest.raises(LogAhead, match="Nothing is published until an operator decides"):
            with closing(opened.runtime.relay("sales")) as relay:
                opened.close()
                relay.step()


def note_closing(monkeypatch: pytest.MonkeyPatch, kind: Any, closed: list[str], *, fail: bool = False) -> None:
    """Note which objects of this class are closed; with `fail`, each raises once it is closed."""
    close = kind.close

    def noting(one: Any) -> None:
        close(one)
        closed.append(kind.__name__)
        if fail:
            raise RuntimeError(f"{kind.__name__} does not close")

    monkeypatch.setattr(kind, "close", noting)


def test_closing_closes_everything_whatever_fails_on_the_way_and_raises_the_first_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    opened = shop.system.open(databases=files, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True)
    opened.settle()
    closed: list[str] = []

    for kind in (Relay, Receiver, SqliteDatabase, SqliteLog):
        note_closing(monkeypatch, kind, closed, fail=True)
    with pytest.raises(RuntimeError, match="Relay does not close") as caught:
        opened.close()

    assert closed == ["Relay", "Relay", "Receiver", "SqliteDatabase", "SqliteDatabase", "SqliteLog"]
    assert len(caught.value.__notes__) == 5


STEPS = [
    "preterite.store.connect",
    "preterite.system.verify",
    "preterite.log.connect",
    "preterite.log.sqlite.log.SqliteLog._identify",
    "preterite.system.SharedClock",
    "preterite.system.Runtime",
    "preterite.hosting.runtime.prepare",
    "preterite.hosting.runtime.Runtime._create_tables",
    "preterite.open_system.StatusReader",
]
"""What opening a demo calls, in its order."""


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_while_a_system_is_opened_nothing_stays_open(
    step: str, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {name: MetaData() for name in ("sales", "finance")}
    for metadata in tables.values():
        Table("bill", metadata, Column("id", Integer, primary_key=True))
    system = System("shop", [Component(name, tables=metadata) for name, metadata in tables.items()], demo=True)
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in tables}
    opened: list[Any] = []
    closed: list[Any] = []
    for kind, close in ((SqliteDatabase, "close"), (GuardedConnection, "close"), (Engine, "dispose")):
        note_calls(monkeypatch, kind, "__init__", opened)
        note_calls(monkeypatch, kind, close, closed)
    calls = fail_at(monkeypatch, step, call)
    with suppress(Interrupted):
        system.open(databases=urls, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True).close()

    assert calls
    assert [one for one in opened if one not in closed] == []


class Interrupted(BaseException):
    """Stops what is being done, as Ctrl-C does."""


def note_calls(monkeypatch: pytest.MonkeyPatch, kind: Any, method: str, called: list[Any]) -> None:
    """Note the objects of this class whose method is called."""
    real = getattr(kind, method)

    def noting(one: Any, *given: Any, **named: Any) -> Any:
        called.append(one)
        return real(one, *given, **named)

    monkeypatch.setattr(kind, method, noting)


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, call: int) -> list[str]:
    """Let one call of a function raise instead; return the list of its calls, which grows."""
    real = pkgutil.resolve_name(step)
    calls: list[str] = []

    def failing(*given: Any, **named: Any) -> Any:
        calls.append(step)
        if len(calls) == call:
            raise Interrupted(step)
        return real(*given, **named)

    monkeypatch.setattr(step, failing)
    return calls


def test_an_opening_that_fails_raises_its_own_exception_also_where_closing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = declare()
    files = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance")}
    log = f"sqlite:///{tmp_path}/log.sqlite"
    shop.system.open(databases=files, log=log, create_tables=True).close()
    closed: list[str] = []
    for kind in (SqliteDatabase, SqliteLog):
        note_closing(monkeypatch, kind, closed, fail=True)
    with pytest.raises(WrongDatabase) as caught:
        shop.system.open(databases={"sales": files["finance"], "finance": files["sales"]}, log=log)

    assert closed == ["SqliteDatabase", "SqliteDatabase", "SqliteLog"]
    assert "SqliteDatabase does not close" in caught.value.__notes__[0]


@pytest.mark.parametrize("opens", ["session", "connection"])
def test_a_name_instead_of_a_component_is_refused_in_one_sentence(opens: str) -> None:
    with (
        started(declare().system) as opened,
        pytest.raises(UsageError, match=r"^'finance' is no component; pass the Component itself, not its name"),
        getattr(opened, opens)("finance"),
    ):
        pass
