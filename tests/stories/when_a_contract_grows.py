"""Promise 7 where events have changed since: what is stored is read in the version in which it was written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from support.any_store import Connection, log_place, places, sql
from support.shop import AT

from preterite import Component, Event, OpenSystem, System
from preterite.errors import SystemRefused

BILLS = sql("create table bill (purchase text, pence integer)")


class Purchased(Event, key="customer_id", name="sales.Purchased"):
    """As it was first."""

    purchase_id: UUID
    customer_id: UUID
    pounds: int
    purchased_at: datetime


class PurchasedNow(Event, key="customer_id", name="sales.Purchased", version=2):
    """As it is now."""

    purchase_id: UUID
    customer_id: UUID
    pence: int
    purchased_at: datetime


class NoPrice(BaseException):
    """No Exception, as a panic in another language is none."""


def shop(folder: Path, event: type[Event], *, upcasts: bool) -> tuple[OpenSystem, Component, Component]:
    """A shop of the first or the present version; Finance bills in pence."""
    sales, finance = Component("sales", publishes=[event]), Component("finance", tables=BILLS)

    def bill(told: Any, connection: Connection) -> None:
        pence = told.pence if event is PurchasedNow else told.pounds * 100
        connection.execute(sql("insert into bill values (?, ?)"), [str(told.purchase_id), pence])

    bill.__annotations__["told"] = event
    finance.handles(event)(bill)
    if upcasts:

        @finance.upcasts(Purchased, to=PurchasedNow)
        def in_pence(old: Purchased) -> PurchasedNow:
            if old.pounds < 0:
                raise NoPrice("nothing costs less than nothing") if old.pounds == -1 else ValueError("too little")
            return PurchasedNow(
                purchase_id=old.purchase_id,
                customer_id=old.customer_id,
                pence=old.pounds * 100,
                purchased_at=old.purchased_at,
            )

    opened = System("shop", [sales, finance]).open(
        databases=places(folder, ("sales", "finance")), log=log_place(folder), create_tables=True
    )
    return opened, sales, finance


def purchase(opened: OpenSystem, sales: Component, event: Event) -> None:
    with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        unit_of_work.publish(event)
    relay = opened.runtime.relay("sales")
    relay.step()
    relay.close()


def before(pounds: int) -> Purchased:
    return Purchased(purchase_id=uuid4(), customer_id=uuid4(), pounds=pounds, purchased_at=AT)


def billed(opened: OpenSystem, finance: Component) -> list[int]:
    with opened.connection(finance) as connection:
        return sorted(row[0] for row in connection.execute("select pence from bill"))


@pytest.mark.rule(5)
def test_what_was_written_in_an_older_version_is_read_through_the_readers_upcast(tmp_path: Path) -> None:
    opened, sales, _ = shop(tmp_path, Purchased, upcasts=False)
    with opened:
        purchase(opened, sales, before(3))
    opened, sales, finance = shop(tmp_path, PurchasedNow, upcasts=True)
    with opened:
        purchase(
            opened,
            sales,
            PurchasedNow(purchase_id=uuid4(), customer_id=uuid4(), pence=250, purchased_at=AT),
        )
        opened.settle()

        assert billed(opened, finance) == [250, 300]


def test_what_no_upcast_can_make_anything_of_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    opened, sales, _ = shop(tmp_path, Purchased, upcasts=False)
    with opened:
        purchase(opened, sales, before(-1))
        purchase(opened, sales, before(-2))
        purchase(opened, sales, before(4))
    opened, sales, finance = shop(tmp_path, PurchasedNow, upcasts=True)
    with opened:
        opened.settle(failures="park")
        standing = opened.status()["finance"].counts

        assert billed(opened, finance) == [400]
        assert standing.dead == 2


def test_what_could_not_be_read_is_read_once_its_upcast_is_deployed(tmp_path: Path) -> None:
    opened, sales, _ = shop(tmp_path, Purchased, upcasts=False)
    with opened:
        purchase(opened, sales, before(3))
    opened, _, finance = shop(tmp_path, PurchasedNow, upcasts=False)
    with opened:
        opened.settle(failures="park")
        assert (billed(opened, finance), opened.status()["finance"].counts.dead) == ([], 1)
    opened, _, finance = shop(tmp_path, PurchasedNow, upcasts=True)
    with opened:
        opened.settle()
        assert (billed(opened, finance), opened.status()["finance"].counts.dead) == ([300], 0)


def test_an_upcast_that_cannot_be_meant_is_refused_at_the_start(tmp_path: Path) -> None:
    finance, sales = Component("finance"), Component("sales", publishes=[Purchased])

    @finance.upcasts(PurchasedNow, to=Purchased)
    def back(old: PurchasedNow) -> Purchased:
        return Purchased(
            purchase_id=old.purchase_id, customer_id=old.customer_id, pounds=0, purchased_at=old.purchased_at
        )

    with pytest.raises(SystemRefused, match="to which it does not subscribe"):
        System("shop", [sales, finance]).verify()

    @finance.handles(Purchased)
    def bill(event: Purchased) -> None: ...

    with pytest.raises(SystemRefused, match="only an older version can be made into a newer one"):
        System("shop", [sales, finance]).verify()
