"""What just happened: the last events in the log, as they are, and which component has heard each. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from preterite import OpenSystem, envelope
from preterite.contracts import Checked
from preterite.log import Stream
from preterite.rows import DbConnection
from preterite.store import Database

SHOWN = 12
PARKED_MAX = 100


class Heard(NamedTuple):
    """Whether one component has handled an event."""

    component: str
    state: str
    """heard, waits, or set aside."""


class Happening(NamedTuple):
    """An event, as it travels, and who has heard it."""

    name: str
    publisher: str
    partition: int
    number: int
    at: datetime
    fields: Mapping[str, str]
    heard_by: Sequence[Heard]
    product_id: UUID | None


class _Ear(NamedTuple):
    """How far a component has come, and what it has set aside."""

    cursors: Mapping[Stream, int]
    aside: frozenset[tuple[str, int, int]]


def happenings(shop: OpenSystem, purchase_id: UUID | None = None) -> list[Happening]:
    """The last events, the latest first; or only those of one purchase."""
    publishers = {publisher for publisher, _ in shop.topology.events.values()}
    streams = [Stream(name, number) for name in publishers for number in range(shop.log.identity.partitions)]
    ends = shop.log.ends(streams)
    depth = SHOWN if purchase_id is None else SHOWN * 4
    with closing(shop.log.reader({stream: max(ends[stream].number - depth, 0) for stream in streams})) as reader:
        records = [record for record in reader.read(depth * len(streams)) if record.kind == "event"]
    ears = {name: _ear(shop.databases[name]) for name in shop.topology.subscriptions}
    found: list[Happening] = []
    for record in records:
        message = envelope.from_bytes(record.body)
        data = _fields(shop, message)
        if purchase_id is None or data.get("purchase_id") == str(purchase_id):
            product = UUID(data["product_id"]) if "product_id" in data else None
            heard = _heard(shop, ears, message.type, record)
            stream = record.stream
            name = _short(message.type)
            found.append(
                Happening(name, stream.publisher, stream.partition, record.number, message.time, data, heard, product)
            )
    found.sort(key=lambda one: (one.at, one.number), reverse=True)
    return found[:SHOWN]


def _fields(shop: OpenSystem, message: Any) -> dict[str, str]:
    """What the event carries: identifiers, times, and what is declared as a fact."""
    event = Checked(shop.topology.events[message.type][1]).decode(message.data)
    return {name: str(getattr(event, name)) for name in event.__struct_fields__}


def _short(wire_name: str) -> str:
    return wire_name.rpartition(".")[2]


def _heard(shop: OpenSystem, ears: Mapping[str, _Ear], wire_name: str, record: Any) -> list[Heard]:
    found: list[Heard] = []
    for name, subscription in shop.topology.subscriptions.items():
        if wire_name in subscription.by_wire_name:
            aside = (record.stream.publisher, record.stream.partition, record.number) in ears[name].aside
            come_to = ears[name].cursors.get(record.stream, 0) >= record.number
            found.append(Heard(name, "set aside" if aside else "heard" if come_to else "waits"))
    return found


def _ear(database: Database) -> _Ear:
    with closing(database.connect()) as connection:
        return _hearing(database, connection)


def _hearing(database: Database, connection: DbConnection) -> _Ear:
    store = database.store
    cursors = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
    rows = store.list_parked(connection, ["parked", "dead"], PARKED_MAX)
    aside = frozenset((row.record.stream.publisher, row.record.stream.partition, row.record.number) for row in rows)
    return _Ear(cursors, aside)
