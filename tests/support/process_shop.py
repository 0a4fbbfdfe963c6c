"""A shop for tests with real processes: what its handlers do is in the purchase itself.

Its databases are wherever PRETERITE_…_URL says.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from uuid import UUID

from preterite import Component, Event, Recoverability, System
from preterite.hosting import host, supervisor
from preterite.leases import LEASE_SECONDS
from support.any_store import Connection, sql


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime
    what: str = ""


BILL = sql("create table bill (position integer primary key, purchase text)")
TIME_LIMIT_SECONDS = float(os.environ.get("TIME_LIMIT_SECONDS", "60"))
if "STOP_SECONDS" in os.environ:
    host.STOP_SECONDS = supervisor.STOP_SECONDS = float(os.environ["STOP_SECONDS"])
IMPATIENT = Recoverability(immediate_retries=1, delayed_retries=2, first_delay_seconds=0.05, process_deaths_max=2)

sales = Component("sales", publishes=[ItemPurchased], tables=sql("create table purchase (id text primary key)"))
finance = Component("finance", tables=BILL, recoverability=IMPATIENT, time_limit_seconds=TIME_LIMIT_SECONDS)
shipping = Component("shipping", tables=BILL)
system = System("shop", [sales, finance, shipping])


def insert(event: ItemPurchased, connection: Connection) -> None:
    connection.execute(sql("insert into bill (purchase) values (?)"), [str(event.purchase_id)])


@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, connection: Connection) -> None:
    insert(event, connection)
    if event.what == "kills the process":
        os.kill(os.getpid(), signal.SIGKILL)
    if event.what == "sleeps for ever":
        time.sleep(3600)
    if event.what == "raises always":
        raise RuntimeError("no price")
    if event.what == "is slow":
        time.sleep(0.01)
    if event.what == "takes longer than a lease":
        time.sleep(LEASE_SECONDS + 2.0)


@shipping.handles(ItemPurchased)
def ship(event: ItemPurchased, connection: Connection) -> None:
    insert(event, connection)


def purchased(purchase: UUID, customer: UUID, what: str = "") -> ItemPurchased:
    return ItemPurchased(purchase_id=purchase, customer_id=customer, purchased_at=datetime.now(UTC), what=what)
