"""PostgreSQL: what was committed to the outbox drained end to end, with Preterite and by hand.

By hand numbers the outbox set-wise into a journal, copies it to a log table in another database, and bills set-wise,
with cursors: the same rows and envelopes in batches of the same size, each commit durable, and nothing else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import sqlalchemy
from psycopg import sql
from sqlalchemy.orm import Session

from benchmarks.by_hand import Envelope
from benchmarks.measure import Measured, in_turns
from benchmarks.shop import (
    FINANCE_TABLES,
    PRICES,
    ItemPurchased,
    bill_by_orm,
    billable_rows,
    per_event_over_sqlalchemy,
    purchases,
)
from preterite import Component, System
from preterite.inbox import BATCH_EVENTS
from preterite.outbox import NUMBER_EVENTS
from preterite.postgres_server import BEGIN, run

ADMIN_URL = os.environ.get("PRETERITE_ADMIN_URL", "postgresql://postgres:preterite@127.0.0.1:54321/postgres")
PARTITIONS = 8
EVENTS = 60_000
EVENTS_OVER_SQLALCHEMY = 5_000
EVENTS_SINGLY = 2_000
ROUNDS = 5

_SALES = """
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, partition int, event_id bytea, envelope bytea);
CREATE TABLE stream (partition int PRIMARY KEY, last_number bigint NOT NULL);
CREATE TABLE journal (partition int, number bigint, event_id bytea, at float8, envelope bytea,
    PRIMARY KEY (partition, number));
INSERT INTO stream SELECT p, 0 FROM generate_series(0, 7) AS p;
"""
_LOG = """
CREATE TABLE log (partition int, number bigint, event_id bytea, at float8, envelope bytea,
    PRIMARY KEY (partition, number));
"""
_FINANCE = f"""{FINANCE_TABLES}
CREATE TABLE cursor (partition int PRIMARY KEY, number bigint);
INSERT INTO cursor SELECT p, 0 FROM generate_series(0, 7) AS p;
"""
_ADD = "INSERT INTO outbox (partition, event_id, envelope) SELECT * FROM unnest(%b::int[], %b::bytea[], %b::bytea[])"
_NUMBER = """
WITH moved AS (
    DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM outbox ORDER BY id LIMIT %s)) RETURNING *
), numbered AS (
    SELECT m.partition, s.last_number + row_number() OVER (PARTITION BY m.partition ORDER BY m.id) AS number,
        m.event_id, m.envelope FROM moved m JOIN stream s USING (partition)
), advanced AS (
    UPDATE stream s SET last_number = n.number
    FROM (SELECT partition, max(number) AS number FROM numbered GROUP BY 1) n WHERE s.partition = n.partition
)
INSERT INTO journal SELECT partition, number, event_id, 0, envelope FROM numbered
RETURNING partition, number, event_id, envelope
"""
_APPEND = """
INSERT INTO log SELECT p, n, i, 0, e FROM unnest(%b::int[], %b::bigint[], %b::bytea[], %b::bytea[]) AS r (p, n, i, e)
"""
_READ = """
SELECT r.partition, r.number, r.envelope FROM unnest(%s::int[], %s::bigint[]) AS c (partition, number)
CROSS JOIN LATERAL (SELECT * FROM log l WHERE l.partition = c.partition AND l.number > c.number
    ORDER BY l.number LIMIT %s) r LIMIT %s
"""
_BILL = "INSERT INTO billable SELECT * FROM unnest(%s::text[], %s::text[], %s::int[])"
_MOVE = """
UPDATE cursor c SET number = n.number FROM unnest(%s::int[], %s::bigint[]) AS n (partition, number)
WHERE c.partition = n.partition
"""


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


def measure(rounds: int = ROUNDS) -> list[Measured]:
    """Every way in turns; events per second of draining."""
    many = purchases(EVENTS)
    some, few = many[:EVENTS_OVER_SQLALCHEMY], many[:EVENTS_SINGLY]
    return in_turns(
        {
            "by hand, set-wise": lambda: by_hand(many),
            "batch handler": lambda: with_preterite(many, in_batches),
            "per event, psycopg": lambda: with_preterite(many[:EVENTS_OVER_SQLALCHEMY], per_event),
            "per event, SQLAlchemy": lambda: with_preterite(some, per_event_over_sqlalchemy),
            "by hand, SQLAlchemy, one transaction per event": lambda: singly_by_orm(few),
        },
        rounds,
    )


def in_batches(finance: Component) -> None:
    """A batch handler that works set-wise, as by hand."""

    @finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: psycopg.Connection) -> None:
        prices = dict(connection.execute("SELECT product, pence FROM price").fetchall())
        connection.execute(_BILL, _columns(billable_rows(events, prices)))


def per_event(finance: Component) -> None:
    """A handler per event over plain psycopg."""

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: psycopg.Connection) -> None:
        found = connection.execute("SELECT pence FROM price WHERE product = %s", [str(event.product_id)]).fetchone()
        assert found is not None, "every product has a price"
        row = (str(event.purchase_id), str(event.customer_id), found[0])
        connection.execute("INSERT INTO billable VALUES (%s, %s, %s)", row)


def with_preterite(events: Sequence[ItemPurchased], declare: Callable[[Component], None]) -> float:
    """Events per second from the first number given to the last effect."""
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component("finance", tables=FINANCE_TABLES)
    declare(finance)
    system = System("bench", [sales, finance])
    with databases("sales", "finance", "log") as urls:
        log = urls.pop("log")
        with system.open(databases=urls, log=log, create_tables=True) as shop:
            enter_prices(urls["finance"])
            shop.settle()  # everything is open, as by hand
            with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
                for event in events:
                    unit_of_work.publish(event)
            started = time.perf_counter()
            shop.settle()
            return len(events) / (time.perf_counter() - started)


def by_hand(events: Sequence[ItemPurchased]) -> float:
    """The same by hand."""
    with databases("sales", "finance", "log") as urls, closing(ByHand(urls)) as shop:
        with psycopg.connect(urls["sales"], autocommit=True) as connection:
            shop.publish(connection, events)
        started = time.perf_counter()
        while shop.send():
            pass
        while shop.bill():
            pass
        return len(events) / (time.perf_counter() - started)


def singly_by_orm(events: Sequence[ItemPurchased]) -> float:
    """The handler over SQLAlchemy by hand, each event in a transaction of its own, cursor included; no log to read."""
    move = sqlalchemy.text("UPDATE cursor SET number = number + 1 WHERE partition = 0")
    with databases("finance") as urls:
        with closing(_open(urls["finance"])) as connection:
            run(connection, _FINANCE)
        enter_prices(urls["finance"])
        engine = sqlalchemy.create_engine(urls["finance"].replace("postgresql:", "postgresql+psycopg:"))
        started = time.perf_counter()
        for event in events:
            with Session(engine) as session:
                bill_by_orm(session, event)
                session.execute(move)
                session.commit()
        took = time.perf_counter() - started
        engine.dispose()
        return len(events) / took


class ByHand:
    """An outbox, a relay, a log and a receiver; each step notifies whoever works next."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._relay, self._log, self._reader, self._finance = (
            _open(urls[name]) for name in ("sales", "log", "log", "finance")
        )
        for connection, tables in ((self._relay, _SALES), (self._log, _LOG), (self._finance, _FINANCE)):
            run(connection, tables)
        enter_prices(urls["finance"])

    def publish(self, connection: Any, events: Sequence[ItemPurchased]) -> None:
        """One unit of work of Sales."""
        run(connection, BEGIN)
        connection.execute(_ADD, _columns(_outbox_rows(events)))
        connection.execute("NOTIFY outbox")
        connection.commit()

    def send(self) -> int:
        """Number the next events and append them to the log; how many."""
        run(self._relay, BEGIN)
        rows = self._relay.execute(_NUMBER, [NUMBER_EVENTS]).fetchall()
        self._relay.commit()
        if rows:
            run(self._log, BEGIN)
            self._log.execute(_APPEND, _columns(rows))
            self._log.execute("NOTIFY log")
            self._log.commit()
        return len(rows)

    def bill(self) -> int:
        """Bill the next events; how many."""
        run(self._finance, BEGIN)
        cursors = self._finance.execute("SELECT partition, number FROM cursor").fetchall()
        rows = self._reader.execute(_READ, (*_columns(cursors), BATCH_EVENTS, BATCH_EVENTS)).fetchall()
        if rows:
            events = [_DECODE(_OPEN(row[2]).data) for row in rows]
            prices = dict(self._finance.execute("SELECT product, pence FROM price").fetchall())
            self._finance.execute(_BILL, _columns(billable_rows(events, prices)))
            ends = {partition: number for partition, number, _ in rows}
            self._finance.execute(_MOVE, _columns(list(ends.items())))
        self._finance.commit()
        return len(rows)

    def close(self) -> None:
        """Give up the connections."""
        for connection in (self._relay, self._log, self._reader, self._finance):
            connection.close()


_OPEN = msgspec.json.Decoder(Envelope).decode
_DECODE = msgspec.json.Decoder(ItemPurchased).decode
_ENCODE = msgspec.json.Encoder().encode


def _outbox_rows(events: Sequence[ItemPurchased]) -> list[tuple[int, bytes, bytes]]:
    rows: list[tuple[int, bytes, bytes]] = []
    for event in events:
        event_id, key = uuid4(), str(event.customer_id)
        data = msgspec.Raw(_ENCODE(event))
        envelope = Envelope(event_id, "/shop/sales", "sales.ItemPurchased", event.purchased_at, data, key)
        rows.append((event.customer_id.int % PARTITIONS, event_id.bytes, _ENCODE(envelope)))
    return rows


def enter_prices(url: str) -> None:
    """What every product costs."""
    with psycopg.connect(url) as connection:
        connection.cursor().executemany("INSERT INTO price VALUES (%s, %s)", PRICES)


def _open(url: str) -> Any:
    return psycopg.connect(url, autocommit=True)


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
