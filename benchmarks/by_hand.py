"""The same rows without any framework: outbox, journal, log, cursor and bill, set-wise, by a competent hand.

Sales writes purchase and outbox row in one transaction. A relay numbers the outbox per partition into a journal and
copies it to the log file. Finance reads the log beyond its cursors and writes bills and cursors in one transaction.
The rows have the same columns and the same envelope as Preterite's, and commits are as durable; nothing else is done:
no check of the event, no lease, no parking, no head, no claim.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy
from sqlalchemy.orm import Session

from benchmarks.shop import (
    FINANCE_TABLES,
    INSERT_PRICE,
    INSERT_PURCHASE,
    PRICES,
    PURCHASE_TABLE,
    ItemPurchased,
    bill_by_orm,
    billable_rows,
    purchase_rows,
)
from preterite.inbox import BATCH_EVENTS

CHECKPOINT_PAGES = 1000
PARTITIONS = 8
SALES = f"""
{PURCHASE_TABLE};
CREATE TABLE outbox (id INTEGER PRIMARY KEY, partition INTEGER, event_id BLOB, envelope BLOB);
CREATE TABLE journal (
    partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB, UNIQUE (partition, number));
"""
LOG = """
CREATE TABLE log (position INTEGER PRIMARY KEY,
    partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB, UNIQUE (partition, number));
"""
FINANCE = f"{FINANCE_TABLES} CREATE TABLE cursor (partition INTEGER PRIMARY KEY, number INTEGER);"
ADD_TO_OUTBOX = "INSERT INTO outbox (partition, event_id, envelope) VALUES (?, ?, ?)"
FROM_OUTBOX = f"SELECT id, partition, event_id, envelope FROM outbox ORDER BY id LIMIT {BATCH_EVENTS}"
TO_LOG = "INSERT INTO log (partition, number, event_id, at, envelope) VALUES (?, ?, ?, ?, ?)"
FROM_LOG = "SELECT partition, number, envelope FROM log WHERE partition = ? AND number > ? ORDER BY number LIMIT ?"


class Envelope(msgspec.Struct, omit_defaults=True):
    """What the hand-written outbox carries: the same attributes as Preterite's."""

    id: Any
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    subject: str


class ByHand:
    """Three files and the steps between them."""

    def __init__(self, folder: Path) -> None:
        self._sales = _open(folder / "sales.sqlite", SALES)
        self._relay = _open(folder / "sales.sqlite", "")
        self._log = _open(folder / "log.sqlite", LOG)
        self._reader = _open(folder / "log.sqlite", "")
        self._finance = _open(folder / "finance.sqlite", FINANCE)
        self._finance.executemany(INSERT_PRICE, PRICES)
        self._finance.executemany("INSERT INTO cursor VALUES (?, 0)", [(partition,) for partition in range(PARTITIONS)])
        self._engine = sqlalchemy.create_engine(f"sqlite:///{folder}/finance.sqlite")
        self._prices = dict(PRICES)
        self._numbers = [0] * PARTITIONS
        self._encode = msgspec.json.Encoder().encode
        self._open_envelope = msgspec.json.Decoder(Envelope).decode
        self._decode = msgspec.json.Decoder(ItemPurchased).decode

    def purchase(self, events: Sequence[ItemPurchased]) -> None:
        """One transaction of Sales."""
        self._sales.execute("BEGIN IMMEDIATE")
        self._sales.executemany(INSERT_PURCHASE, purchase_rows(events))
        self._sales.executemany(ADD_TO_OUTBOX, [self._outbox_row(event) for event in events])
        self._sales.execute("COMMIT")

    def send(self) -> int:
        """One round of the relay: number, journal, log."""
        self._relay.execute("BEGIN IMMEDIATE")
        rows: list[tuple[int, int, bytes, bytes]] = self._relay.execute(FROM_OUTBOX).fetchall()
        if not rows:
            self._relay.execute("ROLLBACK")
            return 0
        numbered: list[tuple[int, int, bytes, float, bytes]] = []
        for _, partition, event_id, envelope in rows:
            self._numbers[partition] += 1
            numbered.append((partition, self._numbers[partition], event_id, 0.0, envelope))
        self._relay.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", numbered)
        self._relay.execute("DELETE FROM outbox WHERE id <= ?", (rows[-1][0],))
        self._relay.execute("COMMIT")
        self._log.execute("BEGIN IMMEDIATE")
        self._log.executemany(TO_LOG, numbered)
        self._log.execute("COMMIT")
        return len(rows)

    def bill(self) -> int:
        """One batch of Finance, set-wise, in one transaction."""
        self._finance.execute("BEGIN IMMEDIATE")
        rows = self._next(self._finance.execute("SELECT partition, number FROM cursor").fetchall(), BATCH_EVENTS)
        if not rows:
            self._finance.execute("ROLLBACK")
            return 0
        events = [self._decode(self._open_envelope(row[2]).data) for row in rows]
        self._finance.executemany("INSERT INTO billable VALUES (?, ?, ?)", billable_rows(events, self._prices))
        ends = {partition: number for partition, number, _ in rows}
        moves = [(number, partition) for partition, number in ends.items()]
        self._finance.executemany("UPDATE cursor SET number = ? WHERE partition = ?", moves)
        self._finance.execute("COMMIT")
        return len(rows)

    def bill_singly_by_orm(self) -> int:
        """As much as a batch of Finance, over SQLAlchemy, each event in a transaction of its own."""
        rows = self._next(self._finance.execute("SELECT partition, number FROM cursor").fetchall(), BATCH_EVENTS)
        move = sqlalchemy.text("UPDATE cursor SET number = :number WHERE partition = :partition")
        for partition, number, envelope in rows:
            with Session(self._engine) as session:
                bill_by_orm(session, self._decode(self._open_envelope(envelope).data))
                session.execute(move, {"number": number, "partition": partition})
                session.commit()
        return len(rows)

    def billed(self) -> int:
        """How many items Finance has."""
        return self._finance.execute("SELECT count(*) FROM billable").fetchone()[0]

    def close(self) -> None:
        """Close everything."""
        self._engine.dispose()
        for connection in (self._sales, self._relay, self._log, self._reader, self._finance):
            connection.close()

    def _next(self, cursors: list[tuple[int, int]], limit: int) -> list[tuple[int, int, bytes]]:
        rows: list[tuple[int, int, bytes]] = []
        for partition, number in cursors:
            if len(rows) < limit:
                rows += self._reader.execute(FROM_LOG, (partition, number, limit - len(rows))).fetchall()
        return rows

    def _outbox_row(self, event: ItemPurchased) -> tuple[int, bytes, bytes]:
        event_id, key = uuid4(), str(event.customer_id)
        data = msgspec.Raw(self._encode(event))
        envelope = Envelope(event_id, "/shop/sales", "sales.ItemPurchased", datetime.now(UTC), data, key)
        partition = int.from_bytes(sha256(key.encode()).digest()[:8]) % PARTITIONS
        return partition, event_id.bytes, self._encode(envelope)


def _open(path: Path, tables: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "cache_size=-4096",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.executescript(tables)
    return connection
