"""The timeline: the last events in the log, as they are, and which component has consumed each. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from preterite import OpenSystem, envelope
from preterite.contracts import Checked
from preterite.log.contract import Stream
from preterite.store.contract import Database
from preterite.store.rows import DbConnection

SHOWN = 12
PARKED_MAX = 100


class Subscriber(NamedTuple):
    """A component that subscribes to an event, and whether it has consumed it."""

    component: str
    state: str
    """consumed, pending, or parked."""


class Entry(NamedTuple):
    """An event, as it travels, and who has consumed it."""

    name: str
    publisher: str
    partition: int
    number: int
    at: datetime
    fields: Mapping[str, str]
    subscribers: Sequence[Subscriber]
    product_id: UUID | None


class _Position(NamedTuple):
    """A component's cursors, and which records it has parked."""

    cursors: Mapping[Stream, int]
    parked: frozenset[tuple[str, int, int]]


def timeline(shop: OpenSystem, purchase_id: UUID | None = None) -> list[Entry]:
    """The last events, the latest first; or only those of one purchase."""
    publishers = {publisher for publisher, _ in shop.topology.events.values()}
    streams = [Stream(name, number) for name in publishers for number in range(shop.log.identity.partitions)]
    ends = shop.log.ends(streams)
    depth = SHOWN if purchase_id is None else SHOWN * 4
    with closing(shop.log.reader({stream: max(ends[stream].number - depth, 0) for stream in streams})) as reader:
        records = [record for record in reader.read(depth * len(streams)) if record.kind == "event"]
    positions = {name: _position(shop.databases[name]) for name in shop.topology.subscriptions}
    found: list[Entry] = []
    for record in records:
        message = envelope.from_bytes(record.body)
        data = _fields(shop, message)
        if purchase_id is None or data.get("purchase_id") == str(purchase_id):
            product = UUID(data["product_id"]) if "product_id" in data else None
            subscribers = _subscribers(shop, positions, message.type, record)
            stream = record.stream
            name = _short(message.type)
            found.append(
                Entry(name, stream.publisher, stream.partition, record.number, message.time, data, subscribers, product)
            )
    found.sort(key=lambda one: (one.at, one.number), reverse=True)
    return found[:SHOWN]


def _fields(shop: OpenSystem, message: Any) -> dict[str, str]:
    """The event's fields and their values, as text."""
    event = Checked(shop.topology.events[message.type][1]).decode(message.data)
    return {name: str(getattr(event, name)) for name in event.__struct_fields__}


def _short(wire_name: str) -> str:
    return wire_name.rpartition(".")[2]


def _subscribers(shop: OpenSystem, positions: Mapping[str, _Position], wire_name: str, record: Any) -> list[Subscriber]:
    found: list[Subscriber] = []
    for name, subscription in shop.topology.subscriptions.items():
        if wire_name in subscription.by_wire_name:
            parked = (record.stream.publisher, record.stream.partition, record.number) in positions[name].parked
            passed = positions[name].cursors.get(record.stream, 0) >= record.number
            found.append(Subscriber(name, "parked" if parked else "consumed" if passed else "pending"))
    return found


def _position(database: Database) -> _Position:
    with closing(database.connect()) as connection:
        return _position_in(database, connection)


def _position_in(database: Database, connection: DbConnection) -> _Position:
    store = database.store
    cursors = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
    rows = store.list_parked(connection, ["parked", "dead"], PARKED_MAX)
    parked = frozenset((row.record.stream.publisher, row.record.stream.partition, row.record.number) for row in rows)
    return _Position(cursors, parked)
