"""The shop that is simulated: effects that can be counted, a batch handler, commands that wait, a saga, failures."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from preterite import (
    Command,
    Component,
    Envelope,
    Event,
    Recoverability,
    Saga,
    System,
    UnitOfWork,
    joined_by,
    started_by,
    timeout,
)
from preterite.testing.simulation import oracle

EFFECTS = """
CREATE TABLE effect (
    id INTEGER PRIMARY KEY AUTOINCREMENT, handler TEXT NOT NULL, cause TEXT NOT NULL, key TEXT NOT NULL)
"""
PATIENT = Recoverability(immediate_retries=1, delayed_retries=2, first_delay_seconds=1.0)
SHIP_WITHIN = timedelta(seconds=20)
GIVE_UP_AFTER = timedelta(seconds=5)


class ItemPurchased(Event, key="customer_id"):
    """What Sales publishes."""

    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


class ItemBilled(Event, key="customer_id"):
    """What Finance publishes when it has billed a purchase."""

    purchase_id: UUID
    customer_id: UUID
    billed_at: datetime


class ShipItem(Command):
    """What Shipping schedules for itself."""

    purchase_id: UUID
    customer_id: UUID


class GiveUp(Command):
    """What a delivery schedules for itself in case nothing is billed."""


@dataclass
class Model:
    """The declared shop, and how often each handler was given each purchase."""

    system: System
    sales: Component
    finance: Component
    shipping: Component
    fails: Callable[[str, UUID, int], bool]
    """Whether this handler fails for this purchase, at its so-manieth attempt."""
    attempts: Counter[tuple[str, UUID]] = field(default_factory=Counter[tuple[str, UUID]])


def now_and_then(handler: str, purchase: UUID, attempt: int) -> bool:
    """Of a thousand purchases three always fail, thirty fail twice; a delivery is never given up for a failure."""
    share = _share(f"{handler} {purchase}")
    return (share < 0.003 and handler != "deliver") or (share < 0.033 and attempt <= 2)


def declare(
    system: str = "simulated", *, audits: bool = False, fails: Callable[[str, UUID, int], bool] = now_and_then
) -> Model:
    """The shop, declared anew; `audits` with a handler in Finance that comes late."""
    sales = Component("sales", publishes=[ItemPurchased], tables="CREATE TABLE purchase (id TEXT PRIMARY KEY)")
    shipping = Component("shipping", tables=EFFECTS, recoverability=PATIENT)
    finance = _finance()
    model = Model(System(system, [sales, finance, shipping]), sales, finance, shipping, fails)
    _let_finance_bill(model)
    _let_shipping_ship(model)
    _let_shipping_deliver(model)
    if audits:
        _let_finance_audit(model)
    return model


def newer(model: Model, *, renames: bool = False) -> Model:
    """The same shop in its next version, of which Finance audits too; it counts attempts in the same place.

    Where it `renames`, the handler that bills has another name.
    """
    finance = _finance()
    system = System(model.system.name, [model.sales, finance, model.shipping])
    later = replace(model, system=system, finance=finance)
    _let_finance_bill(later, *((oracle.RENAMED_BILL, "bill") if renames else ("bill", None)))
    _let_finance_audit(later)
    return later


def _finance() -> Component:
    return Component("finance", publishes=[ItemBilled], tables=EFFECTS, recoverability=PATIENT)


def _let_finance_bill(model: Model, name: str = "bill", renamed_from: str | None = None) -> None:
    @model.finance.handles(ItemPurchased, name=name, renamed_from=renamed_from)
    def bill(
        event: ItemPurchased, envelope: Envelope, connection: sqlite3.Connection, unit_of_work: UnitOfWork
    ) -> None:
        _effect(connection, "bill", envelope.id, event.customer_id)
        unit_of_work.publish(
            ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=unit_of_work.now)
        )
        _fail_perhaps(model, "bill", event.purchase_id)


def _let_shipping_ship(model: Model) -> None:
    @model.shipping.handles(ItemPurchased, lane="count")
    def count(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO effect (handler, cause, key) VALUES ('count', ?, ?)",
            [(str(event.purchase_id), str(event.customer_id)) for event in events],
        )

    @model.shipping.handles(ItemBilled, lane="plan")
    def plan(event: ItemBilled, envelope: Envelope, connection: sqlite3.Connection, unit_of_work: UnitOfWork) -> None:
        _effect(connection, "plan", envelope.id, event.customer_id)
        unit_of_work.schedule(
            ShipItem(purchase_id=event.purchase_id, customer_id=event.customer_id), after=_delay(event.purchase_id)
        )
        _fail_perhaps(model, "plan", event.purchase_id)

    @model.shipping.handles(ShipItem)
    def ship(command: ShipItem, connection: sqlite3.Connection) -> None:
        _effect(connection, "ship", command.purchase_id, command.customer_id)
        _fail_perhaps(model, "ship", command.purchase_id)


def _let_shipping_deliver(model: Model) -> None:
    @model.shipping.saga
    class Delivery(Saga, by="purchase_id"):
        """Ends once, by what is billed or by its timeout."""

        purchase_id: UUID
        customer_id: UUID = UUID(int=0)

        @started_by(ItemPurchased)
        def expect(self, event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
            self.customer_id = event.customer_id
            unit_of_work.schedule(GiveUp(), after=GIVE_UP_AFTER)

        @joined_by(ItemBilled, missing="ignore")
        def deliver(self, event: ItemBilled, connection: sqlite3.Connection) -> None:
            _effect(connection, "deliver", event.purchase_id, self.customer_id)
            _fail_perhaps(model, "deliver", event.purchase_id)
            self.complete()

        @timeout(GiveUp)
        def give_up(self, command: GiveUp, connection: sqlite3.Connection) -> None:
            _effect(connection, "give up", self.purchase_id, self.customer_id)
            self.complete()

    _ = Delivery


def _let_finance_audit(model: Model) -> None:
    @model.finance.handles(ItemPurchased)
    def audit(event: ItemPurchased, envelope: Envelope, connection: sqlite3.Connection) -> None:
        _effect(connection, "audit", envelope.id, event.customer_id)
        _fail_perhaps(model, "audit", event.purchase_id)


def _effect(connection: sqlite3.Connection, handler: str, cause: UUID, key: UUID) -> None:
    connection.execute("INSERT INTO effect (handler, cause, key) VALUES (?, ?, ?)", (handler, str(cause), str(key)))


def _fail_perhaps(model: Model, handler: str, purchase: UUID) -> None:
    model.attempts[handler, purchase] += 1
    if model.fails(handler, purchase, model.attempts[handler, purchase]):
        raise RuntimeError(f"{handler} cannot")


def _delay(purchase: UUID) -> timedelta:
    return SHIP_WITHIN * _share(f"patience {purchase}")


def _share(text: str) -> float:
    return int.from_bytes(sha256(text.encode()).digest()[:4]) / 2**32
