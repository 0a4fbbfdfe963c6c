"""Promise 6: a saga's state lives between events; its timeouts belong to it: once, not early, never after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from support.any_store import Connection, sql, started
from support.shop import ItemPurchased, ItemReturned, id_of, letters, purchased, returned

from preterite import (
    Command,
    Component,
    Event,
    Recoverability,
    Saga,
    System,
    UnitOfWork,
    joined_by,
    started_by,
    timeout,
)
from preterite.errors import SystemRefused, UsageError
from preterite.hosting.runtime import Runtime
from preterite.testing import StartedSystem

HOUR = timedelta(hours=1)
SALES_TABLES = sql("create table purchase (id text primary key)")
PATIENT = Recoverability(immediate_retries=0, delayed_retries=3, first_delay_seconds=10, delay_growth=1)


class Pack(Command):
    """Pack what was purchased."""


class Complain(Command):
    """Ask why nothing was packed yet."""


class ItemPacked(Event, key="purchase_id"):
    purchase_id: UUID


class ItemAddressed(Event, key="purchase_id"):
    purchase_id: UUID


def window(
    *,
    missing: Literal["park", "ignore"] = "park",
    ended: Literal["park", "ignore"] | None = None,
    before: Callable[[str], None] = lambda what: None,
    log: list[str] | None = None,
) -> tuple[System, Component, Component, type[Saga]]:
    """Shipping packs an hour after the purchase, unless it is returned before."""
    sales = Component("sales", publishes=[ItemPurchased, ItemReturned], tables=SALES_TABLES)
    shipping = Component("shipping", publishes=[ItemPacked], recoverability=PATIENT)
    happened = log if log is not None else []

    @shipping.saga
    class PackingWindow(Saga, by="purchase_id"):
        purchase_id: UUID
        customer_id: UUID | None = None
        steps: int = 0

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
            before("open")
            self.customer_id = event.customer_id
            self.steps += 1
            unit_of_work.schedule(Pack(), after=HOUR)
            unit_of_work.schedule(Complain(), after=2 * HOUR)

        @joined_by(ItemReturned, missing=missing, ended=ended)
        def cancel(self, event: ItemReturned) -> None:
            before("cancel")
            assert event.customer_id == self.customer_id
            happened.append("cancelled")
            self.complete()

        @timeout(Pack)
        def pack(self, command: Pack, unit_of_work: UnitOfWork) -> None:
            before("pack")
            happened.append("packed")
            unit_of_work.publish(ItemPacked(purchase_id=self.purchase_id))
            self.complete()

        @timeout(Complain)
        def complain(self, command: Complain) -> None:
            happened.append("complained")

    return System("shop", [sales, shipping]), sales, shipping, PackingWindow


def publish(shop: StartedSystem, sales: Component, *events: Event) -> None:
    with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for event in events:
            unit_of_work.publish(event)


def counts(shop: StartedSystem, component: Component) -> tuple[int, int]:
    """SagaPersister that go on, and commands that wait."""
    found = shop.status()[component.name].counts
    return found.sagas, found.scheduled


def test_a_timeout_comes_once_when_it_is_due_and_finds_the_state() -> None:
    log: list[str] = []
    system, sales, shipping, _ = window(log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        going_on = counts(shop, shipping)
        shop.clock.advance(HOUR - timedelta(microseconds=1))
        early = list(log)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert going_on == (1, 2)
        assert early == []
        assert log == ["packed"]
        assert [event.purchase_id for event in shop.published(ItemPacked)] == [id_of("one")]


def test_no_timeout_comes_after_the_saga_has_ended() -> None:
    log: list[str] = []
    system, sales, shipping, _ = window(log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        publish(shop, sales, returned("one"))
        shop.settle()
        ended = counts(shop, shipping)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert ended == (0, 0)
        assert log == ["cancelled"]


def test_of_two_timeouts_due_together_the_second_does_not_come_after_the_first_has_ended_the_saga() -> None:
    log: list[str] = []
    system, sales, _, _ = window(log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        shop.clock.settle_with(lambda: None, lambda: None)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert log == ["packed"]


def test_each_value_has_an_instance_of_its_own() -> None:
    log: list[str] = []
    system, sales, shipping, _ = window(log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"), purchased("two"), purchased("three", "ben"), returned("two"))
        shop.settle()

        assert counts(shop, shipping) == (2, 4)
        assert log == ["cancelled"]


def test_a_value_can_begin_again_and_old_timeouts_do_not_hit_the_new_instance() -> None:
    log: list[str] = []
    system, sales, shipping, _ = window(log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"), returned("one"))
        shop.settle()
        shop.clock.advance(HOUR / 2)
        publish(shop, sales, purchased("one"))
        shop.settle()
        shop.clock.advance(HOUR / 2)
        at_the_old_time = list(log)
        shop.clock.advance(HOUR / 2)

        assert at_the_old_time == ["cancelled"]
        assert log == ["cancelled", "packed"]
        assert counts(shop, shipping) == (0, 0)


def test_an_event_for_a_saga_that_is_not_there_waits_with_a_reason_and_is_handled_once_it_is() -> None:
    """The starting event comes from another component, so nothing orders the two."""
    sales = Component("sales", publishes=[ItemPurchased])
    catalog = Component("catalog", publishes=[ItemAddressed])
    shipping = Component("shipping", recoverability=PATIENT)
    seen: list[str] = []

    @shipping.saga
    class PackingWindow(Saga, by="purchase_id"):
        purchase_id: UUID

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased) -> None:
            seen.append("opened")

        @joined_by(ItemAddressed)
        def address(self, event: ItemAddressed) -> None:
            seen.append("addressed")

    with started(System("shop", [sales, catalog, shipping])) as shop:
        publish(shop, catalog, ItemAddressed(purchase_id=id_of("one")))
        shop.settle(failures="park")
        with shop.connection(shipping) as connection:
            waiting = shop.databases["shipping"].store.list_parked(connection, ["parked"], 10)
        publish(shop, sales, purchased("one"))
        shop.settle()

        assert seen == ["opened", "addressed"]
        assert [row.failure.error for row in waiting if row.failure] == ["SagaMissing"]
        assert "There is no instance of saga PackingWindow" in str(waiting[0].failure)


def test_an_event_whose_saga_never_begins_becomes_a_dead_letter() -> None:
    system, sales, shipping, _ = window()
    with started(system) as shop:
        publish(shop, sales, returned("one"))
        shop.settle(failures="park")
        shop.clock.advance(HOUR)

        assert [letter.failure.error for letter in letters(shop, shipping) if letter.failure] == ["SagaMissing"]


def test_an_event_that_is_to_be_ignored_without_its_saga_is_counted() -> None:
    system, sales, shipping, _ = window(missing="ignore")
    with started(system) as shop:
        publish(shop, sales, returned("one"), returned("two"))
        shop.settle()

        assert shop.status()["shipping"].counts.skipped == 2
        assert counts(shop, shipping) == (0, 0)


def packed_and_then_returned(
    ended: Literal["park", "ignore"] | None, missing: Literal["park", "ignore"] = "park"
) -> tuple[list[tuple[str, str]], int, list[str]]:
    """One is returned once it is packed, two before it is purchased: dead letters, what is skipped, what is done."""
    log: list[str] = []
    system, sales, shipping, _ = window(log=log, ended=ended, missing=missing)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        shop.clock.advance(HOUR)
        shop.settle()
        publish(shop, sales, returned("one"), returned("two", "ben"))
        shop.settle(failures="park")
        shop.clock.advance(HOUR)
        shop.settle(failures="park")
        dead = sorted(
            (one.failure.error, one.failure.text.partition(" for ")[0] + one.failure.text.partition(";")[2])
            for one in letters(shop, shipping)
            if one.failure is not None
        )
        return dead, shop.status()["shipping"].counts.skipped, log


def test_an_event_that_comes_after_its_saga_has_ended_is_told_from_one_that_comes_too_early() -> None:
    too_late = ("SagaMissing", "The instance of saga PackingWindow the event waits until there is another one.")
    too_early = ("SagaMissing", "There is no instance of saga PackingWindow the event waits until there is one.")

    assert packed_and_then_returned(None) == ([too_late, too_early], 0, ["packed"])
    assert packed_and_then_returned("ignore") == ([too_early], 1, ["packed"])
    assert packed_and_then_returned("park", missing="ignore") == ([too_late], 1, ["packed"])
    assert packed_and_then_returned(None, missing="ignore") == ([], 2, ["packed"])


def test_an_event_that_is_ignored_after_the_end_of_its_saga_holds_up_no_other_of_its_key() -> None:
    log: list[str] = []
    system, sales, shipping, _ = window(log=log, ended="ignore")
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        shop.clock.advance(HOUR)
        shop.settle()
        publish(shop, sales, returned("one"), purchased("two"), returned("two"))
        shop.settle()

        assert log == ["packed", "cancelled"]
        assert counts(shop, shipping) == (0, 0)


def test_the_next_instance_of_a_value_gets_the_events_that_come_after_its_beginning() -> None:
    log: list[str] = []
    system, sales, _, _ = window(log=log, ended="ignore")
    with started(system) as shop:
        for _ in range(2):
            publish(shop, sales, purchased("one"), returned("one"))
            shop.settle()

        assert log == ["cancelled", "cancelled"]


def test_what_a_failing_handler_did_to_the_state_is_gone() -> None:
    attempts: list[str] = []

    def fail_once(what: str) -> None:
        attempts.append(what)
        if attempts == ["open"]:
            raise RuntimeError("not yet")

    system, sales, shipping, saga = window(before=fail_once)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle(failures="park")
        none = counts(shop, shipping)
        shop.clock.advance(timedelta(minutes=1))

        assert none == (0, 0)
        assert counts(shop, shipping) == (1, 2)
        assert state(shop, shipping, saga)["steps"] == 1


@pytest.mark.rule(21)
def test_a_timeout_waits_while_an_event_of_its_saga_is_parked() -> None:
    """The cancellation fails at first: the item must not be packed before it has been tried again."""
    log: list[str] = []
    attempts: list[str] = []

    def fail(what: str) -> None:
        attempts.append(what)
        if what == "cancel" and attempts.count("cancel") == 1:
            raise RuntimeError("not yet")

    system, sales, _, _ = window(before=fail, log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"), purchased("two", "ben"))
        shop.settle()
        publish(shop, sales, returned("one"))
        shop.settle(failures="park")
        with shop.connection(shop.components["shipping"]) as connection:
            connection.execute(sql("update preterite_parked set due_at = due_at + 7200"))
        shop.clock.advance(HOUR)
        packed_meanwhile = list(log)
        shop.clock.advance(3 * HOUR)

        assert packed_meanwhile == ["packed"], "only the other purchase"
        assert log == ["packed", "cancelled"]


def test_a_timeout_that_fails_is_run_again_and_goes_with_its_saga() -> None:
    log: list[str] = []

    def fail(what: str) -> None:
        if what == "pack":
            raise RuntimeError("no paper")

    system, sales, shipping, _ = window(before=fail, log=log)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        shop.clock.to(shop.clock.now() + HOUR)
        parked = shop.status()["shipping"].counts.parked
        publish(shop, sales, returned("one"))
        shop.settle(failures="park")

        assert parked == 1
        assert log == ["cancelled"]
        assert shop.status()["shipping"].counts.parked == 0
        assert counts(shop, shipping) == (0, 0)


def test_an_instance_of_an_older_version_takes_the_defaults_of_new_fields_and_is_brought_up() -> None:
    def declare(saga: Callable[[Component], object]) -> tuple[System, Component, Component]:
        sales = Component("sales", publishes=[ItemPurchased, ItemReturned])
        shipping = Component("shipping")
        saga(shipping)
        return System("shop", [sales, shipping]), sales, shipping

    def first(shipping: Component) -> None:
        @shipping.saga
        class Window(Saga, by="purchase_id", name="Window"):
            purchase_id: UUID
            pounds: int = 0

            @started_by(ItemPurchased)
            def open(self, event: ItemPurchased) -> None:
                self.pounds = 3

            @joined_by(ItemReturned)
            def close(self, event: ItemReturned) -> None: ...

    found: list[tuple[int, str]] = []

    def second(shipping: Component) -> None:
        @shipping.saga
        class Window(Saga, by="purchase_id", name="Window", version=2):
            purchase_id: UUID
            pence: int = 0
            note: str = "none"

            @classmethod
            def upcast(cls, version: int, state: dict[str, Any]) -> dict[str, Any]:
                assert version == 1
                return {"purchase_id": state["purchase_id"], "pence": state["pounds"] * 100}

            @started_by(ItemPurchased)
            def open(self, event: ItemPurchased) -> None: ...

            @joined_by(ItemReturned)
            def close(self, event: ItemReturned) -> None:
                found.append((self.pence, self.note))

    system, sales, shipping = declare(first)
    with started(system) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        urls = {name: database.url for name, database in shop.databases.items()}
        newer, newer_sales, newer_shipping = declare(second)
        shop.runtime.relay("sales").close()
        for loop in (*shop._relays.values(), *shop._receivers.values()):  # pyright: ignore[reportPrivateUsage]
            loop.close()
        shop._receivers.clear()  # pyright: ignore[reportPrivateUsage]
        shop._relays.clear()  # pyright: ignore[reportPrivateUsage]
        with _reopened(newer, urls, shop) as again:
            publish(again, newer_sales, returned("one"))
            again.settle()
            with again.connection(newer_shipping) as connection:
                version = connection.execute(sql("select version from preterite_saga")).fetchone()[0]

        assert found == [(300, "none")]
        assert version == 2
        assert sales.name == newer_sales.name
        assert shipping.name == newer_shipping.name


def _reopened(system: System, urls: dict[str, str], shop: StartedSystem) -> Any:
    from preterite.testing import SeededRandomness
    from preterite.topology import verify

    types = {name: database.connection_type for name, database in shop.databases.items()}
    topology = verify(system.name, system.components, types)
    assert urls
    kept = (shop.databases, shop.log, shop.clock, SeededRandomness(2))
    connect = partial(Runtime, system.name, system.components, topology, *kept)
    return StartedSystem(connect(), connect)


def test_a_state_that_does_not_fit_its_fields_fails_the_handler() -> None:
    sales, shipping = Component("sales", publishes=[ItemPurchased]), Component("shipping")

    @shipping.saga
    class Window(Saga, by="purchase_id"):
        purchase_id: UUID
        steps: int = 0

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased) -> None:
            self.steps = "many"  # pyright: ignore[reportAttributeAccessIssue] - on purpose

    with started(System("shop", [sales, shipping])) as shop:
        publish(shop, sales, purchased("one"))
        with pytest.raises(UsageError, match="The state of saga Window does not fit its fields"):
            shop.settle()


def test_a_saga_works_on_the_components_own_rows_in_the_same_transaction() -> None:
    sales = Component("sales", publishes=[ItemPurchased])
    shipping = Component("shipping", tables=sql("create table shipment (purchase text primary key)"))

    @shipping.saga
    class Window(Saga, by="purchase_id"):
        purchase_id: UUID

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased, connection: Connection) -> None:
            connection.execute(sql("insert into shipment values (?)"), [str(self.purchase_id)])
            self.complete()

    with started(System("shop", [sales, shipping])) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        with shop.connection(shipping) as connection:
            rows = connection.execute(sql("select purchase from shipment")).fetchall()

        assert rows == [(str(id_of("one")),)]
        assert counts(shop, shipping) == (0, 0)


def test_an_async_function_of_a_saga_runs_to_its_end() -> None:
    sales, shipping = Component("sales", publishes=[ItemPurchased]), Component("shipping")

    @shipping.saga
    class Window(Saga, by="purchase_id"):
        purchase_id: UUID
        at: datetime | None = None

        @started_by(ItemPurchased)
        async def open(self, event: ItemPurchased, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
            self.at = event.purchased_at
            unit_of_work.schedule(Pack(), after=HOUR)

        @timeout(Pack)
        async def pack(self, command: Pack) -> None:
            assert self.at is not None
            self.complete()

    with started(System("shop", [sales, shipping])) as shop:
        publish(shop, sales, purchased("one"))
        shop.settle()
        before = counts(shop, shipping)
        shop.clock.advance(HOUR)

        assert before == (1, 1)
        assert counts(shop, shipping) == (0, 0)


def test_a_sagas_timeout_can_be_asked_for_only_by_the_saga() -> None:
    system, _, shipping, _ = window()
    with started(system) as shop, shop.connection(shipping) as connection:
        with shipping.unit_of_work(connection) as unit_of_work:
            with pytest.raises(
                UsageError, match="Pack is a timeout of saga PackingWindow; only that saga can schedule it"
            ):
                unit_of_work.schedule(Pack(), after=HOUR)


def test_a_saga_that_is_declared_wrongly_is_refused_with_all_faults() -> None:
    sales, shipping = Component("sales", publishes=[ItemPurchased, ItemReturned]), Component("shipping")

    @shipping.saga
    class Nameless(Saga):
        purchase_id: UUID

    @shipping.saga
    class Window(Saga, by="purchase_id"):
        purchase_id: UUID
        customer_id: UUID

        @joined_by(ItemReturned, by="nothing")
        def close(self, event: ItemReturned) -> None: ...

        @timeout(Pack)
        def pack(self, command: Complain) -> None: ...

    assert Nameless.__saga__.by == ""
    assert Window.__saga__.by == "purchase_id"
    with pytest.raises(SystemRefused) as refused:
        System("shop", [sales, shipping]).verify()

    for fault in (
        "saga Nameless is found by '', which is no field of it",
        "saga Window: field 'customer_id' needs a default",
        "nothing starts saga Window",
        "saga Window is found by 'nothing', which ItemReturned does not carry",
        "shipping.Window.pack cannot be called: its first parameter is not a Pack",
    ):
        assert fault in str(refused.value)


def state(shop: StartedSystem, component: Component, saga: type[Saga]) -> dict[str, Any]:
    import json

    with shop.connection(component) as connection:
        found = connection.execute(sql("select state from preterite_saga where saga = ?"), [saga.__saga__.name])
        row = found.fetchone()
    return json.loads(row[0])
