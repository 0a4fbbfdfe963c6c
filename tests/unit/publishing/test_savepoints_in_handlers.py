"""Handlers: what a savepoint of any sort takes back, whoever has made it, is not announced."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support import postgres
from support.session_programs import (
    BareDesk,
    Base,
    Desk,
    InSavepoint,
    Program,
    Run,
    Sent,
    SessionDesk,
    Write,
    run_to_its_end,
)

from preterite import Component, Event, System, UnitOfWork
from preterite.testing import StartedSystem, started


class Asked(Event, key="lane"):
    lane: str
    n: int


class Answered(Event, key="lane"):
    lane: str
    n: int


SORTS = {
    "connection": ["text", "driver"],
    "session": ["session", "connection", "text", "driver"],
    "async session": ["session", "connection", "text", "driver"],
}
ROWS = 100
"""More than a program writes."""


def programs_of(kind: str) -> list[Program]:
    """Each sort of savepoint in another one of each sort, undone or kept."""
    write = Write("core")
    return [
        [write, InSavepoint(outer, [write, InSavepoint(inner, [write], undone), write], not undone), write]
        for outer in SORTS[kind]
        for inner in SORTS[kind]
        for undone in (True, False)
    ]


def declare(kind: str, connection_type: Any) -> tuple[Component, Component]:
    sales = Component("sales", publishes=[Asked])
    finance = Component("finance", publishes=[Answered], tables=Base.metadata)
    programs = programs_of(kind)

    def run(event: Asked, desk: Desk, unit_of_work: UnitOfWork) -> Run:
        async def at(step: Any) -> Any:
            return step(desk)

        return Run(at, lambda n: unit_of_work.publish(Answered(lane="one", n=n)), event.n * ROWS)

    if kind == "connection":

        def answer(event: Asked, connection: Any, unit_of_work: UnitOfWork) -> None:
            run_to_its_end(run(event, BareDesk(connection), unit_of_work).run(programs[event.n]))

        answer.__annotations__["connection"] = connection_type
        finance.handles(Asked)(answer)
    elif kind == "session":

        @finance.handles(Asked)
        def answer_in_session(event: Asked, session: Session, unit_of_work: UnitOfWork) -> None:
            run_to_its_end(run(event, SessionDesk(session), unit_of_work).run(programs[event.n]))

    else:

        @finance.handles(Asked)
        async def answer_in_async_session(event: Asked, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
            async def at(step: Any) -> Any:
                return await session.run_sync(lambda plain: step(SessionDesk(plain)))

            publish = run(event, SessionDesk(session.sync_session), unit_of_work).publish
            await Run(at, publish, event.n * ROWS).run(programs[event.n])

    return sales, finance


def holds(shop: StartedSystem, sales: Component, finance: Component, kind: str) -> None:
    """Ask for every program in one batch; then the rows that stand are those that were announced."""
    programs = programs_of(kind)
    with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for n in range(len(programs)):
            unit_of_work.publish(Asked(lane="one", n=n))
    shop.settle()
    with shop.session(finance) as session:
        rows = sorted(session.scalars(select(Sent.n)))

    assert rows == sorted(event.n for event in shop.published(Answered))
    # Of five rows, either the inner savepoint is undone, with one, or the outer one, with three.
    assert len(rows) == len(programs) // 2 * (4 + 2)


@pytest.mark.parametrize("kind", SORTS)
def test_what_a_savepoint_of_any_sort_takes_back_in_a_handler_is_not_announced(kind: str) -> None:
    sales, finance = declare(kind, sqlite3.Connection)
    with started(System("shop", [sales, finance])) as shop:
        holds(shop, sales, finance, kind)


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("kind", SORTS)
def test_it_is_not_on_postgresql(kind: str) -> None:
    sales, finance = declare(kind, psycopg.Connection)
    with postgres.databases() as make:
        urls = {name: make(name) for name in ("sales", "finance")}
        with started(System("shop", [sales, finance]), databases=urls) as shop:
            holds(shop, sales, finance, kind)
