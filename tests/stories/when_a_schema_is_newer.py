"""Tables that a newer version has updated: after a rollback of code, or beside an older program, nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from support.any_store import IS_SQLITE, log_place, places, sql
from support.command_line import runner
from support.processes import running_shop, until
from support.shop import Shop, bills, declare, publish, purchased, texts

from preterite import OpenSystem
from preterite.errors import SchemaTooNew, StoreUnavailable
from preterite.log.contract import LogIdentity
from preterite.log.postgres.log import make_log

APP = "support.process_shop:system"
NEWER = sql("insert into preterite_migration (number) values (99)")
AS_BEFORE = sql("delete from preterite_migration where number = 99")
OF_LOG = "log_migration" if IS_SQLITE else "preterite_log.migration"
LOG_NEWER = f"insert into {OF_LOG} (number) values (99)"
LOG_AS_BEFORE = f"delete from {OF_LOG} where number = 99"
SAYS = "tables of a newer version of Preterite (99; this program knows up to 1); nothing was written"


def change(url: str, statement: str) -> None:
    """Do to a database what no version of this program does."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///")) if IS_SQLITE else psycopg.connect(url)
    connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue] - written here
    connection.commit()
    connection.close()


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def urls(tmp_path: Path) -> dict[str, str]:
    return dict(places(tmp_path, ("sales", "finance")))


@pytest.fixture
def opening(
    shop: Shop, urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], OpenSystem]:
    """Opens the shop; nothing here is about how long an attempt waits."""
    monkeypatch.setattr("preterite.drivers.attempts.OPEN_SECONDS_MIN", 0.01)
    monkeypatch.setattr("preterite.drivers.attempts.OPEN_SECONDS_MAX", 0.02)

    def opening() -> OpenSystem:
        return shop.system.open(databases=urls, log=log_place(tmp_path), create_tables=True)

    opening().close()
    return opening


def test_a_component_whose_tables_are_newer_is_not_opened_and_the_others_are(
    shop: Shop, urls: dict[str, str], opening: Callable[[], OpenSystem]
) -> None:
    change(urls["finance"], NEWER)
    with opening() as opened:
        publish(opened, shop.sales, purchased("a"))
        with pytest.raises(StoreUnavailable) as refused, opened.connection(shop.finance):
            pass
        status = opened.status()
        change(urls["finance"], AS_BEFORE)
        until(lambda: can_open(opened), "it is opened")
        opened.settle()
        billed = bills(opened, shop.finance)

    assert SAYS in str(refused.value)
    assert str(refused.value).startswith("Component 'finance' is not open")
    assert (status["sales"].state, status["sales"].outbox) == ("off", 1)
    assert status["finance"].state == "unreachable"
    assert SAYS in str(status["finance"].fault)
    assert billed == texts("a")


def test_while_the_logs_tables_are_newer_events_wait_in_the_outboxes(
    shop: Shop, opening: Callable[[], OpenSystem], tmp_path: Path
) -> None:
    change(log_place(tmp_path), LOG_NEWER)
    with opening() as opened:
        publish(opened, shop.sales, purchased("a"))
        status = opened.status()["sales"]
        with pytest.raises(StoreUnavailable, match=r"The log .* newer version of Preterite"):
            opened.settle()
        change(log_place(tmp_path), LOG_AS_BEFORE)
        until(lambda: opened.status()["sales"].log_fault is None, "the log is opened")
        opened.settle()
        billed = bills(opened, shop.finance)

    assert SAYS in str(status.log_fault)
    assert status.outbox == 1
    assert billed == texts("a")


def can_open(opened: OpenSystem) -> bool:
    try:
        opened.runtime.require("finance")
    except StoreUnavailable:
        return False
    return True


@pytest.mark.skipif(IS_SQLITE, reason="roles and their rights")
def test_an_older_program_does_not_make_the_functions_of_a_newer_log_again(tmp_path: Path) -> None:
    url, identity = log_place(tmp_path), LogIdentity("shop", UUID(int=7), 2)
    make_log(url, identity, ["sales"], {})
    change(url, LOG_NEWER)
    with pytest.raises(SchemaTooNew):
        make_log(url, identity, ["sales"], {})


@pytest.mark.parametrize(
    "words",
    [
        ("migrate", "status"),
        ("migrate", "up"),
        ("migrate", "sql"),
        ("dead-letters", "list"),
        ("replay", "status"),
        ("recover", "plan"),
        ("status",),
    ],
    ids=" ".join,
)
def test_every_command_says_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_shop(tmp_path) as running:
        change(running.urls["finance"], NEWER)
        for name in running.environment:
            monkeypatch.setenv(name, running.environment[name])
        code, out, said = runner(capsys)(*words, "-A", APP)

    assert SAYS in out + said
    assert code == (4 if words == ("status",) else 6), "no component runs"


@pytest.mark.slow("processes")
def test_preterite_run_starts_the_others(tmp_path: Path) -> None:
    with running_shop(tmp_path) as running:
        change(running.urls["finance"], NEWER)
        running.run()
        purchase = running.publish()
        until(lambda: running.shipped() == [str(purchase)], "Shipping works")
        change(running.urls["finance"], AS_BEFORE)
        until(lambda: running.billed() == [str(purchase)], "Finance works")

        assert running.stop() == 0
        assert SAYS in running.errors()
