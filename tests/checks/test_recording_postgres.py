"""What handlers on PostgreSQL run and connect to, with psycopg and with SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session
from support import postgres

from preterite import Component, Event, System
from preterite.checks.recording import recording
from preterite.testing import started

AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    with postgres.databases() as make:
        yield {name: make(name) for name in ("sales", "finance")}


def keys(urls: dict[str, str], sales: Component, finance: Component) -> list[str]:
    """What is recorded while Finance handles a purchase."""
    with recording(System("shop", [sales, finance])) as recorder:
        with started(System("shop", [sales, finance]), databases=urls) as shop:
            with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(ItemPurchased(purchase_id=uuid4(), customer_id=uuid4(), purchased_at=AT))
            shop.settle()
    return sorted(one.key for one in recorder.findings())


def sales_component() -> Component:
    return Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text)")


def test_a_psycopg_handler_that_reads_another_database_is_found(urls: dict[str, str]) -> None:
    sales = sales_component()
    finance = Component("finance", tables="create table bill (id text)")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
        connection.execute("insert into bill values ('a')")
        with psycopg.connect(urls["sales"]) as theirs:
            theirs.execute("select count(*) from purchase")

    found = keys(urls, sales, finance)

    assert "cross-component-sql-at-runtime:finance:sales.purchase:read" in found
    assert "waits-while-handling:finance:sales:bill" in found


def test_a_sqlalchemy_handler_that_accesses_its_own_tables_has_no_findings(urls: dict[str, str]) -> None:
    sales = sales_component()
    finance = Component("finance", tables="create table bill (id text)")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        session.execute(text("insert into bill values ('a')"))

    assert keys(urls, sales, finance) == []


def test_the_search_path_of_a_handler_decides_which_table_a_name_means(urls: dict[str, str]) -> None:
    sales = Component("sales", publishes=[ItemPurchased], tables="create table note (id text)")
    finance = Component("finance", tables="create table note (id text)")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
        connection.execute("select count(*) from note")
        connection.execute("create schema sales; create table sales.note (id text)")
        connection.execute("set local search_path to sales")
        connection.execute("delete from note")

    found = keys(urls, sales, finance)

    assert "cross-component-sql-at-runtime:finance:sales.note:write" in found
    assert "cross-component-sql-at-runtime:finance:sales.note:read" not in found


QUERY = "select * from " + "purchase"


async def with_async(url: str, name: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        async with connection.cursor(name) if name else connection.cursor() as cursor:
            await cursor.execute(QUERY)  # pyright: ignore[reportArgumentType]


def with_server(connection: Any) -> None:
    with connection.cursor("c") as cursor:
        cursor.execute(QUERY)


def with_copy(connection: Any) -> None:
    with connection.cursor().copy(f"copy ({QUERY}) to stdout") as copying:
        list(copying)


WAYS: dict[str, Callable[[Any], Any]] = {
    "execute": lambda connection: connection.execute(QUERY),
    "bytes": lambda connection: connection.execute(QUERY.encode()),
    "composed": lambda connection: connection.execute(sql.SQL("select * from {}").format(sql.Identifier("purchase"))),
    "executemany": lambda connection: connection.cursor().executemany(f"{QUERY} where id = %s", [("a",), ("b",)]),
    "a server's cursor": with_server,
    "a client's cursor": lambda connection: psycopg.ClientCursor(connection).execute(QUERY),
    "a raw cursor": lambda connection: psycopg.RawCursor(connection).execute(f"{QUERY} where id = $1", ["a"]),
    "stream": lambda connection: list(connection.cursor().stream(QUERY)),
    "copy": with_copy,
    "asyncio": lambda connection: asyncio.run(with_async(connection.info.dsn + " password=preterite", "")),
    "asyncio, a server's cursor": lambda connection: asyncio.run(
        with_async(connection.info.dsn + " password=preterite", "c")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_run_a_statement_with_psycopg_is_recorded_once(way: str, urls: dict[str, str]) -> None:
    sales, finance = sales_component(), Component("finance")
    sales.module, finance.module = "elsewhere", __name__
    with psycopg.connect(urls["finance"], autocommit=True) as connection:
        connection.execute("create table purchase (id text)")
    with recording(System("shop", [sales, finance]), urls) as recorder:
        with psycopg.connect(urls["finance"]) as connection:
            WAYS[way](connection)

    assert [one.key for one in recorder.findings()] == ["cross-component-sql-at-runtime:finance:sales.purchase:read"]
    assert recorder.statements == 1
