"""Listeners that a handler registers on its session or its engine, and leaves there, hold back no other event."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event as listeners
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.any_store import started
from support.shop import ItemPurchased, Shop, bills, declare, letters, publish, purchased, texts

from preterite import Recoverability
from preterite.testing import StartedSystem

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
ADD = text("insert into bill (purchase, customer) values (:purchase, '')")
KINDS = ["Session", "AsyncSession"]
OTHERS = [f"other {number}" for number in range(16)]

Act = Callable[[ItemPurchased, Session], None]


def billing(kind: str, act: Act) -> Shop:
    """A shop whose Finance bills in a session of this kind, after `act` was called with its plain session."""
    shop = declare(bills=False, recoverability=ONCE)

    def bill(event: ItemPurchased, session: Session) -> None:
        act(event, session)
        session.execute(ADD, {"purchase": str(event.purchase_id)})

    async def bill_async(event: ItemPurchased, session: AsyncSession) -> None:
        await session.run_sync(lambda plain: bill(event, plain))

    wanted: Callable[..., Awaitable[None] | None] = bill if kind == "Session" else bill_async
    shop.finance.handles(ItemPurchased, name="bill")(wanted)
    return shop


def reasons(opened: StartedSystem, shop: Shop) -> dict[str | None, str]:
    return {
        letter.key: f"{letter.failure.error}: {letter.failure.text}"
        for letter in letters(opened, shop.finance)
        if letter.failure is not None
    }


def own(names: Sequence[str]) -> list[ItemPurchased]:
    """A purchase of each of these names, by a customer of its own."""
    return [purchased(name, name) for name in names]


def note(called: list[str], event: ItemPurchased, _session: Session) -> None:
    called.append(str(event.purchase_id))


def raising(*_: Any) -> None:
    raise ZeroDivisionError("the listener")


@pytest.mark.parametrize("failing", [0, 5], ids=["alone", "beside five that fail"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_that_fails_the_commit_makes_its_own_event_a_dead_letter_and_no_other(
    kind: str, failing: int
) -> None:
    bad = purchased("bad", "its customer")
    fails = [purchased(f"fails {number}", f"customer {number}") for number in range(failing)]

    def act(event: ItemPurchased, session: Session) -> None:
        if event == bad:
            listeners.listen(session.connection().engine, "commit", raising)
        if event in fails:
            raise RuntimeError("it fails")

    shop = billing(kind, act)
    with started(shop.system) as opened:
        publish(opened, shop.sales, bad, *own(OTHERS[:4]), *fails, *own(OTHERS[4:]))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(texts(*OTHERS))
        assert sorted(reasons(opened, shop).values()) == sorted(
            ["ZeroDivisionError: the listener", *["RuntimeError: it fails"] * failing]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_a_handler_registers_for_the_commit_runs_once_after_it(kind: str) -> None:
    called: list[str] = []

    def act(event: ItemPurchased, session: Session) -> None:
        listeners.listen(session, "after_commit", partial(note, called, event))

    shop = billing(kind, act)
    with started(shop.system) as opened:
        publish(opened, shop.sales, *map(purchased, OTHERS))
        opened.settle()

        assert sorted(called) == sorted(texts(*OTHERS)) == sorted(bills(opened, shop.finance))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_a_handler_registers_for_the_rollback_runs_where_it_fails(kind: str) -> None:
    called: list[str] = []

    def act(event: ItemPurchased, session: Session) -> None:
        listeners.listen(session, "after_rollback", partial(note, called, event))
        raise RuntimeError("it fails")

    shop = billing(kind, act)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")

        assert called == texts("a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_raises_after_the_commit_is_logged_and_nothing_runs_again(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []

    def act(event: ItemPurchased, session: Session) -> None:
        runs.append(str(event.purchase_id))
        listeners.listen(session, "after_commit", raising)

    shop = billing(kind, act)
    with started(shop.system) as opened, caplog.at_level(logging.WARNING):
        publish(opened, shop.sales, *map(purchased, OTHERS))
        opened.settle()

        assert sorted(runs) == sorted(texts(*OTHERS)) == sorted(bills(opened, shop.finance))
        assert reasons(opened, shop) == {}
    said = [record.getMessage() for record in caplog.records]
    assert any("ZeroDivisionError" in line and "What they followed is committed." in line for line in said), said
