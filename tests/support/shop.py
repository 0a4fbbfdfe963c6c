"""Two components that are declared anew for each test: Sales publishes, Finance listens, with what a test gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

from preterite import Component, Event, OpenSystem, Recoverability, System, UnitOfWork
from preterite.hosting.host import Host
from preterite.operations.dead_letters import dead_letters
from preterite.store.rows import Parked
from support.any_store import Connection, sql

NAMESPACE = UUID(int=7)
AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime


class ItemReturned(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    returned_at: datetime


class ItemBilled(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    billed_at: datetime


def id_of(name: str) -> UUID:
    """An identifier that follows from a name that only the test knows."""
    return uuid5(NAMESPACE, name)


def purchased(name: str, customer: str = "anna") -> ItemPurchased:
    return ItemPurchased(purchase_id=id_of(name), customer_id=id_of(customer), purchased_at=AT)


def returned(name: str, customer: str = "anna") -> ItemReturned:
    return ItemReturned(purchase_id=id_of(name), customer_id=id_of(customer), returned_at=AT)


@dataclass
class Shop:
    """The declaration, and what Finance's handlers have been given, whether or not it was rolled back."""

    sales: Component
    finance: Component
    system: System
    attempted: list[str] = field(default_factory=list[str])


SALES_TABLES = sql("create table purchase (id text primary key)")
FINANCE_TABLES = sql("create table bill (position integer primary key, purchase text, customer text)")
PATIENT = Recoverability(immediate_retries=1, delayed_retries=2)


def declare(
    *,
    recoverability: Recoverability = PATIENT,
    bills: bool = True,
    fails: Callable[[UUID], bool] | None = None,
    name: str = "bill",
    renamed_from: str | None = None,
) -> Shop:
    """A shop; Finance bills every purchase, by a handler of this name, unless `fails` says that it cannot."""
    sales = Component("sales", publishes=[ItemPurchased, ItemReturned], tables=SALES_TABLES)
    finance = Component("finance", publishes=[ItemBilled], tables=FINANCE_TABLES, recoverability=recoverability)
    shop = Shop(sales, finance, System("shop", [sales, finance]))
    if bills:

        @finance.handles(ItemPurchased, name=name, renamed_from=renamed_from)
        def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
            shop.attempted.append(str(event.purchase_id))
            insert_bill(connection, event)
            unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
            if fails is not None and fails(event.purchase_id):
                raise RuntimeError(f"no price for {event.purchase_id}")

    return shop


def insert_bill(connection: Connection, event: ItemPurchased | ItemReturned) -> None:
    connection.execute(
        sql("insert into bill (purchase, customer) values (?, ?)"), [str(event.purchase_id), str(event.customer_id)]
    )


def publish(opened: OpenSystem, sales: Component, *events: Event) -> None:
    """One unit of work of Sales."""
    with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for event in events:
            if isinstance(event, ItemPurchased):
                connection.execute(sql("insert into purchase values (?)"), [str(event.purchase_id)])
            unit_of_work.publish(event)


def handle_all(opened: OpenSystem, *, by_host: bool) -> None:
    """Have everything handled, by the threads of a host or by `settle`."""
    if by_host:
        with Host(opened.runtime):
            opened.wait_settled()
    else:
        opened.settle(failures="park")


def prune_journal(opened: OpenSystem, component: str) -> None:
    """What the component has published until now is too old to be sent again."""
    relay = opened.runtime.relay(component)
    relay.journal_seconds = -1.0
    relay.step()
    relay.close()


def bills(opened: OpenSystem, finance: Component) -> list[str]:
    """The purchases that Finance has billed, in the order in which it did."""
    with opened.connection(finance) as connection:
        return [row[0] for row in connection.execute(sql("select purchase from bill order by position"))]


def letters(opened: OpenSystem, finance: Component) -> list[Parked]:
    """The dead letters of Finance, oldest first."""
    with opened.connection(finance) as connection:
        return list(dead_letters(opened.databases[finance.name].store, connection, 100))


def texts(*names: str) -> list[str]:
    """The identifiers of these names as Finance writes them."""
    return [str(id_of(name)) for name in names]
