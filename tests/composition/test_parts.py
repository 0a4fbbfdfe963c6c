"""Part functions that do what no part should: they cost their own slot, or are refused where they are declared."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from support.paper_shop import OrderId, library, open_shop

from preterite.composition import Composer, Page, PageRequest, Parts, Slot, State
from preterite.errors import UsageError


def declared(function: Callable[..., Any], **options: Any) -> Any:
    return Parts(library).part(fallback="Not now.", **options)(function)


def slot_of(function: Callable[..., Any]) -> Slot:
    """The slot of this part on a page, with two books in its database."""
    page = Page("odd", parts=[declared(function)])
    with open_shop(OrderId(UUID(int=1)), 2) as shop, Composer(shop, [page], optional_seconds=20) as composer:
        composed = composer.compose(page)
        with shop.connection(library) as connection:
            assert connection.execute("select count(*) from book").fetchone() == (2,)
    return next(iter(composed.slots.values()))


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, StopIteration, BaseException]
)
def test_whatever_a_part_raises_it_has_failed_at_once(error: type[BaseException]) -> None:
    def raising() -> None:
        raise error

    slot = slot_of(raising)

    assert slot.state is State.FAILED
    assert slot.milliseconds < 10_000


def test_a_value_that_is_read_later_or_once_is_refused() -> None:
    """The transaction of the part has ended by then, or another part is reading."""

    def awaitable() -> Any:
        async def later() -> int:
            return 1

        return later()

    def cursor(connection: sqlite3.Connection) -> Any:
        return connection.execute("select name from book")

    def rows(connection: Connection) -> Any:
        return connection.scalars(text("select name from book"))

    def mapped() -> Any:
        return map(str, [1, 2])

    assert {slot_of(part).state for part in (awaitable, cursor, rows, mapped)} == {State.FAILED}


@pytest.mark.parametrize("statement", ["PRAGMA query_only = 0", "pragma QUERY_ONLY(off)"])
def test_a_part_cannot_allow_itself_to_write(statement: str) -> None:
    def by_driver(connection: sqlite3.Connection) -> None:
        connection.execute(statement)
        connection.execute("delete from book")
        connection.commit()

    def by_connection(connection: Connection) -> None:
        connection.exec_driver_sql(statement)
        connection.exec_driver_sql("delete from book")
        connection.commit()

    assert (slot_of(by_driver).state, slot_of(by_connection).state) == (State.FAILED, State.FAILED)


def test_a_function_that_does_its_work_later_is_refused_where_it_is_declared() -> None:
    def yielding() -> Generator[int]:
        yield 1

    async def yielding_later() -> AsyncGenerator[int]:
        yield 1

    with pytest.raises(UsageError, match=r"yielding \(.*\) yields; a part"):
        declared(yielding)
    with pytest.raises(UsageError, match="is async"):
        declared(yielding_later)
    with pytest.raises(UsageError, match="which is no function"):
        declared(partial(sum, [1]))


def test_parameters_that_no_call_can_pass_are_refused_where_they_are_declared() -> None:
    def by_position(request: PageRequest, /) -> None: ...

    def any_number(*requests: PageRequest) -> None: ...

    def both(connection: Connection, other: sqlite3.Connection) -> None: ...

    with pytest.raises(UsageError, match="'request' cannot be passed by its name"):
        declared(by_position)
    with pytest.raises(UsageError, match="'requests' cannot be passed by its name"):
        declared(any_number)
    with pytest.raises(UsageError, match="reads by connection and other; one"):
        declared(both)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_part_that_would_always_be_late_is_refused(seconds: float) -> None:
    def late() -> None: ...

    with pytest.raises(UsageError, match="write more than 0"):
        declared(late, seconds=seconds)


def test_seconds_may_be_a_whole_number() -> None:
    def part() -> None: ...

    assert declared(part, seconds=2).seconds == 2
