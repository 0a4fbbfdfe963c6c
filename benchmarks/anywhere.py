"""The shop on any store with any log: where everything lies, how it is declared, and filled."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks import shop as on_sqlite
from benchmarks import shop_postgres as on_postgres
from benchmarks.shop import FINANCE_TABLES, ItemPurchased
from preterite import Component, OpenSystem, System
from preterite.hosting.host import Host

STORES = ("sqlite", "postgres")
HANDLERS = ("batch handler", "per event")


class Places(NamedTuple):
    """Where everything lies: URLs, and the folder for what lies in files."""

    sales: str
    finance: str
    log: str
    folder: Path


@contextmanager
def places(store: str, log: str) -> Generator[Places]:
    """Empty databases, gone at the end."""
    on_server = [name for name, kind in (("sales", store), ("finance", store), ("log", log)) if kind == "postgres"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        urls = stack.enter_context(on_postgres.databases(*on_server)) if on_server else {}
        place = {name: urls.get(name, f"sqlite:///{folder}/{name}.sqlite") for name in ("sales", "finance", "log")}
        yield Places(**place, folder=folder)


def declared(store: str, handler: str) -> tuple[Component, Component, System]:
    """Sales, Finance with this handler over the store's own driver, and the system of both."""
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    handlers = on_postgres if store == "postgres" else on_sqlite
    declare = handlers.in_batches if handler == "batch handler" else handlers.per_event
    declare(finance)
    return sales, finance, System("bench", [sales, finance])


def enter_prices(shop: OpenSystem, store: str, finance: Component, place: Places) -> None:
    """What every product costs."""
    if store == "postgres":
        on_postgres.enter_prices(place.finance)
        return
    with shop.connection(finance) as connection:
        connection.executemany(on_sqlite.INSERT_PRICE, on_sqlite.PRICES)


def publish(shop: OpenSystem, sales: Component, events: Sequence[ItemPurchased], unit_events: int) -> None:
    """Commit these, so many to a unit of work."""
    with shop.connection(sales) as connection:
        for first in range(0, len(events), unit_events):
            with sales.unit_of_work(connection) as unit_of_work:
                for event in events[first : first + unit_events]:
                    unit_of_work.publish(event)


def work(store: str, handler: str, place: Places, components: Sequence[str], ready: Event, stop: Event) -> None:
    """What a worker process does: everything that these components have to do, until asked to stop."""
    _, _, system = declared(store, handler)
    urls = {name: getattr(place, name) for name in components}
    with system.open(databases=urls, log=place.log, only=components) as opened, Host(opened.runtime):
        ready.set()
        stop.wait()
