"""Promises 1 and 2: handlers and units of work may read Preterite's own tables; their SQL writes to none of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.any_store import IS_SQLITE, Connection, own_url, sql, started
from support.shop import (
    AT,
    ItemBilled,
    ItemPurchased,
    bills,
    declare,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    texts,
)

from preterite import Command, Component, Recoverability, UnitOfWork
from preterite.errors import OwnTableRefused, UnitOfWorkBroken
from preterite.testing import StartedSystem

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
_BOTH = {
    "delete": "delete from preterite_outbox",
    "delete in capitals": "DELETE FROM PRETERITE_OUTBOX" if IS_SQLITE else "DELETE FROM PRETERITE.OUTBOX",
    "delete behind a comment": "-- all\ndelete /* now */ from preterite_outbox",
    "update": "update preterite_cursor set number = 0",
    "insert": "insert into preterite_migration (number) values (99)",
    "a part that reads": "with gone as (select 1) delete from preterite_outbox where 1 in (select * from gone)",
    "drop": "drop table preterite_parked",
    "drop if it exists": "drop table if exists preterite_parked",
    "alter": "alter table preterite_saga add column mine text",
    "create an index": "create index mine on preterite_outbox (partition)",
}
_SQLITE = {
    "insert or replace": "insert or replace into preterite_migration (number) values (99)",
    "replace": "replace into preterite_migration (number) values (99)",
    "with its schema": "delete from main.preterite_outbox",
    "in quotes": 'delete from "preterite_outbox"',
    "in brackets": "delete from [preterite_outbox]",
    "a table that hides it": "create temp table preterite_outbox (partition, event_id, envelope)",
    "a view that hides it": "create temp view preterite_outbox as select 1",
    "a trigger on it": "create trigger mine before insert on preterite_outbox begin select raise(ignore); end",
    "a temporary trigger on it": (
        "create temp trigger mine before insert on main.preterite_outbox begin select raise(ignore); end"
    ),
    "a trigger on another table": "insert into emptying values (1)",
}
_POSTGRES = {
    "only": "delete from only preterite.outbox",
    "in quotes": 'delete from "preterite"."outbox"',
    "with spaces": "delete from preterite . outbox",
    "truncate two": "truncate bill, preterite.outbox",
    "a part of a query": "with gone as (delete from preterite.outbox returning 1) select * from gone",
    "a block": "do $$ begin delete from preterite.outbox; end $$",
    "a block with a text": "do $$ begin execute 'delete from preterite.outbox'; end $$",
    "the schema": "drop schema preterite cascade",
    "by the search path": "set local search_path to preterite, public",
    "by the search path of a function": "select set_config('search_path', 'preterite', true)",
    "a trigger on it": (
        "create trigger mine before insert on preterite.outbox for each row"
        " execute function suppress_redundant_updates_trigger()"
    ),
    "a rule on it": "create rule mine as on insert to preterite.outbox do instead nothing",
}
WRITES = {**_BOTH, **(_SQLITE if IS_SQLITE else _POSTGRES)}
READS = ["select count(*) from preterite_outbox", "create table mine as select * from preterite_scheduled"]
EMPTYING = """
create table emptying (a integer);
create trigger emptied after insert on emptying begin delete from preterite_outbox; end
"""
REFUSED = r"tried to (write to|commit or roll back in SQL)"
UNSEEN = "a trigger on another table"
"""What it does is not in the text of the statement."""


def shop_of(body: Callable[[Any, ItemPurchased, UnitOfWork], None], kind: str) -> Any:
    """Finance bills each purchase and publishes it; before that it does what the test gives it."""
    shop = declare(bills=False, recoverability=ONCE)

    def billed(run: Any, event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
        body(run, event, unit_of_work)

    if kind == "connection":

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
            insert_bill(connection, event)
            billed(connection.execute, event, unit_of_work)

    elif kind == "session":

        @shop.finance.handles(ItemPurchased)
        def bill_in_session(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
            insert_bill(session.connection().connection.driver_connection, event)  # pyright: ignore[reportArgumentType]
            billed(lambda statement: session.execute(text(statement)), event, unit_of_work)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    else:

        @shop.finance.handles(ItemPurchased)
        async def bill_awaited(event: ItemPurchased, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
            statement = sql(f"insert into bill (purchase, customer) values ('{event.purchase_id}', '')")
            await session.execute(text(statement))
            await session.run_sync(lambda plain: billed(lambda one: plain.execute(text(one)), event, unit_of_work))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    return shop


def prepare(opened: StartedSystem, component: Component) -> None:
    if IS_SQLITE:
        opened.databases[component.name].create_tables(EMPTYING)


@pytest.mark.parametrize("kind", ["connection", "session", "async session"])
def test_a_handler_that_writes_to_an_own_table_fails_alone_and_nothing_is_lost(kind: str) -> None:
    def write(run: Any, event: ItemPurchased, _unit_of_work: UnitOfWork) -> None:
        how = next((how for how in WRITES if event.purchase_id == id_of(how)), None)
        if how is not None:
            run(sql(WRITES[how]))

    shop = shop_of(write, kind)
    neighbours = [f"neighbour {how}" for how in WRITES]
    with started(shop.system) as opened:
        prepare(opened, shop.finance)
        publish(
            opened,
            shop.sales,
            *(purchased(name, name) for both in zip(WRITES, neighbours, strict=True) for name in both),
        )
        opened.settle(failures="park")
        dead = letters(opened, shop.finance)

        assert {letter.failure.error for letter in dead if letter.failure} == {"OwnTableRefused"}
        assert len(dead) == len(WRITES)
        assert sorted(bills(opened, shop.finance)) == sorted(texts(*neighbours))
        assert {event.purchase_id for event in opened.published(ItemBilled)} == set(map(id_of, neighbours))


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_a_handler_that_goes_on_after_the_refusal_loses_nothing(kind: str) -> None:
    refused: list[str] = []

    def write(run: Any, _event: ItemPurchased, _unit_of_work: UnitOfWork) -> None:
        for how, statement in WRITES.items():
            try:
                run(sql(statement))
            except OwnTableRefused:
                refused.append(how)

    shop = shop_of(write, kind)
    with started(shop.system) as opened:
        prepare(opened, shop.finance)
        publish(opened, shop.sales, *(purchased(name, name) for name in ("a", "b")))
        opened.settle()

        assert refused == [*WRITES, *WRITES]
        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b"))
        assert {event.purchase_id for event in opened.published(ItemBilled)} == {id_of("a"), id_of("b")}


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_a_unit_of_work_that_writes_to_an_own_table_keeps_nothing(kind: str) -> None:
    shop = declare()
    with started(shop.system) as opened:
        prepare(opened, shop.sales)
        for statement in map(sql, WRITES.values()):
            given: Any = opened.connection(shop.sales) if kind == "connection" else opened.session(shop.sales)
            with (
                given as inner,
                pytest.raises((OwnTableRefused, UnitOfWorkBroken), match=REFUSED),
                shop.sales.unit_of_work(inner) as unit_of_work,
            ):
                unit_of_work.publish(purchased("one"))
                inner.execute(statement if kind == "connection" else text(statement))
        publish(opened, shop.sales, purchased("two"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("two")


def test_a_unit_of_work_on_an_engine_of_the_users_own_is_refused_likewise() -> None:
    from sqlalchemy import create_engine

    shop = declare()
    with started(shop.system) as opened:
        engine = create_engine(own_url(opened.databases["sales"]))
        for how, statement in WRITES.items():
            if how == UNSEEN:
                continue
            with (
                Session(engine) as session,
                pytest.raises((OwnTableRefused, UnitOfWorkBroken), match=REFUSED),
                shop.sales.unit_of_work(session) as unit_of_work,
            ):
                unit_of_work.publish(purchased("one"))
                session.execute(text(sql(statement)))
        engine.dispose()
        opened.settle()

        assert bills(opened, shop.finance) == []


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_the_words_of_the_core_itself_are_refused_though_it_has_prepared_them(kind: str) -> None:
    outcome: list[type[BaseException]] = []

    def write(run: Any, event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        statement = sql("DELETE FROM preterite_outbox WHERE id <= 1000")
        for own in ("INSERT INTO preterite_outbox (partition, event_id, envelope) VALUES (1, x'00', x'00')", statement):
            try:
                run(sql(own))
            except OwnTableRefused as error:
                outcome.append(type(error))

    shop = shop_of(write, kind)
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in ("a", "b")))
        opened.settle()

        assert set(outcome) == {OwnTableRefused}
        assert len(outcome) >= 4


@pytest.mark.parametrize("kind", ["connection", "session", "async session"])
def test_own_tables_can_be_read(kind: str) -> None:
    def read(run: Any, event: ItemPurchased, _unit_of_work: UnitOfWork) -> None:
        run(sql(READS[0]))
        if event.purchase_id == id_of("a"):
            run(sql(READS[1]))

    shop = shop_of(read, kind)
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in ("a", "b")))
        opened.settle()

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b"))


class Remind(Command):
    """Ask once more."""


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_schedules_and_events_are_written_by_the_core_all_the_same(kind: str) -> None:
    shop = declare(bills=False)
    happened: list[str] = []

    def act(unit_of_work: UnitOfWork, event: ItemPurchased, run: Any) -> None:
        token = unit_of_work.schedule(Remind(), after=timedelta(hours=1))
        unit_of_work.reschedule(token, after=timedelta(hours=2))
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
        with suppress(OwnTableRefused):
            run(sql("delete from preterite_scheduled"))

    if kind == "connection":

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
            act(unit_of_work, event, connection.execute)
    else:

        @shop.finance.handles(ItemPurchased)
        def bill_in_session(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
            act(unit_of_work, event, lambda one: session.execute(text(one)))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    @shop.finance.handles(Remind)
    def remind(_command: Remind) -> None:
        happened.append("reminded")

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        opened.clock.advance(timedelta(hours=3))
        opened.settle()

        assert happened == ["reminded"]
        assert [event.purchase_id for event in opened.published(ItemBilled)] == [id_of("a")]
