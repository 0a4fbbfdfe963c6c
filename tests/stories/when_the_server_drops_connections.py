"""A web application in the morning: PostgreSQL was restarted, or has closed what was idle. The first request works."""

from __future__ import annotations

import asyncio
import select

import sqlalchemy
from support.any_store import own_connection, servers_only, started
from support.shop import ItemPurchased, id_of, purchased

from preterite import Component, OpenSystem, System
from preterite.drivers.postgres_guard import GuardedConnection

PATIENCE_MS = 60_000
"""How long a test waits for a connection's end to reach this machine."""


def _shop() -> tuple[System, Component]:
    sales = Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text primary key)")
    finance = Component("finance")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None: ...

    return System("shop", [sales, finance]), sales


def _drop_all(shop: OpenSystem, *idle: GuardedConnection) -> None:
    """End all sessions with the component's database, and wait until the ends of these connections have come."""
    with own_connection(shop.databases["sales"]) as administrator:
        administrator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    for connection in idle:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        assert waiting.poll(PATIENCE_MS)


def _buy(shop: OpenSystem, sales: Component, name: str) -> GuardedConnection:
    with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
        session.execute(sqlalchemy.text("insert into purchase values (:id)"), {"id": str(id_of(name))})
        unit_of_work.publish(purchased(name))
        driver = session.connection().connection.driver_connection
    assert isinstance(driver, GuardedConnection)
    return driver


@servers_only
def test_the_first_unit_of_work_after_it_succeeds() -> None:
    system, sales = _shop()
    with started(system) as shop:
        _drop_all(shop, _buy(shop, sales, "a"))
        _buy(shop, sales, "b")
        with shop.connection(sales) as connection:
            assert connection.execute("select count(*) from purchase").fetchone()[0] == 2


@servers_only
def test_the_first_asyncio_session_after_it_succeeds() -> None:
    system, sales = _shop()

    async def look(shop: OpenSystem) -> object:
        async with shop.session(sales) as session:
            connection = await session.connection()
            raw = await connection.get_raw_connection()
            await session.execute(sqlalchemy.text("select 1"))
            return raw.driver_connection

    async def twice(shop: OpenSystem) -> None:
        driver = await look(shop)
        _drop_all(shop, driver)  # pyright: ignore[reportArgumentType] - it is read like the plain one
        await look(shop)
        await shop.runtime.sessions.close_async()

    with started(system) as shop:
        asyncio.run(twice(shop))
