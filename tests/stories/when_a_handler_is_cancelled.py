"""Promise 2 where a statement of a handler is cancelled: its event is a dead letter, and no other is kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.any_store import IS_SQLITE, started
from support.shop import ItemPurchased, bills, declare, id_of, letters, publish, purchased, texts

from preterite import Recoverability

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
LONG = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"
SLOW = text(LONG if IS_SQLITE else "select pg_sleep(600)")


class Base(DeclarativeBase):
    pass


class Bill(Base):
    __tablename__ = "bill"
    position: Mapped[int] = mapped_column(primary_key=True)
    purchase: Mapped[str]
    customer: Mapped[str]


async def _at_once(session: AsyncSession) -> None:
    await asyncio.gather(session.flush(), session.flush())


async def _too_long(session: AsyncSession) -> None:
    async with asyncio.timeout(0.01):
        await session.execute(SLOW)


async def _too_long_and_on(session: AsyncSession) -> None:
    with suppress(TimeoutError):
        await _too_long(session)


async def _of_itself(session: AsyncSession) -> None:
    task = asyncio.current_task()
    assert task is not None, "a handler runs in a task"
    task.cancel()
    await session.flush()


async def _in_a_task_left_behind(session: AsyncSession) -> None:
    left = asyncio.create_task(session.flush())
    await asyncio.sleep(0)
    assert not left.done()


WAYS: dict[str, Callable[[AsyncSession], Awaitable[None]]] = {
    "two statements at once on one session": _at_once,
    "a time limit": _too_long,
    "a time limit that it swallows": _too_long_and_on,
    "its own task": _of_itself,
    "a task that it leaves behind": _in_a_task_left_behind,
}


REASONS = {
    "two statements at once on one session": "InvalidRequestError",
    "a time limit": "TimeoutError",
    "a time limit that it swallows": "HandlerEndedTransaction",
    "its own task": "CancelledError",
    "a task that it leaves behind": "HandlerFailed",
}
"""What the dead letter says: what the handler has raised, or what is wrong with what it has left."""


@pytest.mark.rule(9)
@pytest.mark.parametrize("way", WAYS)
def test_a_handler_whose_statement_is_cancelled_keeps_no_other_waiting(way: str) -> None:
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession) -> None:
        session.add(Bill(purchase=str(event.purchase_id), customer=""))
        if event.purchase_id == id_of("c"):
            await WAYS[way](session)

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in "abcde"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b", "d", "e"))
        failures = [row.failure for row in letters(opened, shop.finance)]

    assert [None if one is None else one.error for one in failures] == [REASONS[way]]
