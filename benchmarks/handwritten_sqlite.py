"""Hand-written Sales, log and Finance, in SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import sqlalchemy
from sqlalchemy.orm import Session

from benchmarks.handwritten import PARTITIONS, Envelope, Handwritten, Log, Numbered, Place, outbox_row
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
from preterite.handling.batch import BATCH_EVENTS

CHECKPOINT_PAGES = 1000
_SALES = f"""
{PURCHASE_TABLE};
CREATE TABLE outbox (id INTEGER PRIMARY KEY, partition INTEGER, event_id BLOB, envelope BLOB);
CREATE TABLE journal (
    partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB, UNIQUE (partition, number));
"""
_LOG = """
CREATE TABLE log (position INTEGER PRIMARY KEY,
    partition INTEGER, number INTEGER, event_id BLOB, at REAL, envelope BLOB, UNIQUE (partition, number));
"""
_FINANCE = f"{FINANCE_TABLES} CREATE TABLE cursor (partition INTEGER PRIMARY KEY, number INTEGER);"
_ADD = "INSERT INTO outbox (partition, event_id, envelope) VALUES (?, ?, ?)"
_FROM_OUTBOX = f"SELECT id, partition, event_id, envelope FROM outbox ORDER BY id LIMIT {BATCH_EVENTS}"
_TO_LOG = "INSERT INTO log (partition, number, event_id, at, envelope) VALUES (?, ?, ?, 0, ?)"
_FROM_LOG = "SELECT partition, number, envelope FROM log WHERE partition = ? AND number > ? ORDER BY number LIMIT ?"


class SqliteSales:
    """Purchases, outbox and journal in one file."""

    def __init__(self, folder: Path) -> None:
        self._connection = _open(folder / "sales.sqlite", _SALES)
        self._relay = _open(folder / "sales.sqlite", "")
        self._numbers = [0] * PARTITIONS

    def purchase(self, events: Sequence[ItemPurchased]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(INSERT_PURCHASE, purchase_rows(events))
        self._connection.executemany(_ADD, [outbox_row(event) for event in events])
        self._connection.execute("COMMIT")

    def number(self) -> Sequence[Numbered]:
        self._relay.execute("BEGIN IMMEDIATE")
        rows: list[tuple[int, int, bytes, bytes]] = self._relay.execute(_FROM_OUTBOX).fetchall()
        numbered: list[Numbered] = []
        for _, partition, event_id, envelope in rows:
            self._numbers[partition] += 1
            numbered.append((partition, self._numbers[partition], event_id, envelope))
        if rows:
            self._relay.executemany("INSERT INTO journal VALUES (?, ?, ?, 0, ?)", numbered)
            self._relay.execute("DELETE FROM outbox WHERE id <= ?", (rows[-1][0],))
        self._relay.execute("COMMIT")
        return numbered

    def close(self) -> None:
        self._connection.close()
        self._relay.close()


class SqliteLog:
    """A file with one table."""

    def __init__(self, folder: Path) -> None:
        self._writer = _open(folder / "log.sqlite", _LOG)
        self._reader = _open(folder / "log.sqlite", "")

    def append(self, rows: Sequence[Numbered]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.executemany(_TO_LOG, rows)
        self._writer.execute("COMMIT")

    def after(self, places: Sequence[Place], limit: int) -> Sequence[tuple[int, int, bytes]]:
        rows: list[tuple[int, int, bytes]] = []
        for partition, number in places:
            if len(rows) < limit:
                rows += self._reader.execute(_FROM_LOG, (partition, number, limit - len(rows))).fetchall()
        return rows

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


class SqliteFinance:
    """Prices, bills and cursors in one file."""

    def __init__(self, folder: Path) -> None:
        self._connection = _open(folder / "finance.sqlite", _FINANCE)
        self._connection.executemany(INSERT_PRICE, PRICES)
        self._connection.executemany("INSERT INTO cursor VALUES (?, 0)", [(number,) for number in range(PARTITIONS)])
        self._prices = dict(PRICES)

    def places(self) -> Sequence[Place]:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection.execute("SELECT partition, number FROM cursor").fetchall()

    def bill(self, events: Sequence[ItemPurchased], places: Sequence[Place]) -> None:
        if events:
            rows = billable_rows(events, self._prices)
            self._connection.executemany("INSERT INTO billable VALUES (?, ?, ?)", rows)
            moves = [(number, partition) for partition, number in places]
            self._connection.executemany("UPDATE cursor SET number = ? WHERE partition = ?", moves)
        self._connection.execute("COMMIT")

    def billed(self) -> int:
        return self._connection.execute("SELECT count(*) FROM billable").fetchone()[0]

    def close(self) -> None:
        self._connection.close()


class BillingByOrm:
    """Finance over SQLAlchemy, on what the hand-written log holds."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        self._engine = sqlalchemy.create_engine(f"sqlite:///{folder}/finance.sqlite")
        self._open_envelope = msgspec.json.Decoder(Envelope).decode
        self._decode = msgspec.json.Decoder(ItemPurchased).decode

    def bill_singly(self) -> int:
        """As much as a batch of Finance, each event in a transaction of its own."""
        move = sqlalchemy.text("UPDATE cursor SET number = :number WHERE partition = :partition")
        rows = self._next()
        for partition, number, envelope in rows:
            with Session(self._engine) as session:
                bill_by_orm(session, self._decode(self._open_envelope(envelope).data))
                session.execute(move, {"number": number, "partition": partition})
                session.commit()
        return len(rows)

    def close(self) -> None:
        """Give up its connections, not the log's."""
        self._engine.dispose()

    def _next(self) -> Sequence[tuple[int, int, bytes]]:
        with self._engine.connect() as connection:
            rows = connection.execute(sqlalchemy.text("SELECT partition, number FROM cursor")).fetchall()
        return self._log.after([(row[0], row[1]) for row in rows], BATCH_EVENTS)


def handwritten(folder: Path) -> Handwritten:
    """All of it in the files of a folder."""
    return Handwritten(SqliteSales(folder), SqliteLog(folder), SqliteFinance(folder))


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
