"""History: how fast a component or handler that comes late catches up, and what live events notice of a replay."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.latency import LOOK_SECONDS, PAUSE_SECONDS, Bills, Latency, each
from benchmarks.measure import Measured, both_in_turns, in_turns
from benchmarks.shop import ItemPurchased, Shop, in_batches, open_shop, publish, purchases
from preterite import Component
from preterite.hosting.host import Host
from preterite.operations.dead_letters import Operator
from preterite.operations.replays import Wanted, start

EVENTS = 20_000
UNIT_EVENTS = 100
ROUNDS = 5
LIVE_PURCHASES = 300
RATE = 500.0
LATE = "replayed"
SEEN_TABLE = "CREATE TABLE IF NOT EXISTS seen (purchase TEXT)"


def catch_up(rounds: int = ROUNDS, events: int = EVENTS) -> list[Measured]:
    """Events a second: end to end, into a new component, and into a new handler of a component that reads already."""
    return in_turns(
        {
            "batch handler, end to end": lambda: _end_to_end(events),
            "a new component, from the log": lambda: _new_component(events),
            "a late handler, replayed": lambda: _late_handler(events),
        },
        rounds,
    )


def live(rounds: int = ROUNDS, count: int = LIVE_PURCHASES) -> dict[str, tuple[Measured, Measured]]:
    """Milliseconds from commit to effect of live purchases, without and with a throttled replay beside them."""
    history = int(RATE * (count * (PAUSE_SECONDS + 0.01) + 3))
    return both_in_turns(
        {
            "live": lambda: _live_latency(count, history, replayed=False),
            f"live, beside a replay of {RATE:g} a second": lambda: _live_latency(count, history, replayed=True),
        },
        rounds,
    )


def _end_to_end(events: int) -> float:
    with TemporaryDirectory() as folder, open_shop(Path(folder), in_batches).opened as opened:
        shop = Shop(opened, opened.components["sales"], opened.components["finance"])
        began = time.perf_counter()
        _publish(shop, events)
        opened.settle()
        return events / (time.perf_counter() - began)


def _new_component(events: int) -> float:
    """Finance has never run; everything lies in the log."""
    with TemporaryDirectory() as folder, open_shop(Path(folder), in_batches).opened as opened:
        shop = Shop(opened, opened.components["sales"], opened.components["finance"])
        _publish(shop, events)
        relay = opened.runtime.relay("sales")
        while relay.step():
            pass
        relay.close()
        began = time.perf_counter()
        opened.settle()
        return events / (time.perf_counter() - began)


def _late_handler(events: int) -> float:
    with TemporaryDirectory() as folder:
        _past(Path(folder), events)
        shop = open_shop(Path(folder), _with_late_handler)
        with shop.opened as opened:
            opened.settle()
            _start(shop, None)
            began = time.perf_counter()
            opened.settle()
            return events / (time.perf_counter() - began)


def _live_latency(count: int, history: int, *, replayed: bool) -> Latency:
    with TemporaryDirectory() as folder:
        _past(Path(folder), history)
        shop = open_shop(Path(folder), _with_late_handler)
        with shop.opened, Host(shop.opened.runtime), shop.opened.connection(shop.sales) as connection:
            shop.opened.wait_settled()
            if replayed:
                _start(shop, RATE)
            bills = Bills(Path(folder) / "finance.sqlite", history)
            found = each(count, lambda number: publish(shop, connection, purchases(1, history + number)), bills)
            if replayed:
                assert shop.opened.status()["finance"].counts.replaying > 0, "the replay has gone on all the while"
            return found


def _past(folder: Path, events: int) -> None:
    """Finance has billed so many purchases, by a program that has no other handler."""
    shop = open_shop(folder, in_batches)
    with shop.opened:
        _publish(shop, events)
        shop.opened.settle()


def _with_late_handler(finance: Component) -> None:
    in_batches(finance)

    @finance.handles(ItemPurchased, name=LATE)
    def note(events: Sequence[ItemPurchased], connection: sqlite3.Connection) -> None:
        connection.execute(SEEN_TABLE)
        connection.executemany("INSERT INTO seen VALUES (?)", [(str(event.purchase_id),) for event in events])


def _start(shop: Shop, rate: float | None) -> None:
    store, subscriptions = shop.opened.databases["finance"].store, shop.opened.topology.subscriptions["finance"]
    with shop.opened.connection(shop.finance) as connection:
        while LATE not in {handler for handler, _ in store.handler_starts(connection)}:
            time.sleep(LOOK_SECONDS)
        wanted = Wanted((LATE,), rate=rate)
        start(store, connection, shop.opened.log, subscriptions, wanted, Operator("bench", "", 0.0))


def _publish(shop: Shop, events: int) -> None:
    with shop.opened.connection(shop.sales) as connection:
        for first in range(0, events, UNIT_EVENTS):
            publish(shop, connection, purchases(min(UNIT_EVENTS, events - first), first))
