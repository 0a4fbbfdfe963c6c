"""Parts on PostgreSQL: they read in transactions that cannot write, side by side, with any kind of connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session
from support import postgres

from preterite import Component, System
from preterite.composition import Composer, Page, Parts, State
from preterite.testing import StartedSystem, started

library = Component("library", tables="create table book (name text)")
system = System("books", [library])
READ, WRITE = "select name from book order by name", "insert into book values ('Stolen')"


@pytest.fixture
def shop() -> Iterator[StartedSystem]:
    with postgres.databases() as make, started(system, databases={"library": make("library")}) as opened:
        with opened.connection(library) as connection, library.unit_of_work(connection):
            connection.execute("insert into book values ('Emma'), ('Persuasion')")
        yield opened


def by_session(session: Session) -> list[str]:
    return list(session.scalars(text(READ)))


def by_connection(connection: Connection) -> list[str]:
    return list(connection.scalars(text(READ)))


def by_driver(connection: psycopg.Connection[Any]) -> list[str]:
    return [name for (name,) in connection.execute(READ).fetchall()]


def thief_by_session(session: Session) -> None:
    session.execute(text(WRITE))
    session.commit()


def thief_by_connection(connection: Connection) -> None:
    connection.execute(text(WRITE))
    connection.commit()


def thief_by_driver(connection: psycopg.Connection[Any]) -> None:
    connection.execute(WRITE)
    connection.commit()


def thief_with_a_mode(connection: Connection) -> None:
    connection.execute(text("set transaction read write"))
    connection.execute(text(WRITE))
    connection.commit()


def thief_after_the_end(connection: psycopg.Connection[Any]) -> None:
    connection.commit()
    connection.execute(WRITE)


def thief_behind_sqlalchemy(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.rollback()
    connection.execute(text(WRITE))


def pid(connection: Connection) -> int | None:
    return connection.scalar(text("select pg_backend_pid()"))


def page_of(*functions: Callable[..., Any]) -> Page:
    parts = Parts(library)
    return Page("books", parts=[parts.part(fallback="Not now.")(function) for function in functions])


def test_parts_read_and_cannot_write(shop: StartedSystem) -> None:
    page = page_of(thief_by_session, thief_by_connection, thief_by_driver, by_session, by_connection, by_driver)
    with Composer(shop, [page], optional_seconds=60) as composer:
        composer.compose(page)
        composed = composer.compose(page)

    assert [slot.state for slot in composed.slots.values()] == [State.FAILED] * 3 + [State.FILLED] * 3
    assert [slot.value for slot in list(composed.slots.values())[3:]] == [["Emma", "Persuasion"]] * 3


def test_a_part_cannot_allow_itself_to_write_nor_end_the_transaction_that_cannot(shop: StartedSystem) -> None:
    page = page_of(thief_with_a_mode, thief_after_the_end, thief_behind_sqlalchemy, by_session)
    with Composer(shop, [page], optional_seconds=60) as composer:
        composed = [composer.compose(page) for _ in range(2)][-1]

    assert [slot.state for slot in composed.slots.values()] == [State.FAILED] * 3 + [State.FILLED]
    assert composed["by_session"].value == ["Emma", "Persuasion"]


def test_a_part_whose_connection_the_server_has_ended_meanwhile_reads_over_another_one(shop: StartedSystem) -> None:
    page = page_of(pid)
    with Composer(shop, [page], optional_seconds=60) as composer:
        first = composer.compose(page)["pid"]
        with shop.connection(library) as connection, library.unit_of_work(connection):
            connection.execute("select pg_terminate_backend(%s, 60000)", [first.value])
        second = composer.compose(page)["pid"]

    assert (first.state, second.state) == (State.FILLED, State.FILLED)
    assert first.value != second.value


def test_views_whose_parts_wait_for_a_server_are_asked_side_by_side(
    shop: StartedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If `inline` had an effect here, the event loop would be blocked until the barrier breaks.
    monkeypatch.setattr("preterite.composition.context.INLINE_SECONDS", 120.0)
    together = threading.Barrier(3, timeout=60)

    def meeting(connection: Connection) -> int:
        return together.wait()

    page = page_of(meeting)

    async def three(composer: Composer) -> list[Any]:
        return await asyncio.gather(*(composer.compose_async(page) for _ in range(3)))

    with Composer(shop, [page], optional_seconds=120, inline=True) as composer:
        views = asyncio.run(three(composer))

    assert sorted(view["meeting"].value for view in views) == [0, 1, 2]
