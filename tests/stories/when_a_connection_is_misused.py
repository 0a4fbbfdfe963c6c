"""Whatever one handler does to its connection: the others are handled, and its own event is, or is a dead letter."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from support.any_store import Connection, started
from support.connection_misuse import MISUSES, SAMPLE, close_kept
from support.shop import (
    ItemPurchased,
    bills,
    declare,
    handle_all,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    texts,
)

from preterite import Recoverability

NEIGHBOURS = [f"neighbour {number}" for number in range(20)]
NAMES = [*NEIGHBOURS[:7], "culprit", *NEIGHBOURS[7:]]
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
INSERT = text("insert into bill (purchase, customer) values (:purchase, :customer)")
PLACES = {"connection_misuse.py", "shop.py", "when_a_connection_is_misused.py", ""}
"""Where an operator is shown that it failed: in the application, not in Preterite; nowhere if the session ended."""
WAYS = [
    pytest.param(how, marks=() if how in SAMPLE else pytest.mark.slow("many ways, run twice for two kinds of handlers"))
    for how in MISUSES
]


@pytest.fixture(autouse=True)
def kept() -> Generator[None]:
    yield
    close_kept()


@pytest.mark.parametrize("by_host", [False, True], ids=["settle", "host"])
@pytest.mark.parametrize("kind", ["connection", "session"])
@pytest.mark.parametrize("how", WAYS)
def test_what_one_handler_does_to_its_connection_holds_up_no_other_event(how: str, kind: str, by_host: bool) -> None:
    shop = declare(bills=False, recoverability=ONCE)
    if kind == "connection":

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection) -> None:
            _misuse(how, event, connection)
            insert_bill(connection, event)

    else:

        @shop.finance.handles(ItemPurchased)
        def bill_in_session(event: ItemPurchased, session: Session) -> None:
            _misuse(how, event, session.connection().connection.driver_connection)
            session.execute(INSERT, {"purchase": str(event.purchase_id), "customer": str(event.customer_id)})

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in NAMES))
        handle_all(opened, by_host=by_host)
        billed = bills(opened, shop.finance)
        dead = letters(opened, shop.finance)
        problems = opened.status()["finance"].problems

    assert [name for name in NEIGHBOURS if billed.count(*texts(name)) != 1] == []
    assert billed.count(*texts("culprit")) + len(dead) == 1
    assert bool(problems) == bool(dead)
    assert all(letter.failure is not None and letter.failure.text for letter in dead)
    assert {letter.failure.place.partition(":")[0] for letter in dead if letter.failure} <= PLACES


def _misuse(how: str, event: ItemPurchased, connection: Any) -> None:
    if event.purchase_id == id_of("culprit"):
        MISUSES[how](connection)
