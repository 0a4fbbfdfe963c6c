"""Units of work on sessions of every kind: several databases, two phases, hooks, scopes; and units that are dropped."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker
from sqlalchemy.util import await_only
from support.session_programs import Base, Sent

from preterite import Component, Event, System
from preterite.errors import ConfigurationError, UnitOfWorkBroken, UnitOfWorkNested, UnitOfWorkSealed
from preterite.testing import StartedSystem, started


class Numbered(Event, key="lane"):
    lane: str
    n: int


class ElsewhereBase(DeclarativeBase):
    pass


class Elsewhere(ElsewhereBase):
    __tablename__ = "elsewhere"
    n: Mapped[int] = mapped_column(primary_key=True)


SALES = Component("sales", publishes=[Numbered], tables=Base.metadata)


@pytest.fixture
def shop() -> Iterator[StartedSystem]:
    with started(System("shop", [SALES])) as opened:
        yield opened


def numbered(n: int) -> Numbered:
    return Numbered(lane="one", n=n)


def stands(shop: StartedSystem) -> tuple[list[int], list[int]]:
    """The rows, and what was announced."""
    shop.settle()
    with shop.session(SALES) as session:
        return sorted(session.scalars(select(Sent.n))), sorted(event.n for event in shop.published(Numbered))


def publish(session: Session, n: int = 1) -> None:
    with SALES.unit_of_work(session) as unit_of_work:
        session.add(Sent(n=n))
        unit_of_work.publish(numbered(n))


def test_a_unit_inside_begin_commits_at_its_own_end_and_nothing_follows_it_there(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, pytest.raises(InvalidRequestError), session.begin():
        session.add(Sent(n=1))
        publish(session, 2)
        session.add(Sent(n=3))
        session.flush()

    assert stands(shop) == ([1, 2], [2])


@pytest.mark.parametrize("block", ["begin", "begin_nested"])
def test_what_raises_after_the_unit_in_a_block_around_it_takes_nothing_back(shop: StartedSystem, block: str) -> None:
    with shop.session(SALES) as session, pytest.raises(KeyError), getattr(session, block)():
        publish(session)
        raise KeyError

    assert stands(shop) == ([1], [1])


def test_begin_inside_a_unit_is_refused_and_nothing_is_kept(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, pytest.raises(InvalidRequestError), SALES.unit_of_work(session) as work:
        work.publish(numbered(1))
        with session.begin():
            session.add(Sent(n=1))

    assert stands(shop) == ([], [])


@pytest.mark.parametrize("kept", [True, False])
def test_on_a_connection_with_an_outer_transaction_rows_and_events_stand_or_fall_with_that(
    shop: StartedSystem, kept: bool
) -> None:
    with shop.session(SALES) as session:
        engine = session.get_bind()
    assert isinstance(engine, Engine)
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection) as session:
            publish(session)
        outer.commit() if kept else outer.rollback()

    assert stands(shop) == (([1], [1]) if kept else ([], []))


def test_a_session_that_writes_to_a_second_database_is_refused_and_nothing_is_kept_in_either(
    shop: StartedSystem, tmp_path: Path
) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.sqlite")
    ElsewhereBase.metadata.create_all(other)
    engine = shop.runtime.sessions.engine("sales")

    with pytest.raises(ConfigurationError, match="uses a second database"):
        with Session(engine, binds={Elsewhere: other}) as session, SALES.unit_of_work(session) as unit_of_work:
            session.add_all([Sent(n=1), Elsewhere(n=1)])
            unit_of_work.publish(numbered(1))

    with Session(other) as session:
        assert session.scalars(select(Elsewhere.n)).all() == []
    other.dispose()
    assert stands(shop) == ([], [])


def test_a_refused_second_database_that_user_code_swallows_still_keeps_nothing(
    shop: StartedSystem, tmp_path: Path
) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.sqlite")
    ElsewhereBase.metadata.create_all(other)
    engine = shop.runtime.sessions.engine("sales")

    with pytest.raises(UnitOfWorkBroken, match="second database"):
        with Session(engine, binds={Elsewhere: other}) as session, SALES.unit_of_work(session) as unit_of_work:
            session.add(Sent(n=1))
            unit_of_work.publish(numbered(1))
            for _ in range(2):
                with pytest.raises((ConfigurationError, UnitOfWorkBroken)):
                    session.scalars(select(Elsewhere.n))

    other.dispose()
    assert stands(shop) == ([], [])


def test_a_session_with_two_phases_is_refused_in_a_sentence(shop: StartedSystem) -> None:
    engine = shop.runtime.sessions.engine("sales")

    with pytest.raises(ConfigurationError, match="twophase=True"):
        with Session(engine, twophase=True) as session, SALES.unit_of_work(session):
            pass


@pytest.mark.parametrize(
    ("hook", "says", "kept"),
    [
        ("before_commit", "while its unit of work committed; all of it is rolled back", []),
        ("after_commit", "after its unit of work had committed; that stands, only this is lost", [1]),
    ],
)
def test_publishing_in_a_hook_of_the_commit_says_what_became_of_the_unit(
    shop: StartedSystem, hook: str, says: str, kept: list[int]
) -> None:
    with pytest.raises(UnitOfWorkSealed, match=says):
        with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
            event.listen(session, hook, lambda *_: unit_of_work.publish(numbered(2)))
            session.add(Sent(n=1))
            unit_of_work.publish(numbered(1))

    assert stands(shop) == (kept, kept)


def test_what_a_flush_publishes_goes_with_the_unit(shop: StartedSystem) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        event.listen(session, "before_flush", lambda *_: unit_of_work.publish(numbered(1)))
        session.add(Sent(n=1))

    assert stands(shop) == ([1], [1])


def test_a_scoped_session_is_the_session_of_its_scope(shop: StartedSystem) -> None:
    sessions = scoped_session(sessionmaker(shop.runtime.sessions.engine("sales")))

    with SALES.unit_of_work(sessions) as unit_of_work:
        sessions.add(Sent(n=1))
        unit_of_work.publish(numbered(1))

    sessions.remove()
    assert stands(shop) == ([1], [1])


def test_what_a_failed_unit_has_loaded_stays_in_its_session_for_another_attempt(shop: StartedSystem) -> None:
    with shop.session(SALES) as session:
        with SALES.unit_of_work(session):
            session.add(Sent(n=1))
        loaded = session.get_one(Sent, 1)
        with pytest.raises(IntegrityError), SALES.unit_of_work(session):
            session.execute(insert(Sent).values(n=2))
            session.add(Sent(n=2))

        assert loaded in session
        with SALES.unit_of_work(session) as unit_of_work:
            loaded.n = 3
            unit_of_work.publish(numbered(3))

    assert stands(shop) == ([3], [3])


async def test_an_async_scoped_session_is_the_session_of_its_scope() -> None:
    with started(System("shop", [SALES])) as shop:
        async with shop:
            engine = shop.runtime.sessions.async_engine("sales")
            sessions = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)

            async with SALES.unit_of_work(sessions) as unit_of_work:
                sessions.add(Sent(n=1))
                unit_of_work.publish(numbered(1))
            await sessions.remove()

            assert stands(shop) == ([1], [1])


async def test_a_commit_that_has_begun_comes_to_its_end_however_often_it_is_cancelled() -> None:
    with started(System("shop", [SALES])) as shop:
        async with shop, shop.session(SALES) as session:
            begun, go_on = asyncio.Event(), asyncio.Event()

            def wait(_session: Any) -> None:
                begun.set()
                await_only(go_on.wait())

            async def work() -> None:
                async with SALES.unit_of_work(session) as unit_of_work:
                    session.add(Sent(n=1))
                    unit_of_work.publish(numbered(1))
                    event.listen(session.sync_session, "before_commit", wait, once=True)

            working = asyncio.create_task(work())
            await begun.wait()
            for _ in range(3):
                working.cancel()
                await turns_of_the_loop()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await working

            assert stands(shop) == ([1], [1])
            async with SALES.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(numbered(2))


async def turns_of_the_loop() -> None:
    """Let whatever is ready run, several times."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["connection", "session"])
def test_a_unit_that_was_entered_and_dropped_leaves_its_session_to_the_next(shop: StartedSystem, kind: str) -> None:
    opener: Callable[[Component], Any] = getattr(shop, kind)
    with opener(SALES) as given:
        dropped = SALES.unit_of_work(given)
        dropped.__enter__()
        del dropped
        gc.collect()
        given.rollback()

        with SALES.unit_of_work(given) as unit_of_work:
            unit_of_work.publish(numbered(1))

    assert stands(shop) == ([], [1])


async def test_an_async_unit_that_was_entered_and_dropped_leaves_its_session_to_the_next() -> None:
    with started(System("shop", [SALES])) as shop:
        async with shop, shop.session(SALES) as session:
            dropped = SALES.unit_of_work(session)
            await dropped.__aenter__()
            del dropped
            gc.collect()
            await session.rollback()

            async with SALES.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(numbered(1))

            assert stands(shop) == ([], [1])


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("statement", ["RELEASE outer_one", "ROLLBACK TO outer_one"])
def test_a_unit_whose_sessions_savepoint_was_removed_in_sql_leaves_no_transaction_open(
    shop: StartedSystem, statement: str, levels: int
) -> None:
    with shop.session(SALES) as session:
        with pytest.raises(ZeroDivisionError), SALES.unit_of_work(session) as unit_of_work:
            cursor = session.connection().connection.cursor()
            cursor.execute("SAVEPOINT outer_one")
            for level in range(levels):
                session.begin_nested()
                session.add(Sent(n=level))
                session.flush()
            unit_of_work.publish(numbered(1))
            cursor.execute(statement)
            raise ZeroDivisionError
        with closing(shop.databases["sales"].connect()) as other:
            other.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")

    assert stands(shop) == ([], [])


@pytest.mark.parametrize("way", ["a session that controls its connection", "a session that joins", "the driver's"])
def test_a_unit_on_the_connection_of_another_one_is_refused_and_the_outer_one_goes_on(
    shop: StartedSystem, way: str
) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as outer:
        session.add(Sent(n=1))
        outer.publish(numbered(1))
        session.flush()
        connection = session.connection()
        given: Any = connection.connection.dbapi_connection
        if way != "the driver's":
            mode: Any = "control_fully" if "controls" in way else "conditional_savepoint"
            given = Session(connection, join_transaction_mode=mode)
        with pytest.raises(UnitOfWorkNested, match="the outer one goes on"), SALES.unit_of_work(given):
            raise AssertionError

    assert stands(shop) == ([1], [1])


def test_what_a_savepoint_takes_back_is_not_announced_though_the_sessions_info_was_cleared(
    shop: StartedSystem,
) -> None:
    with shop.session(SALES) as session, SALES.unit_of_work(session) as unit_of_work:
        session.info.clear()
        savepoint = session.begin_nested()
        session.add(Sent(n=1))
        unit_of_work.publish(numbered(1))
        savepoint.rollback()

    assert stands(shop) == ([], [])
