"""Promise 7, late subscribers see history; and whoever was away finds everything when it is back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from support.any_store import Connection, log_place, places
from support.shop import (
    FINANCE_TABLES,
    ItemPurchased,
    Shop,
    bills,
    declare,
    insert_bill,
    publish,
    purchased,
    texts,
)

from preterite import Component, OpenSystem, System


def open_files(folder: Path, system: System, *only: str, retention: timedelta | None = None) -> OpenSystem:
    """The same files each time, as separate processes would find them."""
    databases = places(folder, [component.name for component in system.components])
    log = log_place(folder)
    return system.open(databases=databases, log=log, only=only or None, create_tables=True, retention=retention)


def with_shipping(shop: Shop) -> tuple[System, Component]:
    shipping = Component("shipping", tables=FINANCE_TABLES)

    @shipping.handles(ItemPurchased)
    def ship(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)

    return System("shop", [shop.sales, shop.finance, shipping]), shipping


def test_a_component_that_was_away_handles_everything_once_it_runs(tmp_path: Path) -> None:
    shop = declare()
    with open_files(tmp_path, shop.system, "sales") as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()
    with open_files(tmp_path, shop.system, "sales") as opened:
        publish(opened, shop.sales, purchased("c"))
        opened.settle()
    with open_files(tmp_path, shop.system, "finance") as opened:
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b", "c")


def test_a_new_component_handles_everything_from_the_first_event_on_and_the_others_go_on(tmp_path: Path) -> None:
    shop = declare()
    with open_files(tmp_path, shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b", "ben"))
        opened.settle()
    handled = list(shop.attempted)
    system, shipping = with_shipping(shop)
    with open_files(tmp_path, system) as opened:
        publish(opened, shop.sales, purchased("c"))
        opened.settle()

        assert sorted(bills(opened, shipping)) == sorted(texts("a", "b", "c"))
        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b", "c"))
        assert shop.attempted == [*handled, *texts("c")], "Finance handled only what was new to it"


def test_history_reaches_as_far_back_as_the_log_keeps_it(tmp_path: Path) -> None:
    shop = declare()
    with open_files(tmp_path, shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()
    with open_files(tmp_path, shop.system, retention=timedelta(0)) as opened:
        opened.log.maintain()
    system, shipping = with_shipping(shop)
    with open_files(tmp_path, system) as opened:
        publish(opened, shop.sales, purchased("c"))
        opened.settle()

        assert bills(opened, shipping) == texts("c")
        assert bills(opened, shop.finance) == texts("a", "b", "c")
        assert opened.status()["shipping"].problems == []


def test_without_a_retention_the_log_keeps_everything(tmp_path: Path) -> None:
    shop = declare()
    with open_files(tmp_path, shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        opened.log.maintain()

        assert len(opened.published(ItemPurchased)) == 1


def test_a_component_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    shop = declare()
    for name in "abc":
        with open_files(tmp_path, shop.system) as opened:
            publish(opened, shop.sales, purchased(name))
            opened.settle()

    assert shop.attempted == texts("a", "b", "c")
