"""Promise 2, once in your database, also where a connection gives its rows as the application likes them best."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.any_store import IS_SQLITE, Connection, own_connection, started
from support.shop import ItemPurchased, bills, declare, insert_bill, publish, purchased, texts


def _by_name(cursor: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _as_names(connection: Any) -> None:
    connection.row_factory = _by_name if IS_SQLITE else dict_row


def _as_bytes(connection: Any) -> None:
    if IS_SQLITE:
        connection.text_factory = bytes
    else:
        connection.cursor_factory = psycopg.ClientCursor


SETTINGS = pytest.mark.parametrize("setting", [_as_names, _as_bytes])


@SETTINGS
def test_what_a_handler_sets_on_its_connection_ends_with_the_call(setting: Callable[[Any], None]) -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        setting(connection)

    with started(shop.system) as opened:
        for name in "ab":
            publish(opened, shop.sales, purchased(name), purchased(f"{name} again"))
            opened.settle()

        assert bills(opened, shop.finance) == texts("a", "a again", "b", "b again")


@SETTINGS
def test_what_a_handler_sets_under_its_session_ends_with_the_call(setting: Callable[[Any], None]) -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        session.execute(_INSERT, {"purchase": str(event.purchase_id)})
        setting(session.connection().connection.driver_connection)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b")


@SETTINGS
def test_what_a_handler_sets_under_its_async_session_ends_with_the_call(setting: Callable[[Any], None]) -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession) -> None:
        await session.execute(_INSERT, {"purchase": str(event.purchase_id)})
        driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        setting(driver.preterite_guard)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b")


@SETTINGS
def test_a_unit_of_work_on_a_connection_that_was_set_so(setting: Callable[[Any], None]) -> None:
    shop = declare()
    with started(shop.system) as opened:
        with closing(own_connection(opened.databases["sales"])) as connection:
            setting(connection)
            with shop.sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(purchased("a"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a")


_INSERT = text("insert into bill (purchase, customer) values (:purchase, '')")
