"""The work item on PostgreSQL: databases that come and go, handlers over psycopg, prices."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from benchmarks.shop import PRICES, ItemPurchased, billable_rows
from preterite import Component

ADMIN_URL = os.environ.get("PRETERITE_ADMIN_URL", "postgresql://postgres:preterite@127.0.0.1:54321/postgres")
BILL = "INSERT INTO billable SELECT * FROM unnest(%s::text[], %s::text[], %s::int[])"


@contextmanager
def databases(*names: str) -> Generator[dict[str, str]]:
    """Empty databases on the server, removed at the end."""
    made = {name: f"bench_{name}_{uuid4().hex[:8]}" for name in names}
    with psycopg.connect(ADMIN_URL, autocommit=True) as admin:
        for database in made.values():
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        try:
            yield {name: f"{ADMIN_URL.rpartition('/')[0]}/{database}" for name, database in made.items()}
        finally:
            for database in made.values():
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def in_batches(finance: Component) -> None:
    """A batch handler that works set-wise, as hand-written code does."""

    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: psycopg.Connection) -> None:
        prices = dict(connection.execute("SELECT product, pence FROM price").fetchall())
        connection.execute(BILL, columns(billable_rows(events, prices)))


def per_event(finance: Component) -> None:
    """A handler per event over plain psycopg."""

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
        found = connection.execute("SELECT pence FROM price WHERE product = %s", [str(event.product_id)]).fetchone()
        assert found is not None, "every product has a price"
        row = (str(event.purchase_id), str(event.customer_id), found[0])
        connection.execute("INSERT INTO billable VALUES (%s, %s, %s)", row)


def enter_prices(url: str) -> None:
    """What every product costs."""
    with psycopg.connect(url) as connection:
        connection.cursor().executemany("INSERT INTO price VALUES (%s, %s)", PRICES)


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as the arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
