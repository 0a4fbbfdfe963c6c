"""Whatever user code does with its session or connection in a unit of work: rows stand if and only if their events do.

The transaction that `with` has opened is the one that it ends, or the unit refuses and keeps nothing.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from support import postgres, tiers
from support.session_programs import (
    BARE_ENDS,
    DRIVER_ENDS,
    SESSION_ENDS,
    BareDesk,
    Base,
    Catch,
    Desk,
    End,
    Fail,
    InSavepoint,
    Program,
    Run,
    SessionDesk,
    Write,
    ends,
    programs,
    run_to_its_end,
)

from preterite import Component, Event, System
from preterite.errors import UnitOfWorkBroken
from preterite.testing import StartedSystem, started

EXAMPLES = tiers.sample(25, 250)


class Numbered(Event, key="lane"):
    lane: str
    n: int


SALES = Component("sales", publishes=[Numbered], tables=Base.metadata)
SYSTEM = System("shop", [SALES])
BARE = ("connection", "own connection")
SESSIONS = ("session", "async session", "own session", "own async session")
OURS = ("connection", "session", "async session")


def writes(kind: str) -> list[str]:
    return ["driver"] if kind in BARE else ["orm", "core", "text", "driver"]


def sorts(kind: str) -> list[str]:
    """Sorts of savepoints. What a driver does behind SQLAlchemy's back on an engine that is not ours is not seen."""
    if kind in BARE:
        return ["text", "driver"]
    return ["session", "connection", "text", *(["driver"] if kind in OURS else [])]


def ways(kind: str) -> list[End]:
    """Ways to end the transaction."""
    if kind in BARE:
        return BARE_ENDS
    return [*SESSION_ENDS, *(DRIVER_ENDS if kind in OURS else [])]


class Place:
    """A started system on one kind of database, and what stands in it."""

    def __init__(self, shop: StartedSystem, url: str) -> None:
        self.shop = shop
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        scheme = "sqlite" if self.is_sqlite else "postgresql+psycopg"
        self.engine = create_engine(f"{scheme}{url[url.index(':') :]}")

    def stands(self) -> tuple[list[int], list[int]]:
        """The rows, and the events that wait to be announced, each in order."""
        store = self.shop.databases["sales"].store
        with self.shop.connection(SALES) as connection:
            rows = [row[0] for row in connection.execute("select n from sent order by n").fetchall()]
            events = [json.loads(bytes(one))["data"]["n"] for one in store.outbox(connection)]
        return rows, sorted(events)

    def clear(self) -> None:
        with self.shop.connection(SALES) as connection:
            connection.execute("delete from sent")
            connection.execute(f"delete from preterite{'_' if self.is_sqlite else '.'}outbox")

    def run(self, program: Program, kind: str) -> BaseException | None:
        """Run a program in a unit of work; returns what the unit has raised."""
        try:
            if "async" in kind:
                asyncio.run(self._run_async(program, kind))
            else:
                with self._opened(kind) as given, SALES.unit_of_work(given) as unit_of_work:
                    desk: Desk = SessionDesk(given) if isinstance(given, Session) else BareDesk(given)

                    async def at(step: Any) -> Any:
                        return step(desk)

                    run = Run(at, lambda n: unit_of_work.publish(Numbered(lane="one", n=n)))
                    run_to_its_end(run.run(program))
        except Exception as error:
            return error
        return None

    async def _run_async(self, program: Program, kind: str) -> None:
        async with self._opened_async(kind) as session, SALES.unit_of_work(session) as unit_of_work:

            async def at(step: Any) -> Any:
                return await session.run_sync(lambda plain: step(SessionDesk(plain)))

            await Run(at, lambda n: unit_of_work.publish(Numbered(lane="one", n=n))).run(program)

    @contextmanager
    def _opened(self, kind: str) -> Generator[Any]:
        if kind == "connection":
            with self.shop.connection(SALES) as connection:
                yield connection
        elif kind == "session":
            with self.shop.session(SALES) as session:
                yield session
        elif kind == "own session":
            with Session(self.engine) as session:
                yield session
        else:
            connection = sqlite3.connect(self.url[10:]) if self.is_sqlite else psycopg.connect(self.url)
            try:
                yield connection
            finally:
                connection.close()

    @asynccontextmanager
    async def _opened_async(self, kind: str) -> AsyncGenerator[AsyncSession]:
        if kind == "async session":
            try:
                async with self.shop.session(SALES) as session:
                    yield session
            finally:
                await self.shop.runtime.sessions.close_async()
            return
        url = self.engine.url.set(drivername="sqlite+aiosqlite") if self.is_sqlite else self.engine.url
        engine = create_async_engine(url)
        try:
            async with AsyncSession(engine) as session:
                yield session
        finally:
            await engine.dispose()


@pytest.fixture(scope="module")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path_factory.mktemp('units')}/sales.sqlite"
    with started(SYSTEM, databases={"sales": url}) as shop:
        place = Place(shop, url)
        yield place
        place.engine.dispose()


@pytest.fixture(scope="module")
def postgres_place() -> Iterator[Place]:
    with postgres.databases() as make, started(SYSTEM, databases={"sales": make("sales")}) as shop:
        place = Place(shop, make("sales"))
        yield place
        place.engine.dispose()


def runs(kind: str, program: Program, place: Place, *, guarded: bool) -> None:
    """What holds after every program."""
    place.clear()
    error = place.run(program, kind)
    rows, events = place.stands()

    if kind == "own connection" and ends(program) and error is not None:
        # Nothing keeps a connection that the user has opened from committing once more, after the unit was ended.
        assert set(events) <= set(rows), f"rows {rows}, events {events}, after {error!r}"
    else:
        assert rows == events, f"rows {rows}, events {events}, after {error!r}"
    if guarded and error is not None:
        assert rows == []
    if not ends(program):
        assert not isinstance(error, UnitOfWorkBroken)


A, B = Write("core"), Write("core", event_first=True)


def around(end: End) -> Sequence[Program]:
    """What may stand around an end. A savepoint outside of a transaction would be one, and its release commit."""
    alone = InSavepoint("text", [A], undone=False)
    return (
        [A, end],
        [A, end, B],
        [A, end, B, Fail()],
        [A, Catch([end]), B],
        [end, A],
        [A, Catch([end, Fail()])],
        [Catch([end]), alone, Fail()],
    )


def catalogue(kinds: Sequence[str]) -> list[Any]:
    return [
        pytest.param(kind, end, id=f"{kind}-{end.by}-{end.what.strip('/* ')}") for kind in kinds for end in ways(kind)
    ]


@pytest.mark.parametrize(("kind", "end"), catalogue((*BARE, *SESSIONS)))
def test_a_unit_of_work_whose_transaction_user_code_ends_keeps_rows_and_events_together(
    kind: str, end: End, sqlite_place: Place
) -> None:
    for program in around(end):
        runs(kind, program, sqlite_place, guarded=kind != "own connection")


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize(("kind", "end"), catalogue((*BARE, *SESSIONS)))
def test_it_does_so_on_postgresql(kind: str, end: End, postgres_place: Place) -> None:
    for program in around(end):
        runs(kind, program, postgres_place, guarded=kind != "own connection")


@pytest.mark.parametrize("kind", [*BARE, *SESSIONS])
def test_ending_the_transaction_is_refused_even_where_nothing_was_done(kind: str, sqlite_place: Place) -> None:
    for end in ways(kind):
        assert isinstance(sqlite_place.run([Catch([end])], kind), UnitOfWorkBroken), end


def savepoints(kind: str) -> list[Program]:
    """Each sort of savepoint, undone and kept, in another one of each sort."""
    return [
        [A, InSavepoint(outer, [A, InSavepoint(inner, [B], undone), A], outer_undone), B]
        for outer in sorts(kind)
        for inner in sorts(kind)
        for undone in (True, False)
        for outer_undone in (True, False)
    ]


@pytest.mark.parametrize("kind", [*BARE, *SESSIONS])
def test_what_any_sort_of_savepoint_takes_back_is_not_announced(kind: str, sqlite_place: Place) -> None:
    for program in savepoints(kind):
        runs(kind, program, sqlite_place, guarded=True)
        rows, _ = sqlite_place.stands()
        outer = program[1]
        assert isinstance(outer, InSavepoint)
        inner = outer.body[1]
        assert isinstance(inner, InSavepoint)
        assert rows == [1, *([] if outer.undone else [2, 4] if inner.undone else [2, 3, 4]), 5]


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("kind", [*BARE, *SESSIONS])
def test_savepoints_of_any_sort_on_postgresql(kind: str, postgres_place: Place) -> None:
    for program in savepoints(kind):
        runs(kind, program, postgres_place, guarded=True)


@pytest.mark.parametrize("kind", [*BARE, *SESSIONS])
@settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate])
@given(data=st.data())
def test_rows_and_events_stand_or_fall_together_after_any_program(
    kind: str, data: st.DataObject, sqlite_place: Place
) -> None:
    program = data.draw(programs(writes(kind), sorts(kind), ways(kind)))
    runs(kind, program, sqlite_place, guarded=kind != "own connection")


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("kind", [*BARE, *SESSIONS])
@settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_program_on_postgresql(kind: str, data: st.DataObject, postgres_place: Place) -> None:
    program = data.draw(programs(writes(kind), sorts(kind), ways(kind)))
    runs(kind, program, postgres_place, guarded=kind != "own connection")
