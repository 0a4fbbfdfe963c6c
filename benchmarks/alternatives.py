"""What Python teams use instead, beside Preterite, on the same PostgreSQL: a backlog drained, and live purchases.

The peers run in an environment of their own (`make peers`), each as `benchmarks/peers/with_….py` has it. Handlers are
over SQLAlchemy everywhere, one event at a time; Preterite's batch handler is shown beside them.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.postgres import with_preterite
from benchmarks.processes import with_processes
from benchmarks.shop import FINANCE_TABLES, PURCHASE_TABLE, ItemPurchased, per_event_over_sqlalchemy, purchases
from benchmarks.shop_postgres import databases, enter_prices, in_batches
from preterite import Component, System
from preterite.hosting.host import Host

PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
PEERS = ("celery", "dramatiq", "faststream", "procrastinate", "pgqueuer", "dbos", "eventsourcing")
OURS = "Preterite, per event over SQLAlchemy"
IN_BATCHES = "Preterite, batch handler"
ALONE = "the purchase alone, nothing published"
ROUNDS = 5
LIVE_EVENTS = 500
BATCHED_EVENTS = 60_000
PROCESSES = 2
LOOK_SECONDS = 0.01
TIMEOUT_SECONDS = 120.0


class Base(DeclarativeBase):
    """Sales' table, for purchases over SQLAlchemy."""


class Purchase(Base):
    """What Sales knows."""

    __tablename__ = "purchase"
    id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    customer: Mapped[str]
    at: Mapped[str]


def measure(rounds: int = ROUNDS, peers: tuple[str, ...] = PEERS) -> dict[str, dict[str, list[float]]]:
    """Events per second of every way, drained and live, in turns."""
    drained: dict[str, list[float]] = {name: [] for name in (*peers, OURS, IN_BATCHES)}
    live: dict[str, list[float]] = {name: [] for name in (*peers, OURS, ALONE)}
    many = purchases(BATCHED_EVENTS)
    for turn in range(1, rounds + 1):
        for name in peers:
            _say(turn, rounds, name)
            for rates in _peer(name):
                drained[name].append(rates["drain"])
                live[name].append(rates["live"])
        _say(turn, rounds, OURS)
        drained[OURS].append(with_processes(PROCESSES))
        live[OURS].append(live_rate())
        live[ALONE].append(alone_rate())
        drained[IN_BATCHES].append(with_preterite(many, in_batches))
    print("\r\x1b[K", end="", file=sys.stderr)
    return {
        name: {"drained": drained.get(name, []), "live": live.get(name, [])}
        for name in dict.fromkeys((*drained, *live))
    }


def live_rate(events: int = LIVE_EVENTS) -> float:
    """Purchases per second from the first commit to the last bill, one unit of work each, all in another process."""
    sales, finance, system = _declared()
    context = multiprocessing.get_context("spawn")
    with databases("sales", "finance", "log") as urls:
        log = urls.pop("log")
        with system.open(databases=urls, log=log, create_tables=True) as shop:
            enter_prices(urls["finance"])
            ready, stop = context.Event(), context.Event()
            worker = context.Process(target=_work, args=(urls, log, ready, stop))
            worker.start()
            assert ready.wait(TIMEOUT_SECONDS), "the worker has started"
            began = time.perf_counter()
            for event in purchases(events):
                with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
                    session.add(_row(event))
                    unit_of_work.publish(event)
            with shop.connection(finance) as connection:
                while connection.execute("SELECT count(*) FROM billable").fetchone()[0] < events:
                    assert time.perf_counter() - began < TIMEOUT_SECONDS, "the worker does not come to an end"
                    time.sleep(LOOK_SECONDS)
            took = time.perf_counter() - began
            stop.set()
            worker.join()
    return events / took


def alone_rate(events: int = LIVE_EVENTS) -> float:
    """The same purchases over SQLAlchemy, each committed, and nothing published: nobody can be faster live."""
    with databases("sales") as urls:
        engine = create_engine(urls["sales"].replace("postgresql:", "postgresql+psycopg:"))
        Base.metadata.create_all(engine)
        many = purchases(events)
        began = time.perf_counter()
        for event in many:
            with Session(engine) as session:
                session.add(_row(event))
                session.commit()
        took = time.perf_counter() - began
        engine.dispose()
    return events / took


def _peer(name: str) -> Iterator[dict[str, float]]:
    """One round of one peer."""
    if not PYTHON.exists():
        raise SystemExit("The peers are not installed: make peers")
    command = [str(PYTHON), "-m", "benchmarks.peers", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name} has failed; see: {' '.join(command)}")
    yield json.loads(done.stdout.splitlines()[-1])


def _declared() -> tuple[Component, Component, System]:
    sales = Component("sales", publishes=[ItemPurchased], tables=PURCHASE_TABLE)
    finance = Component("finance", tables=FINANCE_TABLES)
    per_event_over_sqlalchemy(finance)
    return sales, finance, System("bench", [sales, finance])


def _row(event: ItemPurchased) -> Purchase:
    return Purchase(
        id=str(event.purchase_id),
        product=str(event.product_id),
        customer=str(event.customer_id),
        at=event.purchased_at.isoformat(),
    )


def _work(urls: dict[str, str], log: str, ready: Event, stop: Event) -> None:
    """Relay and receivers of both components, until asked to stop."""
    _, _, system = _declared()
    with system.open(databases=urls, log=log) as opened, Host(opened.runtime):
        ready.set()
        stop.wait()


def _say(turn: int, rounds: int, name: str) -> None:
    print(f"\r  round {turn} of {rounds}: {name}\x1b[K", end="", file=sys.stderr)
