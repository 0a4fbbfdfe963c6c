"""What others notice of a dead letter: live purchases while one customer's events wait behind one that failed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.latency import Bills, Latency, each
from benchmarks.measure import Measured, both_in_turns
from benchmarks.shop import CUSTOMERS, ItemPurchased, open_shop, publish, purchases
from preterite import Component, Recoverability
from preterite.hosting.host import Host

PURCHASES = 200
FOLLOWERS = 1_000
ROUNDS = 5
AT_ONCE = Recoverability(immediate_retries=0, delayed_retries=0)


class NoPrice(Exception):
    """What makes the letter dead."""


def measure(
    rounds: int = ROUNDS, count: int = PURCHASES, followers: int = FOLLOWERS
) -> dict[str, tuple[Measured, Measured]]:
    """Milliseconds from commit to effect of other customers' purchases, without and with a dead letter."""
    return both_in_turns(
        {
            "all is well": lambda: _live(count, 0),
            f"one key dead, {followers:,} wait behind it": lambda: _live(count, followers),
        },
        rounds,
    )


def _declare(finance: Component) -> None:
    finance.recoverability = AT_ONCE

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        if event.customer_id == CUSTOMERS[0]:
            raise NoPrice
        pence = connection.execute("SELECT pence FROM price WHERE product = ?", [str(event.product_id)]).fetchone()[0]
        row = (str(event.purchase_id), str(event.customer_id), pence)
        connection.execute("INSERT INTO billable VALUES (?, ?, ?)", row)


def _live(count: int, followers: int) -> Latency:
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), _declare)
        # Every so many purchases are by the first customer.
        events = followers + 1 if followers else 0
        of_one_customer = [purchases(1, number * len(CUSTOMERS))[0] for number in range(events)]
        of_others = [one for one in purchases(2 * count) if one.customer_id != CUSTOMERS[0]]
        with shop.opened, Host(shop.opened.runtime), shop.opened.connection(shop.sales) as connection:
            if of_one_customer:
                publish(shop, connection, of_one_customer)
            shop.opened.wait_settled()
            counts = shop.opened.status()["finance"].counts
            expected = (1, followers) if followers else (0, 0)
            assert (counts.dead, counts.parked) == expected, "one is dead, the rest wait behind it"
            bills = Bills(Path(folder) / "finance.sqlite")
            return each(count, lambda number: publish(shop, connection, [of_others[number]]), bills)
