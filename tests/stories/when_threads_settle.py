"""Several threads, or tasks of asyncio, call `settle` on one open system, as tests and small applications do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from support.any_store import Connection, sql, started
from support.processes import until

from preterite import Component, Event, OpenSystem, System
from preterite.errors import UsageError
from preterite.operations.status import ObservedHandler

ROUNDS = 10
PURCHASES = 20
"""Purchases of each round."""


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


def _shop() -> tuple[System, Component, Component]:
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=sql("create table bill (purchase text)"))

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        connection.execute(sql("insert into bill values (?)"), [str(event.purchase_id)])

    return System("shop", [sales, finance]), sales, finance


def _purchase(shop: OpenSystem, sales: Component) -> None:
    with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for _ in range(PURCHASES):
            unit_of_work.publish(ItemPurchased(purchase_id=uuid4(), customer_id=uuid4(), purchased_at=shop.clock.now()))


def _billed(shop: OpenSystem, finance: Component) -> int:
    with shop.connection(finance) as connection:
        return connection.execute("select count(*) from bill").fetchone()[0]


def test_threads_take_turns() -> None:
    system, sales, finance = _shop()
    with started(system) as shop, ThreadPoolExecutor(4) as threads:
        for round_ in range(1, ROUNDS + 1):
            _purchase(shop, sales)
            settling = [threads.submit(shop.settle) for _ in range(3)]
            looking = threads.submit(shop.status)
            for one in (*settling, looking):
                one.result()
            assert _billed(shop, finance) == round_ * PURCHASES


def test_tasks_take_turns() -> None:
    system, sales, finance = _shop()

    async def settle_together(shop: OpenSystem) -> None:
        await asyncio.gather(*(shop.settled() for _ in range(3)))

    with started(system) as shop:
        for round_ in range(1, ROUNDS + 1):
            _purchase(shop, sales)
            asyncio.run(settle_together(shop))
            assert _billed(shop, finance) == round_ * PURCHASES


def test_settle_in_a_handler_is_refused() -> None:
    system, sales, finance = _shop()
    opened: list[OpenSystem] = []

    @finance.handles(ItemPurchased)
    def settle(event: ItemPurchased) -> None:
        opened[0].settle()

    with started(system) as shop:
        opened.append(shop)
        _purchase(shop, sales)
        with pytest.raises(UsageError, match="called by a handler"):
            shop.settle()


def test_the_status_names_a_handler_that_settle_runs_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten about it meanwhile, and nothing is left of the note afterwards."""
    monkeypatch.setattr("preterite.hosting.host.RENEW_SECONDS", 0.0)
    monkeypatch.setattr("preterite.operations.status.NO_PROGRESS_SECONDS", 0.0)
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    seen: list[ObservedHandler | None] = []

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        until(lambda: shop.status()["finance"].handling is not None, "it is seen at work", 30.0)
        seen.append(shop.status()["finance"].handling)

    with started(System("shop", [sales, finance])) as shop:
        with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(ItemPurchased(purchase_id=uuid4(), customer_id=uuid4(), purchased_at=shop.clock.now()))
        shop.settle()
        after = shop.status()["finance"].handling
        threads = [thread.name for thread in threading.enumerate()]

    assert [one.handler for one in seen if one is not None] == ["bill"]
    assert after is None
    assert "heartbeat" not in threads
