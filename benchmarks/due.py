"""What is to come: what it costs to see what is due with many commands pending, and how late they come under load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID

from benchmarks.measure import Measured, in_turns, percentile
from benchmarks.shop import Shop, in_batches, open_shop, publish, purchases
from preterite import Command, Component
from preterite.hosting.host import Host
from preterite.store.contract import Store
from preterite.store.rows import ScheduledRow

FEW, MANY = 1_000, 1_000_000
QUERIES = 500
DUE = 100
ROUNDS = 7
NOW = 1_000_000_000.0
COMMANDS = 500
LOAD_SECONDS = 5.0
UNIT_EVENTS = 100
INSERTED_AT_ONCE = 50_000


class Remind(Command):
    """What is asked for later."""

    at: datetime


class Lateness(NamedTuple):
    """Seconds from when commands were due to when they were handled, while events come in."""

    early: int
    p50: float
    p99: float
    most: float
    events_per_second: float


def query(rounds: int = ROUNDS, many: int = MANY) -> list[Measured]:
    """Microseconds to find the hundred commands that are due, with few and with many pending."""
    with TemporaryDirectory() as folder:
        few, lots = (_pending(Path(folder) / str(count), count) for count in (FEW, many))
        found = in_turns({f"{FEW:,} pending": lambda: _ask(*few), f"{many:,} pending": lambda: _ask(*lots)}, rounds)
        for _, connection in (few, lots):
            connection.close()
    return found


def lateness(seconds: float = LOAD_SECONDS, commands: int = COMMANDS) -> Lateness:
    """A host in this process; events are published as fast as they go while commands become due."""
    late: list[float] = []

    def declare(finance: Component) -> None:
        in_batches(finance)

        @finance.handles(Remind)
        def remind(command: Remind) -> None:
            late.append((datetime.now(command.at.tzinfo) - command.at).total_seconds())

    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), declare)
        with shop.opened, Host(shop.opened.runtime), shop.opened.connection(shop.sales) as connection:
            first = shop.opened.clock.now() + timedelta(seconds=1)
            _ask_for(shop, [first + timedelta(seconds=seconds) * number / commands for number in range(commands)])
            until, published = time.perf_counter() + 1 + seconds, 0
            while time.perf_counter() < until:
                publish(shop, connection, purchases(UNIT_EVENTS, published))
                published += UNIT_EVENTS
            shop.opened.wait_settled()
    return Lateness(
        sum(one < 0 for one in late),
        percentile(late, 0.5),
        percentile(late, 0.99),
        max(late),
        published / (1 + seconds),
    )


def _pending(folder: Path, count: int) -> tuple[Store, Any]:
    """A component with so many commands pending, a hundred of them due."""
    folder.mkdir()
    shop = open_shop(folder, in_batches)
    store = shop.opened.databases["finance"].store
    connection = shop.opened.databases["finance"].connect()
    for first in range(0, count, INSERTED_AT_ONCE):
        store.begin(connection)
        numbers = range(first, min(first + INSERTED_AT_ONCE, count))
        store.add_scheduled(connection, [_row(number) for number in numbers])
        connection.commit()
    shop.opened.close()
    return store, connection


def _row(number: int) -> ScheduledRow:
    due_at = NOW - number if number < DUE else NOW + number
    return ScheduledRow(UUID(int=number).bytes, number % 8, due_at, None, None, "finance.Remind", b"{}" * 100)


def _ask(store: Store, connection: Any) -> float:
    partitions: Sequence[int] = range(8)
    assert len(store.due_scheduled(connection, partitions, NOW, 2 * DUE)) == DUE, "exactly those that are due"
    began = time.perf_counter()
    for _ in range(QUERIES):
        store.due_scheduled(connection, partitions, NOW, 2 * DUE)
    return (time.perf_counter() - began) / QUERIES * 1e6


def _ask_for(shop: Shop, times: Sequence[datetime]) -> None:
    with shop.opened.connection(shop.finance) as connection, shop.finance.unit_of_work(connection) as unit_of_work:
        for at in times:
            unit_of_work.schedule(Remind(at=at), at=at)
