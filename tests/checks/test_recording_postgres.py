"""What handlers on PostgreSQL run and connect to, with psycopg and with SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
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
