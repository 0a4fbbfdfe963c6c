"""`recover accept` ends between any two of its transactions, or on a full disk, and is run again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.any_store import log_place, places, sqlite_only
from support.backups import Backup
from support.shop import bills, declare, publish, purchased, texts

from preterite import OpenSystem, System
from preterite.errors import LogAhead, UsageError
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.store.contract import run_in_transaction

NAMES = [f"{number}" for number in range(12)]
EVENTS_BEFORE = 2
"""Events that the backup has; all others are in the log only."""
OPS = Operator("ops", "restored", 0.0)


class Ended(BaseException):
    """The process ends here."""


class Restored:
    """A publisher that was restored from a backup, and that an operator lets go on."""

    def __init__(self, folder: Path) -> None:
        self.shop = declare()
        self.system = System("shop", [self.shop.sales, self.shop.finance], partitions=2)
        self.urls, self.log_url = dict(places(folder, ("sales", "finance"))), log_place(folder)
        backup = Backup(folder)
        self.sell(*NAMES[:EVENTS_BEFORE])
        backup.save(self.urls["sales"])
        self.sell(*NAMES[EVENTS_BEFORE:])
        backup.restore(self.urls["sales"])
        with self.open() as opened, pytest.raises(LogAhead):
            opened.settle()

    def open(self) -> OpenSystem:
        return self.system.open(databases=self.urls, log=self.log_url, create_tables=True)

    def sell(self, *names: str) -> None:
        with self.open() as opened:
            publish(opened, self.shop.sales, *map(purchased, names))
            opened.settle()

    def accept(self, before: Callable[[Any], object] = lambda connection: None) -> int:
        with self.open() as opened, opened.connection(self.shop.sales) as connection:
            before(connection)
            store = opened.databases["sales"].store
            return recovery.accept(store, connection, opened.log, "sales", OPS, opened.clock.wall())

    def audited(self) -> list[str]:
        with self.open() as opened, opened.connection(self.shop.sales) as connection:
            return [line.target for line in opened.databases["sales"].store.audit(connection, 100)]

    def problems(self) -> list[str]:
        with self.open() as opened:
            return opened.status()["sales"].problems

    def billed(self) -> list[str]:
        with self.open() as opened:
            return sorted(bills(opened, self.shop.finance))


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restored:
    monkeypatch.setattr(recovery, "READ_RECORDS", 2)
    return Restored(tmp_path)


@pytest.mark.rule(14)
@pytest.mark.parametrize("transactions", range(8))
def test_it_can_be_run_again_wherever_it_has_ended(
    restored: Restored, monkeypatch: pytest.MonkeyPatch, transactions: int
) -> None:
    """Either it has done all, or the status refers to a plan that shows what is left; and it is on record."""
    run, count = run_in_transaction, itertools.count()

    def end_after(*arguments: Any) -> Any:
        if next(count) == transactions:
            raise Ended
        return run(*arguments)

    monkeypatch.setattr(recovery, "run_in_transaction", end_after)
    with suppress(Ended):
        restored.accept()
    monkeypatch.setattr(recovery, "run_in_transaction", run)
    problems, audited = restored.problems(), restored.audited()
    try:
        left = restored.accept()
    except UsageError:
        left = 0
    restored.sell("new")

    assert bool(left) == any("preterite recover plan" in problem for problem in problems)
    assert audited or left == len(NAMES) - EVENTS_BEFORE, "what was taken is on record"
    assert restored.billed() == sorted(texts(*NAMES, "new"))
    assert restored.problems() == []


@sqlite_only
def test_a_full_disk_ends_it_and_it_is_run_again_once_there_is_space(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has all of its pages in use, and gets no other."""

    def fill(connection: Any) -> None:
        connection.execute("create table ballast (content blob)")
        connection.execute("pragma max_page_count=1")
        with suppress(Exception):
            while True:
                connection.execute("insert into ballast values (zeroblob(100))")

    with pytest.raises(Exception, match="full"):
        restored.accept(fill)
    problems = restored.problems()
    taken = restored.accept()
    restored.sell("new")

    assert "preterite recover plan" in problems[0]
    assert 0 < taken <= len(NAMES) - EVENTS_BEFORE
    assert restored.billed() == sorted(texts(*NAMES, "new"))
