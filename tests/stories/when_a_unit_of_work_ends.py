"""Promise 1, atomic announce: what commits is announced; what rolls back, whole or to a savepoint, is not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event as hooks
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from support.any_store import own_connection, own_url, sql, sqlite_only, started
from support.shop import AT, ItemBilled, ItemPurchased, declare, id_of, publish, purchased, texts

from preterite import Component, Event, OpenSystem, System, UnitOfWork
from preterite.errors import (
    ConfigurationError,
    EventTooLarge,
    ForeignEvent,
    InvalidEvent,
    StoreUnavailable,
    UnitOfWorkNested,
    UnitOfWorkSealed,
    UsageError,
    WrongDatabase,
)
from preterite.testing import StartedSystem

SHOP = declare(bills=False)
SALES = SHOP.sales
INSERT = text("insert into purchase values (:id)")


@pytest.fixture
def shop() -> Iterator[StartedSystem]:
    with started(SHOP.system) as opened:
        yield opened


def announced(shop: OpenSystem) -> list[str]:
    """What Sales has told the world, in order."""
    shop.settle()
    return [str(event.purchase_id) for event in shop.published(ItemPurchased)]


def rows(shop: OpenSystem) -> list[str]:
    """What Sales has in its own table, in order."""
    with shop.connection(SALES) as connection:
        return [row[0] for row in connection.execute(sql("select id from purchase order by rowid"))]


@sqlite_only
@pytest.mark.parametrize("by", ["connection", "session", "asyncio"])
async def test_a_unit_of_work_on_a_locked_database_does_not_begin_and_says_so(
    shop: StartedSystem, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 20)
    says = "'sales' is not available: database is locked. .* nothing was written, and nothing is published"
    locking = own_connection(shop.databases["sales"])
    locking.execute("begin immediate")
    async with AsyncExitStack() as stack:
        if by == "asyncio":
            given = await stack.enter_async_context(shop.session(SALES))
        else:
            opening = shop.session(SALES) if by == "session" else shop.connection(SALES)
            given = stack.enter_context(opening)
        with pytest.raises(StoreUnavailable, match=says):
            async with SALES.unit_of_work(given) as unit_of_work:
                unit_of_work.publish(purchased("a"))
        locking.rollback()
        async with SALES.unit_of_work(given) as unit_of_work:
            unit_of_work.publish(purchased("b"))
        if by == "asyncio":
            await shop.runtime.sessions.close_async()
    locking.close()

    assert await asyncio.to_thread(announced, shop) == texts("b")


def test_what_commits_on_a_bare_connection_is_published(shop: StartedSystem) -> None:
    publish(shop, SALES, purchased("a"), purchased("b"))

    assert rows(shop) == announced(shop) == texts("a", "b")


def test_what_commits_in_a_session_is_published(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        session.execute(INSERT, {"id": str(id_of("a"))})
        unit_of_work.publish(purchased("a"))

    assert rows(shop) == announced(shop) == texts("a")


async def in_an_async_session(shop: StartedSystem, *names: str, failing: bool = False) -> None:
    async with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        for name in names:
            await session.execute(INSERT, {"id": str(id_of(name))})
            unit_of_work.publish(purchased(name))
        if failing:
            raise RuntimeError("changed my mind")


async def test_what_commits_in_an_async_session_is_published() -> None:
    with started(SHOP.system) as opened:
        async with opened as shop:
            await in_an_async_session(opened, "a", "b")
            await shop.settled()

            assert rows(shop) == announced(shop) == texts("a", "b")


async def test_what_fails_in_an_async_session_is_not_published() -> None:
    with started(SHOP.system) as opened:
        async with opened as shop:
            with pytest.raises(RuntimeError, match="changed my mind"):
                await in_an_async_session(opened, "a", failing=True)

            assert rows(shop) == announced(shop) == []


def test_what_raises_is_rolled_back_and_not_published(shop: StartedSystem) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"):
        with shop.connection(SALES) as connection, SALES.unit_of_work(connection) as unit_of_work:
            connection.execute(sql("insert into purchase values ('a')"))
            unit_of_work.publish(purchased("a"))
            raise RuntimeError("changed my mind")

    assert rows(shop) == announced(shop) == []


def test_what_fails_at_the_flush_is_not_published(shop: StartedSystem) -> None:
    publish(shop, SALES, purchased("a"))

    with pytest.raises(IntegrityError):
        with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
            unit_of_work.publish(purchased("b"))
            session.execute(INSERT, {"id": str(id_of("a"))})

    assert rows(shop) == announced(shop) == texts("a")


def test_what_a_session_rolls_back_to_a_savepoint_is_not_published(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        unit_of_work.publish(purchased("a"))
        session.execute(INSERT, {"id": str(id_of("a"))})
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            unit_of_work.publish(purchased("b"))
            with session.begin_nested():
                session.execute(INSERT, {"id": str(id_of("c"))})
                unit_of_work.publish(purchased("c"))
            _ = 1 / 0
        with session.begin_nested():
            session.execute(INSERT, {"id": str(id_of("d"))})
            unit_of_work.publish(purchased("d"))

    assert rows(shop) == announced(shop) == texts("a", "d")


def test_what_a_bare_connection_rolls_back_to_a_savepoint_is_not_published(shop: StartedSystem) -> None:
    with shop.connection(SALES) as connection, SALES.unit_of_work(connection) as unit_of_work:
        unit_of_work.publish(purchased("a"))
        connection.execute(sql("savepoint part"))
        unit_of_work.publish(purchased("b"))
        connection.execute(sql("rollback to part"))
        unit_of_work.publish(purchased("c"))

    assert announced(shop) == texts("a", "c")


def test_a_unit_of_work_joins_an_open_transaction(shop: StartedSystem) -> None:
    with shop.connection(SALES) as connection:
        connection.execute(sql("begin immediate"))
        connection.execute(sql("insert into purchase values (?)"), texts("a"))
        with SALES.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(purchased("a"))

    assert rows(shop) == announced(shop) == texts("a")


def test_one_session_serves_one_unit_of_work_after_the_other(shop: StartedSystem) -> None:
    with shop.session(SALES) as session:
        for name in ("a", "b"):
            with SALES.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(purchased(name))

    assert announced(shop) == texts("a", "b")


def test_events_of_one_key_are_published_in_the_order_of_their_commits(shop: StartedSystem) -> None:
    with shop.session(SALES) as first, shop.session(SALES) as second:
        for session, name in ((first, "a"), (second, "b"), (first, "c")):
            with SALES.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(purchased(name))

    assert announced(shop) == texts("a", "b", "c")


# what is refused, before anything is written


def test_a_late_publish_is_refused(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        pass

    with pytest.raises(UnitOfWorkSealed, match="after its unit of work had ended"):
        unit_of_work.publish(purchased("a"))
    assert announced(shop) == []


def test_a_publish_from_a_hook_of_the_commit_is_refused(shop: StartedSystem) -> None:
    with pytest.raises(UnitOfWorkSealed):
        with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
            late = unit_of_work

            def publish_late(_session: Session) -> None:
                late.publish(purchased("late"))

            hooks.listen(session, "before_commit", publish_late)
            unit_of_work.publish(purchased("a"))

    assert announced(shop) == []


def test_nesting_is_refused_and_the_outer_unit_of_work_goes_on(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        with pytest.raises(UnitOfWorkNested, match="the outer one goes on"), SALES.unit_of_work(session):
            pass
        unit_of_work.publish(purchased("a"))

    assert announced(shop) == texts("a")


def test_an_event_of_another_component_is_refused(shop: StartedSystem) -> None:
    billed = ItemBilled(purchase_id=id_of("a"), customer_id=id_of("anna"), billed_at=AT)

    with pytest.raises(ForeignEvent, match="'sales' does not own ItemBilled"):
        publish(shop, SALES, billed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"purchase_id": "no uuid"}, "ItemPurchased.purchase_id must be UUID, not str"),
        ({"purchased_at": datetime(2013, 1, 17)}, "ItemPurchased.purchased_at is a time without zone"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(shop: StartedSystem, changed: dict[str, object], says: str) -> None:
    fields = {"purchase_id": id_of("a"), "customer_id": id_of("anna"), "purchased_at": AT, **changed}

    with pytest.raises(InvalidEvent, match=says):
        publish(shop, SALES, ItemPurchased(**fields))  # pyright: ignore[reportArgumentType] - that is the test
    assert rows(shop) == announced(shop) == []


def test_the_database_of_another_component_is_refused(shop: StartedSystem) -> None:
    with shop.connection(SHOP.finance) as connection:
        with pytest.raises(WrongDatabase, match="belongs to 'finance', not to 'sales'"), SALES.unit_of_work(connection):
            pass


def test_a_database_that_was_never_opened_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "new.sqlite")

    with pytest.raises(WrongDatabase, match="belongs to no component yet"), SALES.unit_of_work(connection):
        pass
    connection.close()


def test_a_session_on_several_databases_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="several databases or none"), SALES.unit_of_work(Session()):
        pass


async def test_an_async_session_needs_async_with() -> None:
    with started(SHOP.system) as opened:
        async with opened as shop, shop.session(SALES) as session:
            with pytest.raises(ConfigurationError, match="async with"), SALES.unit_of_work(session):
                pass


# sessions and connections that the user has made


def test_a_connection_of_the_users_own_is_as_good(shop: StartedSystem) -> None:
    connection = own_connection(shop.databases["sales"])
    with SALES.unit_of_work(connection) as unit_of_work:
        connection.execute(sql("insert into purchase values (?)"), texts("a"))
        unit_of_work.publish(purchased("a"))
    connection.close()

    assert rows(shop) == announced(shop) == texts("a")


def test_an_engine_of_the_users_own_is_as_good(shop: StartedSystem) -> None:
    engine = sqlalchemy.create_engine(own_url(shop.databases["sales"]))
    with Session(engine) as session, SALES.unit_of_work(session) as unit_of_work:
        session.execute(INSERT, {"id": str(id_of("a"))})
        unit_of_work.publish(purchased("a"))
    engine.dispose()

    assert rows(shop) == announced(shop) == texts("a")


async def test_an_async_engine_of_the_users_own_is_as_good(shop: StartedSystem) -> None:
    engine = create_async_engine(own_url(shop.databases["sales"], asyncio=True))
    async with AsyncSession(engine) as session, SALES.unit_of_work(session) as unit_of_work:
        await session.execute(INSERT, {"id": str(id_of("a"))})
        unit_of_work.publish(purchased("a"))
    await engine.dispose()

    assert rows(shop) == announced(shop) == texts("a")


def test_an_event_too_large_is_refused_with_its_size() -> None:
    class NoteWritten(Event):
        text: str

    notes = Component("notes", publishes=[NoteWritten])
    with started(System("notes", [notes])) as shop:
        with pytest.raises(EventTooLarge, match=r"NoteWritten is 10,\d+,\d+ bytes; at most 262,144"):
            publish(shop, notes, NoteWritten(text="x" * 10_000_000))
        publish(shop, notes, NoteWritten(text="short"))
        shop.settle()

        assert [note.text for note in shop.published(NoteWritten)] == ["short"]


def test_a_batch_handlers_publish_must_name_its_cause() -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], unit_of_work: UnitOfWork) -> None:
        unit_of_work.publish(ItemBilled(purchase_id=id_of("a"), customer_id=id_of("anna"), billed_at=AT))

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        with pytest.raises(UsageError, match="must name the event that is the cause"):
            opened.settle()
