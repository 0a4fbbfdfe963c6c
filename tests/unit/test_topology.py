"""A declaration that contradicts itself is refused at start, with one clear sentence per fault, all together."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import Enum
from types import new_class
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.shop import ItemBilled, ItemPurchased, ItemReturned

from preterite import Component, Envelope, Event, System, UnitOfWork
from preterite.component import Handler, call_of
from preterite.drivers import postgres_guard, sqlite_guard
from preterite.errors import SystemRefused


def faults(*components: Component, partitions: int = 8) -> list[str]:
    """What is wrong with a system of these components."""
    with pytest.raises(SystemRefused) as refused:
        System("shop", components, partitions=partitions).verify()
    return list(refused.value.faults)


def test_two_publishers_of_one_event() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance", publishes=[ItemPurchased])

    assert faults(sales, finance) == [
        "ItemPurchased is published by finance and sales; an event has exactly one publisher."
    ]


def test_publishing_an_event_of_another_component() -> None:
    class Stolen(Event, name="sales.ItemPurchased"):
        customer_id: UUID

    found = faults(Component("sales"), Component("finance", publishes=[Stolen]))

    assert found == [
        "'finance' publishes 'sales.ItemPurchased', which is 'sales''s event by its name; only 'sales' may."
    ]


def test_two_events_with_one_name_on_the_wire() -> None:
    class Other(Event, name="sales.ItemPurchased"):
        customer_id: UUID

    assert faults(Component("sales", publishes=[ItemPurchased, Other])) == [
        "ItemPurchased and Other are both called 'sales.ItemPurchased' on the wire; give one of them another name=."
    ]


def test_a_handler_for_an_event_that_no_component_publishes() -> None:
    finance = Component("finance")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        pass

    assert faults(finance) == [
        "finance.bill handles ItemPurchased, which no component publishes; "
        "add it to its owner's publishes=[…], and the owner to the system."
    ]


def test_duplicate_names() -> None:
    sales = Component("sales", publishes=[ItemPurchased, ItemReturned])
    finance = Component("finance")

    @finance.handles(ItemPurchased, name="bill")
    def one(event: ItemPurchased) -> None:
        pass

    @finance.handles(ItemReturned, name="bill")
    def two(event: ItemReturned) -> None:
        pass

    assert faults(sales, finance, Component("sales")) == [
        "2 components are called 'sales'; each needs a name of its own.",
        "2 handlers of 'finance' are called 'bill'; give one of them another name=.",
    ]


def test_a_missing_key_field() -> None:
    class Broken(Event, key="customer"):
        customer_id: UUID

    assert faults(Component("sales", publishes=[Broken])) == [
        "Broken names 'customer' as its key, but has no such field; fields: customer_id."
    ]


@pytest.mark.parametrize("name", ["Sales", "", "2nd", "sales team", "säles", "sales/eu"])
def test_names_that_cannot_be_part_of_a_stream_or_a_variable(name: str) -> None:
    assert faults(Component(name))[0].startswith(f"{name!r} is no name for a component")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["log"], "'log' would share PRETERITE_LOG_URL with the log"),
        (["admin"], "'admin' would share PRETERITE_ADMIN_URL with the administrator"),
        (["log_owner"], "'log_owner' would share PRETERITE_LOG_OWNER_URL with the log's owner"),
        (["a-b", "a_b"], "'a_b' would share PRETERITE_A_B_URL with 'a-b'"),
        (["sales", "sales_owner"], "'sales_owner' would share PRETERITE_SALES_OWNER_URL with 'sales'"),
        (["sales_log", "sales"], "'sales' would share PRETERITE_SALES_LOG_URL with 'sales_log'"),
    ],
)
def test_names_that_would_share_a_url_and_a_role(names: list[str], says: str) -> None:
    assert faults(*map(Component, names))[0].startswith(says)


def test_names_of_handlers_and_events_that_cannot_be_printed() -> None:
    class Nameless(Event, name="sales.\0"):
        customer_id: UUID

    sales = Component("sales", publishes=[Nameless])

    @sales.handles(Nameless, name="new\nline")
    def count(event: Nameless) -> None:
        pass

    assert [fault.partition(" is no name")[0] for fault in faults(sales)] == [repr("new\nline"), repr("sales.\0")]


def test_a_number_of_partitions_that_cannot_be() -> None:
    assert faults(Component("sales"), partitions=0) == ["partitions=0; it must be from 1 to 1024."]


def test_all_faults_are_said_together() -> None:
    class Broken(Event, key="customer"):
        customer_id: UUID

    found = faults(Component("sales", publishes=[Broken]), Component("sales", publishes=[ItemPurchased]))

    assert len(found) == 2


# handlers that cannot be called


def fault_of(handler: object) -> str:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    finance.handles(ItemPurchased)(handler)  # pyright: ignore[reportArgumentType] - that is the test
    return faults(sales, finance)[0]


def test_a_handler_that_takes_nothing() -> None:
    def bill() -> None:
        pass

    assert (
        fault_of(bill)
        == "finance.bill cannot be called: it takes no message; its first parameter is the event or command."
    )


def test_a_handler_that_takes_another_event() -> None:
    def bill(event: ItemBilled) -> None:
        pass

    assert "its first parameter is not a ItemPurchased nor a Sequence of it" in fault_of(bill)


def test_a_handler_with_a_parameter_that_cannot_be_filled() -> None:
    def bill(event: ItemPurchased, price: int) -> None:
        pass

    assert "nothing can fill its parameter 'price'; a handler takes UnitOfWork, Envelope, ReplayStatus" in fault_of(
        bill
    )


def test_a_batch_handler_that_asks_for_one_envelope() -> None:
    def bill(events: Sequence[ItemPurchased], envelope: Envelope) -> None:
        pass

    assert "a batch handler has no single envelope" in fault_of(bill)


def test_a_handler_that_takes_a_parameter_by_keyword_only() -> None:
    def bill(event: ItemPurchased, *, session: Session) -> None:
        pass

    assert "it takes parameters by keyword only" in fault_of(bill)


def test_a_handler_that_yields() -> None:
    def bill(event: ItemPurchased) -> Iterator[None]:
        yield

    async def bill_later(event: ItemPurchased) -> AsyncIterator[None]:
        yield

    assert "it yields, so nothing would run it to its end" in fault_of(bill)
    assert "it yields, so nothing would run it to its end" in fault_of(bill_later)


def test_an_async_session_on_a_plain_driver() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")

    @finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession) -> None:
        pass

    with pytest.raises(SystemRefused, match="takes an AsyncSession, but its database is opened by 'pysqlite'"):
        System("shop", [sales, finance]).open(databases={"finance": "sqlite+pysqlite:///x"})


def test_two_components_in_one_database() -> None:
    both = System("shop", [Component("sales"), Component("finance")])

    with pytest.raises(SystemRefused, match="sales and finance share one database; each component has its own"):
        both.open(databases={"sales": "sqlite:///x.sqlite", "finance": "sqlite:///./x.sqlite"})


def test_every_way_to_write_a_handler_is_accepted() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")

    @finance.handles(ItemPurchased)
    def a(event: ItemPurchased) -> None:
        pass

    @finance.handles(ItemPurchased)
    def b(event: ItemPurchased, work: UnitOfWork, envelope: Envelope, session: Session) -> None:
        pass

    @finance.handles(ItemPurchased)
    def c(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        pass

    @finance.handles(ItemPurchased)
    async def d(events: Sequence[ItemPurchased]) -> None:
        pass

    @finance.handles(ItemPurchased)
    def e(event) -> None:  # pyright: ignore[reportMissingParameterType,reportUnknownParameterType] - that is the test
        pass

    calls = (
        System("shop", [sales, finance]).verify().subscriptions["finance"].by_wire_name["sales.ItemPurchased"].handlers
    )
    assert [(one.name, one.call.batch) for one in calls] == [
        ("a", False),
        ("b", False),
        ("c", True),
        ("d", True),
        ("e", False),
    ]


UNREADABLE = {
    "a name that is not imported at run time": "Missing",
    "a name that the module does not have": "datetime.missing",
    "text that is no annotation": "not a type!",
    "a value": "1",
    "another component's table": "dict[str, int]",
    "an alternative": "Session | None",
    "a bare Sequence": "Sequence",
    "a bare list": "list",
}


@pytest.mark.parametrize("annotation", UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("parameter", ["event", "session"])
def test_an_annotation_that_cannot_be_used_is_said_in_one_sentence(annotation: str, parameter: str) -> None:
    def bill(event: ItemPurchased, session: Session) -> None: ...

    bill.__annotations__[parameter] = annotation

    assert re.fullmatch(
        r"finance\.bill cannot be called: (nothing can fill its parameter 'session'; a handler takes UnitOfWork, .*"
        r"|its first parameter is not a ItemPurchased nor a Sequence of it"
        r"|an annotation cannot be read .*; import what it names at run time; a handler takes UnitOfWork, .*)\.",
        fault_of(bill),
    )


@pytest.mark.parametrize("annotation", ["Session", "Envelope", "UnitOfWork", "Sequence[ItemPurchased]"])
def test_annotations_as_strings_are_read_as_such(annotation: str) -> None:
    def bill(event: ItemPurchased, session: Session) -> None: ...

    bill.__annotations__["event" if "Sequence" in annotation else "session"] = annotation

    assert call_of(Handler("bill", ItemPurchased, bill), sqlite_guard.GuardedConnection)


def test_a_handler_that_takes_whatever_comes() -> None:
    def bill(*events: ItemPurchased) -> None: ...
    def bill_all(event: ItemPurchased, **others: Session) -> None: ...

    assert "it takes *events: 'ItemPurchased', which does not say what it gets" in fault_of(bill)
    assert "it takes **others: 'Session', which does not say what it gets; name its parameters one by one: the " in (
        fault_of(bill_all)
    )
    assert "its parameters cannot be read" in fault_of(max)


@pytest.mark.parametrize(
    ("connection_type", "name"),
    [(sqlite_guard.GuardedConnection, "sqlite3.Connection"), (postgres_guard.GuardedConnection, "psycopg.Connection")],
)
def test_a_parameter_without_annotation_is_named_with_what_a_handler_takes(connection_type: type, name: str) -> None:
    def bare(_event: ItemPurchased, connection: object) -> None: ...

    del bare.__annotations__["connection"]
    with pytest.raises(TypeError, match=rf"'connection' has no annotation.*AsyncSession and {name}$"):
        call_of(Handler("bill", ItemPurchased, bare), connection_type)


class Colour(Enum):
    RED = "red"


class OtherColour(Enum):
    RED = "red"
    BLUE = "blue"


def _event(version: int = 2, **fields: Any) -> type[Event]:
    body = {"__annotations__": {"item_id": UUID, **fields}, "__module__": __name__}
    named = {"name": "paint.Painted", "version": version}
    return new_class("Painted", (Event,), named, lambda namespace: namespace.update(body))


def _as_it_was(old: Any) -> Any:
    return old


def _corrected(old: Any) -> Any:
    return old or None


READERS: dict[str, tuple[type[Event], Any]] = {
    "as it is": (_event(colour=Colour), None),
    "another field": (_event(colour=Colour, coats=int), None),
    "another type": (_event(colour=str), None),
    "another value of an enum": (_event(colour=OtherColour), None),
    "another version": (_event(3, colour=Colour), None),
    "an upcast": (_event(colour=Colour), _as_it_was),
    "a corrected upcast": (_event(colour=Colour), _corrected),
}


def _fingerprint(event: type[Event], upcast: Any) -> str:
    component = Component("paint", publishes=[event])

    def handle(event: Any) -> None: ...

    handle.__annotations__["event"] = event
    component.handles(event)(handle)
    if upcast is not None:
        older = _event(1)

        def made(old: Any) -> Any: ...

        made.__code__ = upcast.__code__
        made.__annotations__ = {"old": older, "return": event}
        component.upcasts(older, to=event)(made)
    return System("shop", [component]).verify().subscriptions["paint"].fingerprint


def test_whatever_decodes_an_event_otherwise_changes_the_fingerprint() -> None:
    found = {what: _fingerprint(*reader) for what, reader in READERS.items()}
    assert len(set(found.values())) == len(READERS), found
    assert found == {what: _fingerprint(*reader) for what, reader in READERS.items()}
