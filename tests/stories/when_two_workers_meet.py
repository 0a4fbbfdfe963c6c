"""Promise 2 where workers of several partitions change the same rows: nothing is overwritten, and nobody is blamed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from support.any_store import IS_SQLITE, Connection, log_place, places, servers_only, sql
from support.processes import until
from support.shop import SALES_TABLES, ItemPurchased, letters, publish, purchased

from preterite import Component, OpenSystem, System
from preterite.hosting.host import Host

PURCHASES = 400
RECEIVERS = 4
TABLES = sql("create table total (id integer primary key, purchases integer); insert into total values (1, 0)")


class Counting:
    """Finance counts all purchases in one row, by reading and writing, in the way that loses updates."""

    def __init__(self, folder: Path, isolation: Literal["repeatable read", "read committed"]) -> None:
        self.sales = Component("sales", publishes=[ItemPurchased], tables=SALES_TABLES)
        self.finance = Component("finance", tables=TABLES, isolation=isolation)
        self.system = System("shop", [self.sales, self.finance])
        self.isolations: set[str] = set()
        self.urls, self.log = dict(places(folder, ("sales", "finance"))), log_place(folder)

        @self.finance.handles(ItemPurchased)
        def count(event: ItemPurchased, connection: Connection) -> None:
            if not IS_SQLITE:
                self.isolations.add(connection.execute("show transaction_isolation").fetchone()[0])
            found = connection.execute("select purchases from total").fetchone()
            connection.execute(sql("update total set purchases = ?"), [found[0] + 1])

    def open(self) -> OpenSystem:
        return self.system.open(databases=self.urls, log=self.log, create_tables=True)


def holders(opened: OpenSystem, finance: Component) -> int:
    """How many receivers hold partitions of Finance."""
    statement = "select count(distinct owner) from preterite_lease where name <> 'relay'"
    with opened.connection(finance) as connection:
        return connection.execute(sql(statement)).fetchone()[0]


def count(folder: Path) -> tuple[int, int]:
    """What four receivers counted together, and how many dead letters there are."""
    counting = Counting(folder, "repeatable read")
    with counting.open() as opened:
        with Host(opened.runtime, receivers=RECEIVERS):
            until(lambda: holders(opened, counting.finance) == RECEIVERS, "all have their share")
            publish(
                opened,
                counting.sales,
                *(purchased(str(number), customer=str(UUID(int=number))) for number in range(PURCHASES)),
            )
            opened.wait_settled()
        with opened.connection(counting.finance) as connection:
            total = connection.execute("select purchases from total").fetchone()[0]
        return total, len(letters(opened, counting.finance))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    before = threading.active_count()
    yield
    until(lambda: threading.active_count() <= before, "all threads have ended")


@servers_only
@pytest.mark.rule(10)
def test_nothing_is_overwritten_and_no_attempt_is_spent_on_a_conflict(tmp_path: Path) -> None:
    assert count(tmp_path) == (PURCHASES, 0)


@servers_only
def test_a_component_may_do_without(tmp_path: Path) -> None:
    counting = Counting(tmp_path, "read committed")
    with counting.open() as opened:
        publish(opened, counting.sales, purchased("a"))
        opened.settle()

    assert counting.isolations == {"read committed"}
