"""Promises 1 and 2 on PostgreSQL, whatever a handler or a unit of work does by the driver, past its `execute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.adapt import AdaptersMap, Dumper, Loader
from sqlalchemy import text
from sqlalchemy.orm import Session
from support.any_store import Connection, own_connection, servers_only, started
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

from preterite import Command, Recoverability, UnitOfWork
from preterite.errors import UnitOfWorkBroken

if TYPE_CHECKING:
    from psycopg.abc import Buffer

pytestmark = servers_only
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
INSERT = text("insert into bill (purchase, customer) values (:purchase, :customer)")
ENDING = "create procedure ending() language plpgsql as $$ begin commit; end $$"


class WrongLoader(Loader):
    def load(self, data: Buffer) -> str:
        return "wrong"


class WrongDumper(Dumper):
    oid = 25

    def dump(self, obj: Any) -> bytes:
        return b"wrong"


def _raw(*statements: str) -> Callable[[Any], None]:
    def act(connection: Any) -> None:
        for statement in statements:
            connection.pgconn.exec_(statement.encode())

    return act


def _copy(statement: str) -> Callable[[Any], None]:
    def act(connection: Any) -> None:
        with connection.cursor().copy(statement) as copied:
            list(copied)

    return act


def _stream(connection: Any) -> None:
    list(connection.cursor().stream("commit"))


def _in_pipeline(connection: Any) -> None:
    with connection.pipeline():
        connection.execute("select 1")
        connection.execute("commit")


def _by_another_cursor(connection: Any) -> None:
    connection.cursor_factory = psycopg.ClientCursor
    connection.execute("commit; begin")


def _load_wrongly(connection: Any) -> None:
    for name in ("text", "int4", "int8", "bytea", "bool", "float8"):
        connection.adapters.register_loader(name, WrongLoader)


def _dump_wrongly(connection: Any) -> None:
    for kind in (str, int, bytes, float, list):
        connection.adapters.register_dumper(kind, WrongDumper)


ENDS: dict[str, Callable[[Any], object]] = {
    "commit by libpq": _raw("commit"),
    "commit by libpq, and another transaction": _raw("commit", "begin"),
    "roll back by libpq, and another transaction": _raw("rollback", "begin; set local preterite.batch to 'open'"),
    "commit by the libpq of what is known": lambda connection: connection.info.pgconn.exec_(b"commit"),
    "a block that commits": lambda connection: connection.execute("do $$ begin commit; end $$"),
    "a procedure that commits": lambda connection: connection.execute("call ending()"),
    "several statements": lambda connection: connection.execute("commit; begin"),
    "a copy behind a commit": _copy("commit; copy bill to stdout"),
    "a stream": _stream,
    "a pipeline": _in_pipeline,
    "another kind of cursor": _by_another_cursor,
    "a cursor of the driver's": lambda connection: psycopg.Cursor(connection).execute("commit; begin"),
}
SETS: dict[str, Callable[[Any], object]] = {
    "loaders of its own": _load_wrongly,
    "dumpers of its own": _dump_wrongly,
    "a pipeline of its own": lambda connection: connection.pipeline().__enter__(),
}
WAYS = {**ENDS, **SETS}


@pytest.mark.rule(9)
@pytest.mark.parametrize("kind", ["connection", "session"])
def test_a_row_and_its_event_stand_or_fall_together_whatever_a_handler_does_by_its_driver(kind: str) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    def act(event: ItemPurchased, connection: Any, unit_of_work: UnitOfWork) -> None:
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
        how = next((how for how in WAYS if event.purchase_id == id_of(how)), None)
        if how is not None:
            WAYS[how](connection)

    if kind == "connection":

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
            insert_bill(connection, event)
            act(event, connection, unit_of_work)

    else:

        @shop.finance.handles(ItemPurchased)
        def bill_in_session(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
            session.execute(INSERT, {"purchase": str(event.purchase_id), "customer": str(event.customer_id)})
            act(event, session.connection().connection.driver_connection, unit_of_work)

    neighbours = [f"neighbour {how}" for how in WAYS]
    names = [name for both in zip(neighbours, WAYS, strict=True) for name in both]
    with started(shop.system) as opened:
        opened.databases["finance"].create_tables(ENDING)
        publish(opened, shop.sales, *(purchased(name, name) for name in names))
        opened.settle(failures="park")
        billed = bills(opened, shop.finance)
        announced = [str(event.purchase_id) for event in opened.published(ItemBilled)]
        dead = letters(opened, shop.finance)

    assert sorted(announced) == sorted(billed)
    assert [how for how in neighbours if billed.count(*texts(how)) != 1] == []
    assert [how for how in WAYS if billed.count(*texts(how)) > 1] == []
    assert len(dead) + sum(billed.count(*texts(how)) for how in WAYS) == len(WAYS)
    assert [how for how in ENDS if billed.count(*texts(how))] == []
    assert {letter.failure.error for letter in dead if letter.failure} <= {
        "HandlerEndedTransaction",
        "InvalidTransactionTermination",
    }


@pytest.mark.parametrize("how", ["commit by libpq", "a copy behind a commit", "a stream", "a cursor of the driver's"])
def test_a_unit_of_work_refuses_its_end_by_the_driver_and_keeps_nothing(how: str) -> None:
    shop = declare()
    with started(shop.system) as opened:
        with (
            opened.connection(shop.sales) as connection,
            pytest.raises(UnitOfWorkBroken),
            shop.sales.unit_of_work(connection) as unit_of_work,
        ):
            unit_of_work.publish(purchased("one"))
            ENDS[how](connection)
        publish(opened, shop.sales, purchased("two"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("two")


class Remind(Command):
    """Ask once more."""


def test_a_unit_of_work_on_a_connection_that_reads_and_writes_otherwise_is_as_any() -> None:
    shop = declare()

    @shop.sales.handles(Remind)
    def remind(_command: Remind) -> None: ...

    with started(shop.system) as opened:
        connection: Any = own_connection(opened.databases["sales"])
        _load_wrongly(connection)
        _dump_wrongly(connection)
        with connection, shop.sales.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(purchased("one"))
            unit_of_work.cancel(unit_of_work.schedule(Remind(), at=AT))
        opened.settle()

        assert bills(opened, shop.finance) == texts("one")


def test_what_a_handler_registers_on_its_connection_serves_it_until_it_returns() -> None:
    shop = declare(bills=False)
    read: list[Any] = []
    maps: list[AdaptersMap] = []

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        driver: Any = connection
        maps.append(driver.adapters)
        read.append(driver.execute("select 'right'").fetchone()[0])
        _load_wrongly(driver)
        read.append(driver.execute("select 'right'").fetchone()[0])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "a"), purchased("b", "b"))
        opened.settle()

    assert read == ["right", "wrong", "right", "wrong"]
    assert maps[0] is not maps[1]
