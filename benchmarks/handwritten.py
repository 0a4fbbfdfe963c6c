"""The same rows without any framework: outbox, journal, log, cursor and bill, set-wise, by a competent hand.

Sales writes its outbox rows in a transaction. A relay numbers them per partition into a journal and appends them to the
log. Finance reads the log beyond its cursors and writes bills and cursors in one transaction. The rows have the same
columns and the same envelope as Preterite's, in batches of the same size, and commits are as durable; nothing else is
done: no check of the event, no lease, no parking, no head, no claim. The parts are in `handwritten_sqlite` and
`handwritten_postgres`; any Sales goes with any log.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from benchmarks.shop import ItemPurchased
from preterite.handling.batch import BATCH_EVENTS

PARTITIONS = 8
OutboxRow = tuple[int, bytes, bytes]
"""Partition, identifier, envelope."""
Numbered = tuple[int, int, bytes, bytes]
"""Partition, number, identifier, envelope."""
Place = tuple[int, int]
"""A partition, and the last number read in it."""


class Envelope(msgspec.Struct, omit_defaults=True):
    """What the hand-written outbox carries: the same attributes as Preterite's."""

    id: Any
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    subject: str


class Sales(Protocol):
    """Where purchases are committed, with their outbox and the journal."""

    def purchase(self, events: Sequence[ItemPurchased]) -> None:
        """One transaction of Sales."""
        ...

    def number(self) -> Sequence[Numbered]:
        """Give the next of the outbox their numbers, in the journal; none if there are none."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class Log(Protocol):
    """Numbered events, by partition."""

    def append(self, rows: Sequence[Numbered]) -> None:
        """Durable when it returns."""
        ...

    def after(self, places: Sequence[Place], limit: int) -> Sequence[tuple[int, int, bytes]]:
        """Partition, number and envelope of what lies beyond these places."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class Finance(Protocol):
    """Where purchases are billed, with its cursors."""

    def places(self) -> Sequence[Place]:
        """Begin a transaction; how far the log was read."""
        ...

    def bill(self, events: Sequence[ItemPurchased], places: Sequence[Place]) -> None:
        """Bill these, move the cursors, and commit."""
        ...

    def billed(self) -> int:
        """How many items there are."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class Handwritten:
    """The steps between the three."""

    def __init__(self, sales: Sales, log: Log, finance: Finance) -> None:
        self._sales = sales
        self.log = log
        self._finance = finance
        self.purchase = sales.purchase
        self.billed = finance.billed

    def send(self) -> int:
        """One round of the relay: number, journal, log; how many."""
        rows = self._sales.number()
        if rows:
            self.log.append(rows)
        return len(rows)

    def bill(self) -> int:
        """One batch of Finance, set-wise, in one transaction; how many."""
        rows = self.log.after(self._finance.places(), BATCH_EVENTS)
        events = [_DECODE(_OPEN(envelope).data) for _, _, envelope in rows]
        self._finance.bill(events, list({partition: number for partition, number, _ in rows}.items()))
        return len(rows)

    def close(self) -> None:
        """Close everything."""
        for part in (self._sales, self.log, self._finance):
            part.close()


def outbox_row(event: ItemPurchased) -> OutboxRow:
    """What Sales writes for an event."""
    event_id, key = uuid4(), str(event.customer_id)
    data = msgspec.Raw(_ENCODE(event))
    envelope = Envelope(event_id, "/shop/sales", "sales.ItemPurchased", datetime.now(UTC), data, key)
    partition = int.from_bytes(sha256(key.encode()).digest()[:8]) % PARTITIONS
    return partition, event_id.bytes, _ENCODE(envelope)


_OPEN = msgspec.json.Decoder(Envelope).decode
_DECODE = msgspec.json.Decoder(ItemPurchased).decode
_ENCODE = msgspec.json.Encoder().encode
