"""The books of a storm of restores: what was bought, and what databases and log hold in the end.

Shares nothing with the package: SQL and JSON are all it knows. The rule, of each purchase that customers made:

1. A purchase that Sales had committed when an older copy of its database was put back, and that this copy lacks, was
   *taken back*: its row is gone. What was published of it by then stays published; the operator accepts that. Its event
   may have gone with the row, if it was not in the log yet.
2. Every other purchase that was acknowledged has its row, and an event in the log. Every row has an event.
3. Every purchase in the log is billed once, announced as billed once, and shipped once; whatever was restored, and
   however often. What was billed or shipped has an event in the log; what has an event was bought.
4. Of one purchase the log holds one event of each kind, under one number. A second one, also with another identifier,
   is *published twice*. No number is a void.
5. Of one customer the places grow: in each stream of the log by number, in bills and shipments by position.
6. No component has set anything aside.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from support.storm_shop import Shop

PLACES = 1_000_000
"""Between the places before and after Sales was restored."""


class Ledger:
    """What customers have bought, on their own record. Purchases can be kept out while Sales is restored."""

    def __init__(self, shop: Shop, url: str) -> None:
        self._shop = shop
        self._url = url
        self._changed = threading.Condition()
        self._open = True
        self._inside = 0
        self._restored = 0
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()
        self.taken_back: set[str] = set()

    def purchase(self, connection: Any, customer: UUID, purchase: UUID | None = None) -> None:
        """Buy something, while `entered`."""
        bought = purchase or uuid4()
        self.attempted.add(str(bought))
        self._shop.purchase(connection, customer, bought, self._restored * PLACES)
        self.acknowledged.add(str(bought))

    @contextmanager
    def closed(self) -> Generator[None]:
        """Keep purchases out while the database of Sales is put back; note what that takes back."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._inside == 0)
        yield
        with closing(self._shop.connect(self._url)) as connection:
            kept = {row[0] for row in connection.execute("select id from purchase")}
        self.taken_back |= self.attempted - kept
        self._restored += 1
        with self._changed:
            self._open = True
            self._changed.notify_all()

    @contextmanager
    def entered(self) -> Generator[None]:
        """Wait while the database of Sales is put back, and hold that up until this ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._open)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


@dataclass
class Books:
    """What the books say: of what there is how much, and of what must not be, how much."""

    purchases: int = 0
    taken_back: int = 0
    published_and_taken_back: int = 0
    lost: int = 0
    doubled: int = 0
    published_twice: int = 0
    out_of_order: int = 0
    not_purchased: int = 0
    set_aside: int = 0
    examples: list[str] = field(default_factory=list[str])

    @property
    def wrong(self) -> int:
        """How much is not as it must be."""
        return self.lost + self.doubled + self.published_twice + self.out_of_order + self.not_purchased + self.set_aside


Row = tuple[str, str, int]
"""A purchase, its customer, its place."""


def read(shop: Shop, urls: Mapping[str, str], ledger: Ledger) -> Books:
    """Read everything, and count."""
    rows = _rows(shop, urls["sales"], "select id, customer, place from purchase")
    done = {
        table: _rows(shop, urls[name], f"select purchase, customer, place from {table} order by position")
        for name, table in (("finance", "bill"), ("shipping", "shipment"))
    }
    streams = _streams(shop, urls["log"])
    books = Books(purchases=len(ledger.attempted), taken_back=len(ledger.taken_back & ledger.acknowledged))
    published = {publisher: Counter[str]() for publisher in ("sales", "finance")}
    for (publisher, partition), records in streams.items():
        published[publisher].update(row[0] for row in records)
        _order(books, f"{publisher}/{partition}", records)
    for publisher, counts in published.items():
        _note(books, "published_twice", f"published by {publisher}", _again(counts))
    for table, table_rows in done.items():
        _note(books, "doubled", f"a {table}", _again(Counter(row[0] for row in table_rows)))
        _order(books, table, table_rows)
    sold, billed = set(published["sales"]), set(published["finance"])
    bills, shipments = ({row[0] for row in done[table]} for table in ("bill", "shipment"))
    standing = {row[0] for row in rows}
    books.published_and_taken_back = len(sold & ledger.taken_back - standing)
    kept = ledger.acknowledged - ledger.taken_back
    for what, missing in (
        ("acknowledged, no row", kept - standing), ("a row, not in the log", standing - sold),
        ("acknowledged, not in the log", kept - sold), ("in the log, no bill", sold - bills),
        ("a bill, not announced", bills - billed), ("announced, no shipment", billed - shipments),
    ):  # fmt: skip
        _note(books, "lost", what, missing)
    for what, strange in (
        ("a row", standing - ledger.attempted), ("in the log, no row", sold - standing - ledger.taken_back),
        ("a bill, not in the log", bills - sold), ("announced, no bill", billed - bills),
        ("a shipment, not announced", shipments - billed),
    ):  # fmt: skip
        _note(books, "not_purchased", what, strange)
    _count_set_aside(shop, urls, books)
    return books


def is_done(shop: Shop, urls: Mapping[str, str]) -> bool:
    """Whether all that stands in Sales is shipped, and every bill too, and no event waits in an outbox."""
    standing = {row[0] for row in _rows(shop, urls["sales"], "select id from purchase")}
    bills = {row[0] for row in _rows(shop, urls["finance"], "select purchase from bill")}
    shipments = {row[0] for row in _rows(shop, urls["shipping"], "select purchase from shipment")}
    waiting = [_one(shop, urls[name], "select count(*) from preterite_outbox") for name in ("sales", "finance")]
    return standing <= shipments and bills <= shipments and not any(waiting)


def is_halted(shop: Shop, url: str) -> bool:
    """Whether a component publishes nothing until an operator decides."""
    return bool(_one(shop, url, "select count(*) from preterite_component where relay_halt is not null"))


def _count_set_aside(shop: Shop, urls: Mapping[str, str], books: Books) -> None:
    for name in ("sales", "finance", "shipping"):
        found = _rows(shop, urls[name], "select handler, state from preterite_parked")
        _note(books, "set_aside", f"parked in {name}", [" ".join(row) for row in found])


def _order(books: Books, where: str, rows: Iterable[Row]) -> None:
    last: dict[str, int] = {}
    wrong: list[str] = []
    for purchase, customer, place in rows:
        if place < last.get(customer, 0):
            wrong.append(purchase)
        last[customer] = max(place, last.get(customer, 0))
    _note(books, "out_of_order", f"out of order in {where}", wrong)


def _again(counts: Counter[str]) -> list[str]:
    return [purchase for purchase, count in counts.items() for _ in range(count - 1)]


def _note(books: Books, kind: str, what: str, purchases: Iterable[str]) -> None:
    found = list(purchases)
    if found:
        setattr(books, kind, getattr(books, kind) + len(found))
        books.examples.append(f"{kind}: {len(found)} {what}: {', '.join(found[:3])}")


def _streams(shop: Shop, url: str) -> Mapping[tuple[str, int], list[Row]]:
    """What each stream of the log holds, in the order of numbers. A void is an empty purchase, and nobody's."""
    records = _rows(
        shop, url,
        "select s.publisher, s.partition, r.kind, r.body from log_record r join log_stream s on s.id = r.stream "
        "order by s.publisher, s.partition, r.number",
    )  # fmt: skip
    found: dict[tuple[str, int], list[Row]] = {}
    for publisher, partition, kind, body in records:
        data: Mapping[str, Any] = json.loads(body)["data"] if kind == "event" else {}
        row = (data.get("purchase_id", f"void of {publisher}"), data.get("customer_id", ""), data.get("place", 0))
        found.setdefault((publisher, partition), []).append(row)
    return found


def _one(shop: Shop, url: str, statement: str) -> int:
    return _rows(shop, url, statement)[0][0]


def _rows(shop: Shop, url: str, statement: str) -> list[Any]:
    if shop.store == "postgres":
        statement = statement.replace("preterite_", "preterite.").replace("log_", "preterite_log.")
    with closing(shop.connect(url)) as connection:
        return list(connection.execute(statement))
