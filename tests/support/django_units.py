"""A Django application beside a system: `python -m support.django_units` prints what comes of each way to use a unit.

For each function of `WAYS`: the name of the error, how many rows stand, and how many events were published. Each begins
with what the ones before have left, so the counts are what it has added.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import django  # pyright: ignore[reportMissingTypeStubs]
from django.conf import settings  # pyright: ignore[reportMissingTypeStubs]

from preterite import Component, Event, System, UnitOfWork

PLACE = urlsplit(os.environ.get("PRETERITE_SALES_URL", "sqlite:///.preterite/shop/sales.sqlite"))
DATABASE = (
    {"ENGINE": "django.db.backends.sqlite3", "NAME": PLACE.path.removeprefix("/")}
    if PLACE.scheme == "sqlite"
    else {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": PLACE.path.removeprefix("/"),
        "HOST": PLACE.hostname,
        "PORT": PLACE.port,
        "USER": PLACE.username,
        "PASSWORD": PLACE.password or "",
    }
)
configured: Any = settings
configured.configure(DATABASES={"default": DATABASE})
django.setup()

# Django has no types; its models are imported once it is set up.
db: Any = importlib.import_module("django.db")
models: Any = importlib.import_module("django.db.models")
transaction: Any = importlib.import_module("django.db.transaction")
connection: Any = db.connection


class Purchased(Event, key="purchase_id"):
    purchase_id: UUID


class Purchase(models.Model):
    id = models.UUIDField(primary_key=True)

    class Meta:
        app_label = "sales"
        db_table = "purchase"


KIND = "uuid" if PLACE.scheme == "postgresql" else "char(32)"
sales = Component("sales", publishes=[Purchased], tables=f"create table purchase (id {KIND} primary key)")
system = System("shop", [sales])


def given() -> object:
    connection.ensure_connection()
    return connection.connection


def purchase(unit_of_work: UnitOfWork, identifier: UUID | None = None) -> UUID:
    event = Purchased(purchase_id=identifier or uuid4())
    Purchase.objects.create(id=event.purchase_id)
    unit_of_work.publish(event)
    return event.purchase_id


def in_durable_atomic() -> None:
    with transaction.atomic(durable=True), sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)
        Purchase.objects.get_or_create(id=uuid4())


def savepoint_inside() -> None:
    with transaction.atomic(durable=True), sales.unit_of_work(given()) as unit_of_work:
        kept = purchase(unit_of_work)
        with suppress(db.IntegrityError), transaction.atomic():
            unit_of_work.publish(Purchased(purchase_id=uuid4()))
            Purchase.objects.create(id=kept)


def raises_inside() -> None:
    with transaction.atomic(durable=True), sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)
        raise KeyError


def raises_after() -> None:
    with transaction.atomic():
        with sales.unit_of_work(given()) as unit_of_work:
            purchase(unit_of_work)
        raise KeyError


def set_rollback() -> None:
    with transaction.atomic(), sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)
        transaction.set_rollback(True)


def without_atomic() -> None:
    with sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)


def atomic_inside_alone() -> None:
    with sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)
        Purchase.objects.get_or_create(id=uuid4())


def in_inner_atomic() -> None:
    with transaction.atomic(), transaction.atomic(), sales.unit_of_work(given()) as unit_of_work:
        purchase(unit_of_work)


def durable_in_another_atomic() -> None:
    with transaction.atomic():
        in_durable_atomic()


def object_of_django() -> None:
    with sales.unit_of_work(connection) as unit_of_work:
        purchase(unit_of_work)


WAYS: list[Callable[[], None]] = [
    in_durable_atomic,
    savepoint_inside,
    raises_inside,
    raises_after,
    set_rollback,
    without_atomic,
    atomic_inside_alone,
    in_inner_atomic,
    durable_in_another_atomic,
    object_of_django,
]


def main() -> None:
    found: dict[str, tuple[str | None, int, int]] = {}
    with system.open(create_tables=True) as shop:
        for way in WAYS:
            before = (Purchase.objects.count(), len(shop.published(Purchased)))
            raised: str | None = None
            try:
                way()
            except Exception as error:
                raised = type(error).__name__
            connection.close()
            shop.settle()
            found[way.__name__] = (
                raised,
                Purchase.objects.count() - before[0],
                len(shop.published(Purchased)) - before[1],
            )
        connection.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
