"""Hand-written Sales, log and Finance, in PostgreSQL databases. Each commit notifies the next worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from benchmarks.handwritten import Handwritten, Numbered, Place, outbox_row
from benchmarks.shop import FINANCE_TABLES, ItemPurchased, billable_rows
from benchmarks.shop_postgres import BILL, columns, enter_prices
from preterite.drivers.postgres import BEGIN, run
from preterite.publishing.relay import NUMBER_EVENTS

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
FINANCE = f"""{FINANCE_TABLES}
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
_MOVE = """
UPDATE cursor c SET number = n.number FROM unnest(%s::int[], %s::bigint[]) AS n (partition, number)
WHERE c.partition = n.partition
"""


class PostgresSales:
    """Outbox and journal."""

    def __init__(self, url: str) -> None:
        self._connection, self._relay = _open(url), _open(url)
        run(self._connection, _SALES)

    def purchase(self, events: Sequence[ItemPurchased]) -> None:
        run(self._connection, BEGIN)
        self._connection.execute(_ADD, columns([outbox_row(event) for event in events]))
        self._connection.execute("NOTIFY outbox")
        self._connection.commit()

    def number(self) -> Sequence[Numbered]:
        run(self._relay, BEGIN)
        rows = self._relay.execute(_NUMBER, [NUMBER_EVENTS]).fetchall()
        self._relay.commit()
        return rows

    def close(self) -> None:
        self._connection.close()
        self._relay.close()


class PostgresLog:
    """A database with one table."""

    def __init__(self, url: str) -> None:
        self._writer, self._reader = _open(url), _open(url)
        run(self._writer, _LOG)

    def append(self, rows: Sequence[Numbered]) -> None:
        run(self._writer, BEGIN)
        self._writer.execute(_APPEND, columns(rows))
        self._writer.execute("NOTIFY log")
        self._writer.commit()

    def after(self, places: Sequence[Place], limit: int) -> Sequence[tuple[int, int, bytes]]:
        return self._reader.execute(_READ, (*columns(places), limit, limit)).fetchall()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


class PostgresFinance:
    """Prices, bills and cursors."""

    def __init__(self, url: str) -> None:
        self._connection = _open(url)
        run(self._connection, FINANCE)
        enter_prices(url)

    def places(self) -> Sequence[Place]:
        run(self._connection, BEGIN)
        return self._connection.execute("SELECT partition, number FROM cursor").fetchall()

    def bill(self, events: Sequence[ItemPurchased], places: Sequence[Place]) -> None:
        if events:
            prices = dict(self._connection.execute("SELECT product, pence FROM price").fetchall())
            self._connection.execute(BILL, columns(billable_rows(events, prices)))
            self._connection.execute(_MOVE, columns(places))
        self._connection.commit()

    def billed(self) -> int:
        return self._connection.execute("SELECT count(*) FROM billable").fetchone()[0]

    def close(self) -> None:
        self._connection.close()


def handwritten(urls: Mapping[str, str]) -> Handwritten:
    """All of it, in a database each: sales, log, finance."""
    return Handwritten(PostgresSales(urls["sales"]), PostgresLog(urls["log"]), PostgresFinance(urls["finance"]))


def _open(url: str) -> Any:
    return psycopg.connect(url, autocommit=True)
