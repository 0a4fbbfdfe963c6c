"""Promise 2, once in your database, also where handlers meddle with the transaction, or are of every kind there is."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from support.any_store import IS_SQLITE, Connection, servers_only, sql, sqlite_only, started
from support.shop import (
    AT,
    ItemBilled,
    ItemPurchased,
    Shop,
    bills,
    declare,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    returned,
    texts,
)

from preterite import Recoverability, UnitOfWork
from preterite.component import ParameterKind
from preterite.errors import HandlerEndedTransaction, UnitOfWorkSealed
from preterite.handling.transaction import Batch, runner_for
from preterite.store.rows import Failure
from preterite.testing import StartedSystem

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
ADD = text("insert into bill (purchase, customer) values (:purchase, '')")


class Base(DeclarativeBase):
    pass


class Bill(Base):
    __tablename__ = "bill"
    position: Mapped[int] = mapped_column(primary_key=True)
    purchase: Mapped[str]
    customer: Mapped[str]


def failures(opened: StartedSystem, shop: Shop) -> list[Failure]:
    return [letter.failure for letter in letters(opened, shop.finance) if letter.failure is not None]


def outcome(shop: Shop) -> tuple[list[str], list[Failure]]:
    """Purchases of two customers, the second of whom meets the meddling handler: what is billed, what failed."""
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"), purchased("c", "carl"))
        opened.settle(failures="park")
        return bills(opened, shop.finance), failures(opened, shop)


# protocol rule 9: handlers do not end the transaction

ENDINGS: dict[str, Callable[[Connection], object]] = {
    "commit()": lambda connection: connection.commit(),
    "rollback()": lambda connection: connection.rollback(),
    "COMMIT": lambda connection: connection.execute(sql("COMMIT")),
    "ROLLBACK": lambda connection: connection.execute(sql("ROLLBACK")),
    "END": lambda connection: connection.execute(sql("end transaction")),
    "with": lambda connection: connection.__exit__(None, None, None),
}


def _with(connection: Any, kind: type) -> Any:
    connection.cursor_factory = kind
    return connection


_ON_SQLITE: dict[str, Callable[[Any], object]] = {
    "executescript": lambda connection: connection.executescript("select 1"),
}
_ON_POSTGRESQL: dict[str, Callable[[Any], object]] = {
    "stream": lambda connection: next(connection.cursor().stream("COMMIT")),
    "copy": lambda connection: connection.cursor().copy("ROLLBACK").__enter__(),
    "executemany": lambda connection: connection.cursor().executemany("COMMIT", [()]),
    "another class of cursors": lambda connection: _with(connection, psycopg.ClientCursor).execute("COMMIT"),
    "a raw cursor": lambda connection: next(_with(connection, psycopg.RawCursor).cursor().stream("COMMIT")),
}
ENDINGS.update(_ON_SQLITE if IS_SQLITE else _ON_POSTGRESQL)


@pytest.mark.rule(9)
@pytest.mark.parametrize("how", ENDINGS)
def test_a_handler_that_ends_the_transaction_of_its_connection_is_refused_and_said_so(how: str) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        if event.purchase_id == id_of("b"):
            ENDINGS[how](connection)

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == ["HandlerEndedTransaction"]
    assert "the transaction belongs to the batch" in failed[0].text


@pytest.mark.rule(9)
@pytest.mark.parametrize("how", ["commit", "rollback", "close", "reset", "invalidate", "__exit__"])
def test_a_handler_that_ends_the_transaction_of_its_session_is_refused(how: str) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        session.execute(ADD, {"purchase": str(event.purchase_id)})
        if event.purchase_id == id_of("b"):
            getattr(session, how)(*([None] * 3 if how == "__exit__" else []))

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == ["HandlerEndedTransaction"]


def _use_as_context(session: Session) -> None:
    with session.connection() as connection:
        connection.execute(ADD, {"purchase": "within"})


def _catch(session: Session) -> None:
    with suppress(Exception):
        session.connection().connection.close()


GIVEN_BACK: dict[str, Callable[[Session], object]] = {
    "with": _use_as_context,
    "close": lambda session: session.connection().close(),
    "invalidate": lambda session: session.connection().invalidate(),
    "detach": lambda session: session.connection().detach(),
    "close a savepoint's": lambda session: session.begin_nested().session.connection().close(),
    "give it back to the pool": lambda session: session.connection().connection.close(),
    "have the pool end it": lambda session: session.connection().connection.invalidate(),
    "have the pool end it softly": lambda session: session.connection().connection.invalidate(soft=True),
    "take it from the pool": lambda session: session.connection().connection.detach(),
    "close what it is bound to": lambda session: cast(Any, session.get_bind()).close(),
}


@pytest.mark.rule(9)
@pytest.mark.parametrize("how", GIVEN_BACK)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["Session", "AsyncSession"])
def test_a_handler_that_closes_the_connection_of_its_session_is_refused(how: str, asynchronous: bool) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    def act(session: Session, event: ItemPurchased) -> None:
        session.execute(ADD, {"purchase": str(event.purchase_id)})
        if event.purchase_id == id_of("b"):
            GIVEN_BACK[how](session)

    if asynchronous:

        @shop.finance.handles(ItemPurchased, name="bill")
        async def bill_later(event: ItemPurchased, session: AsyncSession) -> None:
            await session.run_sync(act, event)
    else:

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, session: Session) -> None:
            act(session, event)

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == ["HandlerEndedTransaction"]


def test_a_handler_that_goes_on_when_the_end_of_its_connection_is_refused_has_changed_nothing_for_others() -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        session.execute(ADD, {"purchase": str(event.purchase_id)})
        if event.purchase_id == id_of("b"):
            _catch(session)

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "b", "c"))
    assert failed == []


@pytest.mark.rule(9)
@pytest.mark.parametrize("how", ["close", "reset", "invalidate"])
def test_a_handler_that_ends_the_transaction_of_its_async_session_is_refused(how: str) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession) -> None:
        await session.execute(ADD, {"purchase": str(event.purchase_id)})
        if event.purchase_id == id_of("b"):
            await getattr(session, how)()

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == ["HandlerEndedTransaction"]


@servers_only
@pytest.mark.rule(9)
def test_a_handler_that_goes_round_the_guard_is_noticed_all_the_same() -> None:
    """By the driver's own C library, under which nothing is guarded: the batch's mark went with its transaction."""
    shop = declare()
    with started(shop.system) as opened:
        transactions = runner_for(
            {ParameterKind.CONNECTION}, opened.databases["finance"], opened.runtime.context("finance")
        )

        def meddle(batch: Batch) -> None:
            batch.argument(ParameterKind.CONNECTION).pgconn.exec_(b"COMMIT; BEGIN")

        with pytest.raises(HandlerEndedTransaction, match="has ended the batch's transaction"):
            transactions.transact(meddle)
        transactions.close()


@sqlite_only
@pytest.mark.rule(9)
def test_a_handler_that_hides_an_implicit_rollback_doubles_and_loses_nothing() -> None:
    """INSERT OR ROLLBACK ends the transaction inside SQLite; what follows must not commit by itself."""
    shop = declare(bills=False, recoverability=ONCE)
    shop.finance.tables = "create table bill (position integer primary key, purchase text unique, customer text)"

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        if event.purchase_id == id_of("b"):
            twice = f"insert or rollback into bill (purchase) values ('{event.purchase_id}')"
            for step in (
                lambda: connection.execute(twice),
                lambda: insert_bill(connection, returned("a statement that SQLite has prepared before")),
                lambda: connection.execute(sql("insert into bill (purchase) values ('a new statement')")),
                lambda: connection.execute(sql("create table committed_by_itself (a text)")),
            ):
                with suppress(sqlite3.Error):
                    step()
                    shop.attempted.append("went through")

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert shop.attempted == []
    assert {failure.error for failure in failed} == {"HandlerEndedTransaction"}


def test_savepoints_are_the_handlers_own() -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
        session.execute(ADD, {"purchase": str(event.purchase_id)})
        with pytest.raises(IntegrityError), session.begin_nested():
            unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
            session.execute(ADD, {"purchase": None})
            session.execute(text("insert into bill (position) values (1), (1)"))

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b")
        assert opened.published(ItemBilled) == [], "what was published in the savepoint went with it"


def test_a_unit_of_work_kept_beyond_its_handler_is_sealed() -> None:
    shop = declare(bills=False)
    kept: list[UnitOfWork] = []

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        kept.append(unit_of_work)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        with pytest.raises(UnitOfWorkSealed):
            kept[0].publish(ItemBilled(purchase_id=id_of("a"), customer_id=id_of("anna"), billed_at=AT))

        assert opened.published(ItemBilled) == []


# handlers that leave in other ways than an exception of their own


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, AssertionError, RecursionError, MemoryError])
def test_whatever_a_handler_raises_sets_its_event_aside_and_stops_nothing(error: type[BaseException]) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        if event.purchase_id == id_of("b"):
            raise error("enough")

    billed, failed = outcome(shop)

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == [error.__name__]


def test_a_handler_that_calls_exit_does_not_end_the_worker() -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        sys.exit(3)

    assert outcome(shop)[1][0].error == "SystemExit"


@sqlite_only
def test_another_database_that_is_locked_is_the_handlers_trouble_not_the_streams(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite", isolation_level=None)
    other.execute(sql("create table note (a text)"))
    other.execute(sql("begin exclusive"))
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        if event.purchase_id == id_of("b"):
            locked = sqlite3.connect(tmp_path / "other.sqlite", timeout=0.0)
            try:
                locked.execute(sql("insert into note values ('a')"))
            finally:
                locked.close()

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"), purchased("c", "carl"))
        opened.settle(failures="park")
        billed = bills(opened, shop.finance)
        failed = failures(opened, shop)
    other.close()

    assert sorted(billed) == sorted(texts("a", "c"))
    assert [failure.error for failure in failed] == ["OperationalError"]


# every kind of handler


def test_a_handler_sees_what_earlier_handlers_of_its_batch_wrote_also_through_the_orm() -> None:
    shop = declare(bills=False)
    seen: list[list[str]] = []

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        seen.append(list(session.scalars(select(Bill.purchase).order_by(Bill.position))))
        session.add(Bill(purchase=str(event.purchase_id), customer=""))

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"), purchased("c"))
        opened.settle()

    assert seen == [[], texts("a"), texts("a", "b")]


def test_a_handler_on_a_connection_sees_what_one_on_a_session_has_added() -> None:
    shop = declare(bills=False)
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def add(event: ItemPurchased, session: Session) -> None:
        session.add(Bill(purchase=str(event.purchase_id), customer=""))

    @shop.finance.handles(ItemPurchased)
    def count(event: ItemPurchased, connection: Connection) -> None:
        seen.append(connection.execute(sql("select count(*) from bill")).fetchone()[0])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

    assert seen == [1, 2]


def test_async_handlers_work_on_async_sessions_and_beside_plain_ones() -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
        await asyncio.sleep(0)
        session.add(Bill(purchase=str(event.purchase_id), customer=""))
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
        if event.purchase_id == id_of("b"):
            await session.commit()

    @shop.finance.handles(ItemPurchased, lane="count")
    def count(event: ItemPurchased, session: Session) -> None:
        shop.attempted.append(str(len(session.scalars(select(Bill.purchase)).all())))

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"), purchased("c", "carl"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "c"))
        assert sorted(str(event.purchase_id) for event in opened.published(ItemBilled)) == sorted(texts("a", "c"))
        assert [failure.error for failure in failures(opened, shop)] == ["HandlerEndedTransaction"]


def test_async_handlers_work_on_plain_connections() -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, connection: Connection) -> None:
        await asyncio.sleep(0)
        insert_bill(connection, event)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b")


def test_an_async_handler_behind_a_plain_decorator_is_run_to_its_end() -> None:
    shop = declare(bills=False)

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def tell(*arguments: Any) -> Any:
            shop.attempted.append("told")
            return function(*arguments)

        return tell

    @shop.finance.handles(ItemPurchased)
    @told
    async def bill(event: ItemPurchased, connection: Connection) -> None:
        await asyncio.sleep(0)
        insert_bill(connection, event)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()

        assert (shop.attempted, bills(opened, shop.finance)) == (["told"], texts("a"))
