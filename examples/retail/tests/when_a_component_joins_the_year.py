"""All purchases of the real sample reach a new component, and a new handler, while new purchases are made."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from preterite import Component, OpenSystem, System
from preterite.hosting.host import Host
from preterite.operations.dead_letters import Operator
from preterite.operations.replays import Wanted, start
from retail.demo import SAMPLE
from retail.replay.lines import Line, read, reason_against
from retail.replay.names import customer_id, line_id, product_id
from retail.sales.contracts import ItemPurchased, PurchaseCancelled

TABLES = "create table {name} (position integer primary key, purchase text, customer text)"
UNIT = 50


def declare(*, late: bool) -> tuple[System, Component]:
    """Sales, Finance from the start; later also Loyalty, and a second handler of Finance."""
    sales = Component("sales", publishes=[ItemPurchased, PurchaseCancelled])
    finance = Component("finance", tables=";".join(TABLES.format(name=name) for name in ("billed", "mailed")))
    components = [sales, finance]

    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        note(connection, "billed", events)

    if late:
        loyalty = Component("loyalty", tables=TABLES.format(name="seen"))
        components.append(loyalty)

        @loyalty.handles(ItemPurchased)
        def see(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
            note(connection, "seen", events)

        @finance.handles(ItemPurchased)
        def mail(event: ItemPurchased, connection: sqlite3.Connection) -> None:
            note(connection, "mailed", [event])

    return System("joined", components), sales


def note(connection: sqlite3.Connection, table: str, events: Sequence[ItemPurchased]) -> None:
    rows = [(str(event.purchase_id), str(event.customer_id)) for event in events]
    connection.executemany(f"insert into {table} (purchase, customer) values (?, ?)", rows)


def event_of(line: Line) -> ItemPurchased:
    assert line.customer is not None, "lines without a customer are set aside"
    return ItemPurchased(
        purchase_id=line_id(line.number),
        product_id=product_id(line.code),
        customer_id=customer_id(line.customer),
        purchased_at=line.at,
        quantity=line.quantity,
    )


def publish(shop: OpenSystem, sales: Component, events: Sequence[ItemPurchased]) -> None:
    with shop.connection(sales) as connection:
        for first in range(0, len(events), UNIT):
            with sales.unit_of_work(connection) as unit_of_work:
                for event in events[first : first + UNIT]:
                    unit_of_work.publish(event)


def rows(shop: OpenSystem, component: str, table: str) -> list[tuple[str, str]]:
    with shop.connection(shop.components[component]) as connection:
        return connection.execute(f"select purchase, customer from {table} order by position").fetchall()


def by_customer(found: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    purchases: dict[str, list[str]] = {}
    for purchase, customer in found:
        purchases.setdefault(customer, []).append(purchase)
    return purchases


def test_nothing_is_lost_or_doubled_and_each_customer_keeps_the_order(tmp_path: Path) -> None:
    events = [event_of(line) for line in read(SAMPLE)[0] if reason_against(line) is None]
    half = len(events) // 2
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance", "loyalty")}
    log = f"sqlite:///{tmp_path}/log.sqlite"
    before, sales = declare(late=False)
    with before.open(databases={n: urls[n] for n in ("sales", "finance")}, log=log, create_tables=True) as shop:
        publish(shop, sales, events[:half])
        shop.settle()
    after, sales = declare(late=True)
    with after.open(databases=urls, log=log, create_tables=True) as shop, Host(shop.runtime):
        publish(shop, sales, events[half : half + UNIT])
        shop.wait_settled()
        start_replay(shop)
        publish(shop, sales, events[half + UNIT :])
        shop.wait_settled()
        found = {
            table: rows(shop, *table) for table in (("finance", "billed"), ("finance", "mailed"), ("loyalty", "seen"))
        }

    wanted = [(str(event.purchase_id), str(event.customer_id)) for event in events]
    assert len(wanted) == len(set(wanted)) == 29_180
    for table in (("finance", "billed"), ("loyalty", "seen")):
        assert sorted(found[table]) == sorted(wanted)
        assert by_customer(found[table]) == by_customer(wanted)
    mailed = found["finance", "mailed"]
    assert sorted(mailed) == sorted(wanted)
    first = {str(event.purchase_id) for event in events[half : half + UNIT]}
    others = [row for row in mailed if row[0] not in first]
    assert by_customer(others) == by_customer([row for row in wanted if row[0] not in first])


def start_replay(shop: OpenSystem) -> None:
    store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]
    with shop.connection(shop.components["finance"]) as connection:
        start(store, connection, shop.log, subscriptions, Wanted(("mail",), rate=None), Operator("ops", "", 0.0))
