"""A shop of two components for tests of pages: Ledger has orders with lines, Library has names."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NewType
from uuid import UUID

from preterite import Component, System
from preterite.composition import Ids, NotFound, Page, PageRequest, PartResult, Parts, ValidationError
from preterite.testing import StartedSystem, started

OrderId = NewType("OrderId", UUID)
BookId = NewType("BookId", UUID)

ledger = Component("ledger", tables="create table line (order_id text, book_id text, pence integer)")
library = Component("library", tables="create table book (id text primary key, name text)")
system = System("paper", [ledger, library])

ledger_parts = Parts(ledger)
library_parts = Parts(library)


class Gates:
    """Delays or breaks parts, for tests of what a page does then."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.broken: set[str] = set()
        self.asked: list[tuple[str, frozenset[object]]] = []
        self.arrived = threading.Semaphore(0)
        self.open.set()

    def pass_by(self, name: str, ids: frozenset[object]) -> None:
        self.asked.append((name, ids))
        self.arrived.release()
        if name in self.broken:
            raise RuntimeError(f"{name} is broken")


gates = Gates()


@ledger_parts.part(provides=[BookId], required=True, fallback="The order cannot be shown right now.")
def lines(orders: Ids[OrderId], connection: sqlite3.Connection, request: PageRequest) -> PartResult:
    """What was ordered: books with what they cost."""
    gates.pass_by("lines", orders)
    (order,) = orders
    rows = connection.execute("select book_id, pence from line where order_id = ?", [str(order)]).fetchall()
    if not rows:
        raise NotFound(f"There is no order {order}.")
    found = [(BookId(UUID(book)), pence) for book, pence in rows]
    return PartResult(found, provides={BookId: [book for book, _ in found]})


@library_parts.part(fallback="Names are not available right now.", unknown="a book no longer listed")
def names(books: Ids[BookId], connection: sqlite3.Connection) -> dict[BookId, str]:
    """What books are called."""
    gates.pass_by("names", books)
    assert gates.open.wait(60), "the test has not opened the gate"
    marks = ", ".join("?" * len(books))
    rows = connection.execute(f"select id, name from book where id in ({marks})", [str(book) for book in books])
    return {BookId(UUID(book)): name for book, name in rows.fetchall()}


@library_parts.part(fallback="The shelf is not available right now.")
def shelf(request: PageRequest) -> dict[str, str]:
    """The parameters of the request, and its viewer."""
    gates.pass_by("shelf", frozenset())
    return {"viewer": str(request.viewer), **request.params}


order_page = Page("order", "/orders/{order}", {"order": OrderId}, [lines, names, shelf])


def read_name(fields: Mapping[str, str], request: PageRequest) -> str:
    if not fields["name"]:
        raise ValidationError(name="A book needs a name.")
    return fields["name"]


def read_price(fields: Mapping[str, str], request: PageRequest) -> int:
    if not fields["pence"].isdigit():
        raise ValidationError(pence="Write whole pence.")
    return int(fields["pence"])


@library_parts.section("name", read=read_name, fallback="The library could not note the name yet.")
def named(book: BookId, name: str, session: object, request: PageRequest) -> None:
    _write(library, session, "insert or ignore into book values (?, ?)", (str(book), name))


@ledger_parts.section("pence", read=read_price, fallback="The ledger could not note the price yet.")
def priced(book: BookId, pence: int, session: object, request: PageRequest) -> None:
    if pence == 13:
        raise ValidationError(pence="Nothing costs thirteen pence.")
    gates.pass_by("priced", frozenset({book}))
    _write(ledger, session, "insert into line values ('', ?, ?)", (str(book), pence))


def _write(component: Component, session: object, statement: str, values: tuple[object, ...]) -> None:
    from sqlalchemy.orm import Session

    assert isinstance(session, Session)
    with component.unit_of_work(session):
        session.connection().exec_driver_sql(statement, values)


@contextmanager
def open_shop(order: UUID, books: int) -> Generator[StartedSystem]:
    """An open shop, with one order of so many books, each with a name."""
    gates.__init__()
    with started(system) as shop:
        with shop.connection(ledger) as connection, ledger.unit_of_work(connection):
            rows = [(str(order), str(UUID(int=number + 1)), number) for number in range(books)]
            connection.executemany("insert into line values (?, ?, ?)", rows)
        with shop.connection(library) as connection, library.unit_of_work(connection):
            named = [(str(UUID(int=number + 1)), f"Book {number}") for number in range(books)]
            connection.executemany("insert into book values (?, ?)", named)
        yield shop
