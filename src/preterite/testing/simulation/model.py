"""The shop that is simulated: effects that can be counted, a batch handler, commands that wait, handlers that fail."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from preterite import Command, Component, Envelope, Event, Recoverability, System, UnitOfWork

EFFECTS = """
CREATE TABLE effect (
    id INTEGER PRIMARY KEY AUTOINCREMENT, handler TEXT NOT NULL, cause TEXT NOT NULL, key TEXT NOT NULL)
"""
PATIENT = Recoverability(immediate_retries=1, delayed_retries=2, first_delay_seconds=1.0)
SHIP_WITHIN = timedelta(seconds=20)


class ItemPurchased(Event, key="customer_id"):
    """What Sales publishes."""

    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


class ItemBilled(Event, key="customer_id"):
    """What Finance publishes when it has heard."""

    purchase_id: UUID
    customer_id: UUID
    billed_at: datetime


class ShipItem(Command):
    """What Shipping tells itself to do later."""

    purchase_id: UUID
    customer_id: UUID


@dataclass
class Model:
    """The declared shop, and how often each handler was given each purchase."""

    system: System
    sales: Component
    finance: Component
    shipping: Component
    attempts: Counter[tuple[str, UUID]] = field(default_factory=Counter[tuple[str, UUID]])


def declare(system: str = "simulated") -> Model:
    """The shop, declared anew."""
    sales = Component("sales", publishes=[ItemPurchased], tables="CREATE TABLE purchase (id TEXT PRIMARY KEY)")
    finance = Component("finance", publishes=[ItemBilled], tables=EFFECTS, recoverability=PATIENT)
    shipping = Component("shipping", tables=EFFECTS, recoverability=PATIENT)
    model = Model(System(system, [sales, finance, shipping]), sales, finance, shipping)
    _let_finance_bill(model)
    _let_shipping_ship(model)
    return model


def _let_finance_bill(model: Model) -> None:
    @model.finance.handles(ItemPurchased)
    def bill(
        event: ItemPurchased, envelope: Envelope, connection: sqlite3.Connection, unit_of_work: UnitOfWork
    ) -> None:
        _effect(connection, "bill", envelope.id, event.customer_id)
        unit_of_work.publish(
            ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=unit_of_work.now)
        )
        _fail_perhaps(model, "bill", event.purchase_id)


def _let_shipping_ship(model: Model) -> None:
    @model.shipping.handles(ItemPurchased, apart="count")
    def count(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO effect (handler, cause, key) VALUES ('count', ?, ?)",
            [(str(event.purchase_id), str(event.customer_id)) for event in events],
        )

    @model.shipping.handles(ItemBilled)
    def plan(event: ItemBilled, envelope: Envelope, connection: sqlite3.Connection, unit_of_work: UnitOfWork) -> None:
        _effect(connection, "plan", envelope.id, event.customer_id)
        unit_of_work.later(
            ShipItem(purchase_id=event.purchase_id, customer_id=event.customer_id), after=_patience(event.purchase_id)
        )
        _fail_perhaps(model, "plan", event.purchase_id)

    @model.shipping.handles(ShipItem)
    def ship(command: ShipItem, connection: sqlite3.Connection) -> None:
        _effect(connection, "ship", command.purchase_id, command.customer_id)
        _fail_perhaps(model, "ship", command.purchase_id)


def _effect(connection: sqlite3.Connection, handler: str, cause: UUID, key: UUID) -> None:
    connection.execute("INSERT INTO effect (handler, cause, key) VALUES (?, ?, ?)", (handler, str(cause), str(key)))


def _fail_perhaps(model: Model, handler: str, purchase: UUID) -> None:
    """Of a hundred purchases one always fails, three fail twice."""
    share = _share(f"{handler} {purchase}")
    model.attempts[handler, purchase] += 1
    if share < 0.01 or (share < 0.04 and model.attempts[handler, purchase] <= 2):
        raise RuntimeError(f"{handler} cannot")


def _patience(purchase: UUID) -> timedelta:
    return SHIP_WITHIN * _share(f"patience {purchase}")


def _share(text: str) -> float:
    return int.from_bytes(sha256(text.encode()).digest()[:4]) / 2**32
