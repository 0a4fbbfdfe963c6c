"""What a handler returns is run to its end, or the handler has failed: nothing counts as handled that nobody did."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from support.any_store import Connection
from support.shop import (
    ItemPurchased,
    Shop,
    bills,
    declare,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    texts,
)

from preterite import Component, Recoverability
from preterite.errors import UsageError
from preterite.testing import started

INSERT = text("insert into bill (purchase, customer) values (:purchase, '')")
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)


async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def return_a_future() -> Any:
    return Future[None]()


@pytest.mark.parametrize("begin", [stop_the_loop, return_a_future])
@pytest.mark.parametrize("takes", ["connection", "asyncio"])
def test_an_event_whose_work_is_not_done_on_the_loop_is_a_dead_letter_and_holds_up_no_other(
    takes: str, begin: Callable[[], Awaitable[Any]]
) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    if takes == "asyncio":

        @shop.finance.handles(ItemPurchased)
        async def bill(event: ItemPurchased, session: AsyncSession) -> Any:
            await session.execute(INSERT, {"purchase": str(event.purchase_id)})
            return await begin() if event.purchase_id == id_of("b") else None

    else:

        @shop.finance.handles(ItemPurchased)
        async def bill_plainly(event: ItemPurchased, connection: Connection) -> Any:
            insert_bill(connection, event)
            return await begin() if event.purchase_id == id_of("b") else None

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in "abc"))
        opened.settle(failures="park")
        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "c"))
        assert len(letters(opened, shop.finance)) == 1


def test_what_an_async_handler_returns_is_awaited_to_its_end() -> None:
    done: list[str] = []
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased) -> Any:
        return work(done)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()

    assert done == ["done"]


async def work(done: list[str]) -> None:
    await asyncio.sleep(0)
    done.append("done")


class Later:
    """Something to be awaited that is no coroutine."""

    def __init__(self, done: list[str]) -> None:
        self._done = done

    def __await__(self) -> Any:
        return work(self._done).__await__()


class CalledLater:
    """An object that is called as a handler."""

    def __init__(self, done: list[str]) -> None:
        self._done = done

    async def __call__(self, event: ItemPurchased) -> None:
        await work(self._done)


def outcome(handler: Callable[..., Any], *, name: str | None = None) -> tuple[list[str], list[str]]:
    """What came of one event: what the handler has noted, and the errors of the dead letters."""
    shop = declare(bills=False, recoverability=ONCE)
    shop.finance.handles(ItemPurchased, name=name)(functools.partial(handler, shop.attempted))
    return shop.attempted, _errors(shop)


def _errors(shop: Shop) -> list[str]:
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        return [letter.failure.text for letter in letters(opened, shop.finance) if letter.failure is not None]


def test_an_awaitable_is_awaited() -> None:
    def bill(done: list[str], event: ItemPurchased) -> Awaitable[None]:
        return Later(done)

    assert outcome(bill) == (["done"], [])


def test_a_task_that_is_returned_is_awaited() -> None:
    async def bill(done: list[str], event: ItemPurchased) -> None:
        await asyncio.create_task(work(done))

    assert outcome(bill) == (["done"], [])


def _generator(done: list[str]) -> Iterator[None]:
    yield done.append("done")


async def _generator_later(done: list[str]) -> AsyncIterator[None]:
    yield done.append("done")


UNDONE: dict[str, Callable[[list[str]], Any]] = {
    "generator": _generator,
    "async_generator": _generator_later,
    "function": lambda done: lambda: done.append("done"),
    "partial": lambda done: functools.partial(done.append, "done"),
    "Future": lambda _done: Future[None](),
}


@pytest.mark.parametrize("what", UNDONE)
def test_work_that_is_returned_undone_is_a_failure(what: str) -> None:
    def bill(done: list[str], event: ItemPurchased) -> Any:
        return UNDONE[what](done)

    done, errors = outcome(bill)

    assert done == []
    assert [f"a {what} that it returned, which is never run or waited for" in error for error in errors] == [True]


def test_a_task_that_is_left_behind_is_cancelled_and_a_failure() -> None:
    kept: list[asyncio.Task[None]] = []

    async def bill(done: list[str], event: ItemPurchased) -> None:
        kept.append(asyncio.create_task(work(done)))

    done, errors = outcome(bill)

    assert (done, kept[0].cancelled()) == ([], True)
    assert "a task left behind (work), which was cancelled" in errors[0]


def test_an_object_that_can_be_called_is_a_handler_if_it_has_a_name() -> None:
    shop = declare(bills=False, recoverability=ONCE)
    shop.finance.handles(ItemPurchased, name="bill")(CalledLater(shop.attempted))

    assert (_errors(shop), shop.attempted) == ([], ["done"])


def test_an_object_without_a_name_of_its_own_is_refused() -> None:
    finance = Component("finance")

    with pytest.raises(UsageError, match="CalledLater objects have no name of their own"):
        finance.handles(ItemPurchased)(CalledLater([]))


def test_what_a_partial_has_filled_in_is_no_parameter() -> None:
    def bill(done: list[str], event: ItemPurchased, *, limit: int) -> None:
        done.append(str(limit))

    assert outcome(functools.partial(bill, limit=7)) == (["7"], [])
