"""Promise 4, order per key: keys that are equal are one key to lanes and sagas, however they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.any_store import started
from support.shop import letters

from preterite import Component, Event, Recoverability, Saga, System, joined_by, started_by
from preterite.errors import SystemRefused
from preterite.testing import StartedSystem

NOON = datetime(2013, 1, 17, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class OrderPlaced(Event, key="order_number"):
    order_number: Decimal
    place: int


class OrderReported(Event):
    about: Decimal | None


class SlotBooked(Event, key="slot"):
    slot: datetime
    place: int


def publish(shop: StartedSystem, component: Component, *events: Event) -> None:
    with shop.connection(component) as connection, component.unit_of_work(connection) as unit_of_work:
        for event in events:
            unit_of_work.publish(event)


@pytest.mark.rule(2)
@pytest.mark.parametrize(
    "events",
    [
        [OrderPlaced(order_number=Decimal(text), place=place) for place, text in enumerate(["1", "1.0", "1E0"])],
        [
            SlotBooked(slot=slot, place=place)
            for place, slot in enumerate([NOON, NOON.astimezone(ZoneInfo("Asia/Tokyo"))])
        ],
    ],
    ids=["numbers", "times"],
)
def test_events_of_one_key_wait_behind_one_another_however_it_is_written(events: list[Any]) -> None:
    kind = events[0].__class__
    sales = Component("sales", publishes=[kind])
    shipping = Component("shipping", recoverability=Recoverability(immediate_retries=0))
    fails, handled = [0], list[int]()

    def ship(event: Any) -> None:
        if event.place in fails:
            raise RuntimeError("no lorry")
        handled.append(event.place)

    ship.__annotations__["event"] = kind
    shipping.handles(kind)(ship)

    with started(System("shop", [sales, shipping])) as shop:
        publish(shop, sales, *events)
        shop.settle(failures="park")
        waiting = list(handled)
        fails.clear()
        shop.clock.advance(2 * HOUR)
        shop.settle()

        assert waiting == []
        assert handled == list(range(len(events)))


def declared(missing: Any = "park") -> tuple[System, Component, Component, list[str]]:
    sales = Component("sales", publishes=[OrderPlaced])
    stock = Component("stock", publishes=[OrderReported])
    shipping = Component("shipping", recoverability=Recoverability(immediate_retries=0, delayed_retries=0))
    seen: list[str] = []

    @shipping.saga
    class Delivery(Saga, by="order_number"):
        order_number: Decimal

        @started_by(OrderPlaced)
        def open(self, event: OrderPlaced) -> None:
            seen.append(f"opened by {event.order_number}")

        @joined_by(OrderReported, by="about", missing=missing)
        def report(self, event: OrderReported) -> None:
            seen.append(f"joined by {event.about}")

    return System("shop", [sales, stock, shipping]), sales, stock, seen


def test_a_saga_is_found_by_an_equal_value_however_it_is_written() -> None:
    system, sales, stock, seen = declared()
    with started(system) as shop:
        publish(shop, sales, OrderPlaced(order_number=Decimal("17.0"), place=1))
        shop.settle()
        publish(shop, stock, OrderReported(about=Decimal("1.7E1")))
        shop.settle()

        assert seen == ["opened by 17.0", "joined by 17"]


def test_an_event_that_finds_its_saga_by_none_joins_no_instance_and_is_a_dead_letter() -> None:
    system, _sales, stock, seen = declared()
    with started(system) as shop:
        publish(shop, stock, OrderReported(about=None))
        shop.settle(failures="park")

        (letter,) = letters(shop, system.components[2])
        assert letter.failure is not None
        assert letter.failure.error == "InvalidEvent"
        assert "OrderReported.about is None, and saga Delivery is found by it" in str(letter.failure)
        assert seen == []


def test_an_event_that_finds_its_saga_by_none_is_counted_where_a_missing_one_is_to_be_ignored() -> None:
    system, _sales, stock, seen = declared(missing="ignore")
    with started(system) as shop:
        publish(shop, stock, OrderReported(about=None))
        shop.settle()

        assert shop.status()["shipping"].counts.skipped == 1
        assert seen == []


def test_a_system_whose_events_cannot_be_ordered_by_their_keys_is_refused_at_start() -> None:
    class LettersSent(Event, key="addresses"):
        addresses: list[str]

    class Mailing(Saga, by="addresses"):
        addresses: list[str]

        @started_by(LettersSent)
        def open(self, event: LettersSent) -> None: ...

    mail, other = Component("mail", publishes=[LettersSent]), Component("other")
    other.saga(Mailing)

    with pytest.raises(SystemRefused) as refused, started(System("post", [mail, other])):
        pass

    why = "it may be a value of type list, and a key is a text"
    assert [fault.partition(why)[0] for fault in refused.value.faults] == [
        "LettersSent.addresses cannot be a key: ",
        "LettersSent.addresses, by which saga Mailing is found, cannot be a key: ",
        "Mailing.addresses, by which saga Mailing is found, cannot be a key: ",
    ]
