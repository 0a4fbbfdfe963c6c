"""While an administrator holds a lock, every command ends in a bounded time and says which component is locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support import postgres
from support.any_store import IS_SQLITE
from support.command_line import Run, runner
from support.process_shop import system
from support.processes import RunningShop, running_shop, until

APP = "support.process_shop:system"
SAYS = "The database of 'finance' is locked by another session, for too long"
READING = [
    "dead-letters list",
    "dead-letters groups",
    "dead-letters audit",
    "dead-letters show finance/1",
    "dead-letters plan --all",
    "replay status",
    "replay plan --to finance",
    "recover plan",
    "migrate status",
    "migrate up",
    "retire finance ship",
]
WRITING = [
    "dead-letters redrive --all --at-once",
    "dead-letters redrive finance/1 --at-once",
    "dead-letters discard finance/1 --reason wrong",
    "dead-letters edit finance/1 what=book --reason wrong",
    "replay start --to finance --again",
]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    """Nothing here is about how long the wait is."""
    monkeypatch.setattr("preterite.drivers.postgres.LOCK_SECONDS", 0.05)
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningShop]:
    """Finance has a dead letter, finance/1."""
    with running_shop(tmp_path) as shop:
        for name in shop.environment:
            monkeypatch.setenv(name, shop.environment[name])
        shop.publish("raises always")

        def is_dead() -> bool:
            shop.opened.settle(failures="park")
            return shop.opened.status()["finance"].counts.dead == 1

        until(is_dead, "its retries are used up")
        yield shop


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@contextmanager
def locked(url: str) -> Generator[None]:
    """Another session holds all that there is to lock."""
    if IS_SQLITE:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("begin exclusive")
    else:
        connection = psycopg.connect(url)
        tables = connection.execute("select tablename from pg_tables where schemaname = 'preterite'").fetchall()
        names = sql.SQL(", ").join(sql.Identifier("preterite", name) for (name,) in tables)
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(names))
    yield
    connection.rollback()
    connection.close()


@pytest.mark.parametrize("words", WRITING if IS_SQLITE else [*READING, *WRITING])
def test_every_command_ends_and_says_which_component_is_locked(shop: RunningShop, run: Run, words: str) -> None:
    with locked(shop.urls["finance"]):
        code, out, said = run(*words.split(), "-A", APP)

    assert SAYS in out + said, out + said
    assert code in (4, 6)
    assert "Traceback" not in said


@pytest.mark.skipif(not IS_SQLITE, reason="of a server every table is locked")
@pytest.mark.parametrize("words", [*READING, "status"])
def test_what_only_reads_a_file_is_not_held_up(shop: RunningShop, run: Run, words: str) -> None:
    with locked(shop.urls["finance"]):
        _, out, said = run(*words.split(), "-A", APP)

    assert "locked" not in out + said


def test_events_are_not_published_and_it_is_said(shop: RunningShop, run: Run, tmp_path: Path) -> None:
    document = tmp_path / "events.json"
    document.write_text("[]")
    with locked(shop.urls["sales"]):
        code, _, said = run("publish", "sales", str(document), "-A", APP)

    assert code == 4
    assert "The database of 'sales' is locked" in said


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("words", READING + WRITING)
def test_behind_a_pooler_it_is_the_same(
    shop: RunningShop, run: Run, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if IS_SQLITE:
        pytest.skip("a pooler is in front of a server")
    for name, url in shop.urls.items():
        monkeypatch.setenv(f"PRETERITE_{name.upper()}_URL", url.replace(postgres.PORT, postgres.POOLER_PORT))
    monkeypatch.setenv("PRETERITE_LOG_URL", shop.log_url.replace(postgres.PORT, postgres.POOLER_PORT))
    with locked(shop.urls["finance"]):
        code, out, said = run(*words.split(), "-A", APP)

    assert SAYS in out + said
    assert code in (4, 6)


def test_a_component_that_is_locked_while_the_system_is_opened_keeps_no_other_from_opening(tmp_path: Path) -> None:
    with running_shop(tmp_path) as running:
        with locked(running.urls["finance"]):
            opened = system.open(databases=running.urls, log=running.log_url)
            faults = dict(opened.runtime.faults)
            opened.close()

    assert list(faults) == ["finance"]
    assert "is locked by another session" in faults["finance"]
