"""What a handler sets on its connection, for its transaction or its session, no other event's handler meets."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from support.any_store import IS_SQLITE, Connection, started
from support.connection_settings import SETTINGS, is_set
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

NAMES = [f"purchase {number}" for number in range(20)]
SETTERS = {id_of(name) for name in NAMES[::7]}
INSERT = text("insert into bill (purchase, customer) values (:purchase, :customer)")


@pytest.mark.parametrize("by_host", [False, True], ids=["settle", "host"])
@pytest.mark.parametrize("kind", ["connection", "session"])
@pytest.mark.parametrize("how", SETTINGS)
def test_what_a_handler_sets_is_not_set_for_the_next_event(how: str, kind: str, by_host: bool) -> None:
    shop = declare(bills=False)
    met: list[str] = []

    def act(event: ItemPurchased, connection: Any) -> None:
        if is_set(how, connection):
            met.append(str(event.purchase_id))
        if event.purchase_id in SETTERS:
            SETTINGS[how].act(connection)
            assert is_set(how, connection), "the test must set what it asks for"

    if kind == "connection":

        @shop.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection) -> None:
            act(event, connection)
            insert_bill(connection, event)

    else:

        @shop.finance.handles(ItemPurchased)
        def bill_in_session(event: ItemPurchased, session: Session) -> None:
            act(event, session.connection().connection.driver_connection)
            session.execute(INSERT, {"purchase": str(event.purchase_id), "customer": str(event.customer_id)})

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in NAMES))
        handle_all(opened, by_host=by_host)
        billed = bills(opened, shop.finance)
        dead = letters(opened, shop.finance)

    assert met == []
    assert sorted(billed) == sorted(texts(*NAMES))
    assert dead == []


@pytest.mark.parametrize("how", list(SETTINGS)[:1])
def test_what_a_batchs_neighbour_sets_is_not_set_for_the_rest_of_a_run(how: str) -> None:
    shop = declare(bills=False)
    met: list[str] = []

    @shop.finance.handles(ItemPurchased)
    def bill_all(events: list[ItemPurchased], connection: Connection) -> None:
        for event in events:
            insert_bill(connection, event)

    @shop.finance.handles(ItemPurchased)
    def mark(event: ItemPurchased, connection: Connection) -> None:
        if is_set(how, connection):
            met.append(str(event.purchase_id))
        if event.purchase_id in SETTERS:
            SETTINGS[how].act(connection)

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in NAMES))
        opened.settle()
        assert sorted(bills(opened, shop.finance)) == sorted(texts(*NAMES))

    assert met == []


@pytest.mark.skipif(IS_SQLITE, reason="SQLite has no settings of a transaction that a handler may change")
def test_a_setting_of_one_transaction_costs_no_new_connection() -> None:
    shop = declare(bills=False)
    backends: set[int] = set()

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        connection.execute("SET LOCAL preterite_test.tenant TO 'a'")
        backends.add(connection.info.backend_pid)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType] - PostgreSQL's
        insert_bill(connection, event)

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in NAMES))
        opened.settle()
        assert len(bills(opened, shop.finance)) == len(NAMES)

    assert len(backends) == 1
