"""eventsourcing: one application follows the other; the bill is an aggregate of Finance's own event store."""

from __future__ import annotations

import time
from functools import singledispatchmethod
from typing import Any
from uuid import UUID, uuid5

import psycopg
from eventsourcing.application import Application, ProcessingEvent
from eventsourcing.domain import Aggregate, event
from eventsourcing.system import ProcessApplication

from benchmarks.peers import work

CONSUMERS = [["-c", "from benchmarks.peers.with_eventsourcing import follow; follow()"]]
POLL_SECONDS = 0.02
EFFECTS = "SELECT count(*) FROM finance_events"


class Purchase(Aggregate):
    """A purchase, stated by its first event."""

    @event("Purchased")
    def __init__(self, purchase_id: str, product_id: str, customer_id: str, purchased_at: str) -> None:
        self.purchase_id = purchase_id
        self.product_id = product_id
        self.customer_id = customer_id
        self.purchased_at = purchased_at

    @staticmethod
    def create_id(purchase_id: str) -> UUID:
        """The aggregate of a purchase."""
        return UUID(purchase_id)


class Billable(Aggregate):
    """A purchase to be invoiced."""

    @event("Billed")
    def __init__(self, purchase_id: str, customer_id: str, pence: int) -> None:
        self.purchase_id = purchase_id
        self.customer_id = customer_id
        self.pence = pence

    @staticmethod
    def create_id(purchase_id: str) -> UUID:
        """The aggregate of a bill."""
        return uuid5(work.NAMESPACE, purchase_id)


class Sales(Application[UUID]):
    """Publishes purchases."""


class Finance(ProcessApplication[UUID]):
    """Bills them, each exactly once: its place in Sales' log is written with the bill."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prices = psycopg.connect(work.FINANCE_URL, autocommit=True)

    @singledispatchmethod
    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """What is done about each event."""

    @policy.register(Purchase.Purchased)
    def _(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        price = self.prices.execute("SELECT pence FROM price WHERE product = %s", [domain_event.product_id]).fetchone()
        assert price is not None, "every product has a price"
        processing_event.collect_events(
            Billable(purchase_id=domain_event.purchase_id, customer_id=domain_event.customer_id, pence=price[0])
        )


def _environment() -> dict[str, str]:
    found: dict[str, str] = {"PERSISTENCE_MODULE": "eventsourcing.postgres"}
    for name, url in (("SALES", work.SALES_URL), ("FINANCE", work.FINANCE_URL)):
        parts = psycopg.conninfo.conninfo_to_dict(url)
        found |= {
            f"{name}_POSTGRES_DBNAME": str(parts["dbname"]),
            f"{name}_POSTGRES_HOST": str(parts["host"]),
            f"{name}_POSTGRES_PORT": str(parts["port"]),
            f"{name}_POSTGRES_USER": str(parts["user"]),
            f"{name}_POSTGRES_PASSWORD": str(parts["password"]),
        }
    return found


def prepare() -> None:
    """Its tables."""
    for application in (Sales, Finance):
        application(env=_environment()).close()


def publish(count: int, first: int) -> None:
    """Sales: an aggregate for each purchase."""
    sales = Sales(env=_environment())
    for message in work.messages(count, first):
        sales.save(Purchase(**message))
    sales.close()


def follow() -> None:
    """Bill what Sales publishes. Its runners hear only what their own process has published; here another one has."""
    sales, finance = Sales(env=_environment()), Finance(env=_environment())
    finance.follow(Sales.__name__, sales.notification_log)
    while True:
        finance.pull_and_process(Sales.__name__)
        time.sleep(POLL_SECONDS)
