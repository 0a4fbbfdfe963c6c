"""The same rows without any framework: outbox, journal, log, cursor and bill, set-wise, by a competent hand.

Sales writes purchase and outbox row in one transaction. A relay numbers the outbox per partition into a
journal and copies it to the log file. Finance reads the log beyond its cursors and writes bills and cursors
in one transaction. The rows have the same columns and the same envelope as Preterite's; nothing else is
done: no check of the event, no lease, no parking, no head, no claim.
With `lean=True` also the envelope, the partitions and the second index go: one stream of bare events.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

BATCH_EVENTS = 500
PARTITIONS = 8
SALES = """
CREATE TABLE purchase (id TEXT PRIMARY KEY, product TEXT, customer TEXT, at TEXT);
CREATE TABLE outbox (id INTEGER PRIMARY KEY, partition INTEGER, event_id BLOB, envelope BLOB);
CREATE TABLE journal (partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB {unique});
"""
LOG = "CREATE TABLE log (position INTEGER PRIMARY KEY, partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB {unique});"
FINANCE = """
CREATE TABLE price (product TEXT PRIMARY KEY, pence INTEGER);
CREATE TABLE billable (purchase TEXT PRIMARY KEY, customer TEXT, pence INTEGER);
CREATE TABLE cursor (partition INTEGER PRIMARY KEY, number INTEGER);
"""


class Envelope(msgspec.Struct, omit_defaults=True):
    """What the hand-written outbox carries: the same attributes as Preterite's."""

    id: Any
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    subject: str


class ByHand:
    """Three files and the loops between them."""

    def __init__(self, folder: Path, event_type: type[Any], products: list[Any], *, lean: bool = False) -> None:
        unique = "" if lean else ", UNIQUE (partition, number)"
        self.lean = lean
        self.sales = self._open(folder / "sales.sqlite", SALES.format(unique=unique))
        self.relay = self._open(folder / "sales.sqlite", "")
        self.log = self._open(folder / "log.sqlite", LOG.format(unique=unique))
        self.reader = self._open(folder / "log.sqlite", "")
        self.finance = self._open(folder / "finance.sqlite", FINANCE)
        self.finance.executemany(
            "INSERT INTO price VALUES (?, ?)", [(str(product), 100 + i) for i, product in enumerate(products)]
        )
        self.finance.executemany("INSERT INTO cursor VALUES (?, 0)", [(partition,) for partition in range(PARTITIONS)])
        self.prices = dict(self.finance.execute("SELECT product, pence FROM price"))
        self.encode = msgspec.json.Encoder().encode
        self.open_envelope = msgspec.json.Decoder(Envelope).decode
        self.decode = msgspec.json.Decoder(event_type).decode
        self.numbers = [0] * PARTITIONS

    def purchase(self, events: list[Any]) -> None:
        """One unit of work in Sales."""
        self.sales.execute("BEGIN IMMEDIATE")
        self.sales.executemany(
            "INSERT INTO purchase VALUES (?, ?, ?, ?)",
            [(str(e.purchase_id), str(e.product_id), str(e.customer_id), e.purchased_at.isoformat()) for e in events],
        )
        self.sales.executemany(
            "INSERT INTO outbox (partition, event_id, envelope) VALUES (?, ?, ?)", [self._row(e) for e in events]
        )
        self.sales.execute("COMMIT")

    def send(self) -> int:
        """One round of the relay."""
        self.relay.execute("BEGIN IMMEDIATE")
        rows = self.relay.execute(
            f"SELECT id, partition, event_id, envelope FROM outbox ORDER BY id LIMIT {BATCH_EVENTS}"
        ).fetchall()
        if not rows:
            self.relay.execute("ROLLBACK")
            return 0
        numbered: list[tuple[int, int, bytes, float, bytes]] = []
        for _, partition, event_id, envelope in rows:
            self.numbers[partition] += 1
            numbered.append((partition, self.numbers[partition], event_id, 0.0, envelope))
        self.relay.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", numbered)
        self.relay.execute("DELETE FROM outbox WHERE id <= ?", (rows[-1][0],))
        self.relay.execute("COMMIT")
        self.log.execute("BEGIN IMMEDIATE")
        self.log.executemany(
            "INSERT INTO log (partition, number, event_id, at, envelope) VALUES (?, ?, ?, ?, ?)", numbered
        )
        self.log.execute("COMMIT")
        return len(rows)

    def bill(self) -> int:
        """One batch in Finance."""
        self.finance.execute("BEGIN IMMEDIATE")
        rows: list[tuple[int, int, bytes]] = []
        for partition, cursor in self.finance.execute("SELECT partition, number FROM cursor").fetchall():
            if self.lean:
                where = "position > ?" if partition == 0 else "position < 0 AND ? < 0"
                select = f"SELECT 0, position, envelope FROM log WHERE {where} ORDER BY position LIMIT {BATCH_EVENTS}"
            else:
                where = f"partition = {partition} AND number > ?"
                select = f"SELECT partition, number, envelope FROM log WHERE {where} ORDER BY number LIMIT {BATCH_EVENTS - len(rows)}"
            rows += self.reader.execute(select, (cursor,)).fetchall()
        if not rows:
            self.finance.execute("ROLLBACK")
            return 0
        events = [self.decode(row[2] if self.lean else self.open_envelope(row[2]).data) for row in rows]
        self.finance.executemany(
            "INSERT INTO billable VALUES (?, ?, ?)",
            [(str(e.purchase_id), str(e.customer_id), self.prices[str(e.product_id)]) for e in events],
        )
        ends = {partition: number for partition, number, _ in rows}
        self.finance.executemany(
            "UPDATE cursor SET number = ? WHERE partition = ?", [(number, p) for p, number in ends.items()]
        )
        self.finance.execute("COMMIT")
        return len(rows)

    def close(self) -> None:
        """Close all connections."""
        for connection in (self.sales, self.relay, self.log, self.reader, self.finance):
            connection.close()

    def _row(self, event: Any) -> tuple[int, bytes, bytes]:
        event_id = uuid4()
        if self.lean:
            return 0, event_id.bytes, self.encode(event)
        key = str(event.customer_id)
        envelope = Envelope(
            event_id, "/shop/sales", "sales.ItemPurchased", datetime.now(UTC), msgspec.Raw(self.encode(event)), key
        )
        partition = int.from_bytes(sha256(key.encode()).digest()[:8]) % PARTITIONS
        return partition, event_id.bytes, self.encode(envelope)

    def _open(self, path: Path, tables: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-16384")
        connection.executescript(tables)
        return connection
