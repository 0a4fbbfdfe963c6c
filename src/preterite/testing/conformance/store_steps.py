"""Steps that the tests of the conformance suite of stores share."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

from preterite.log.contract import Record, Stream
from preterite.store.contract import Store
from preterite.store.rows import (
    RELAY,
    Lease,
    LeaseState,
    OutboxRow,
    Parked,
    StoreIdentity,
)

IDENTITY = StoreIdentity("sales", UUID(int=1), "shop", UUID(int=2), 8)
FINANCE = Stream("finance", 3)
ME, ANOTHER = "me", "another"
NOW = 1_000.0
SCHEDULED = 2_000.0
AGE_SECONDS_MAX = 600.0
"""How long ago, at most, something is that a test has done itself."""


@contextmanager
def transaction(store: Store, connection: Any) -> Generator[None]:
    """One transaction; an exception rolls it back."""
    store.begin(connection)
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def id_of(what: object) -> bytes:
    """An identifier that follows from what it names."""
    return uuid5(UUID(int=7), str(what)).bytes


def outbox_row(name: str, partition: int = 0) -> OutboxRow:
    """A committed event that has no number yet."""
    return OutboxRow(partition, id_of(name), name.encode())


def take(store: Store, connection: Any, name: str = RELAY, owner: str = ME, expires_at: float = NOW) -> Lease:
    """Take a lease, from its owner if it has one."""
    states = {state.name: state for state in store.leases(connection)}
    with transaction(store, connection):
        lease = store.take_lease(connection, states.get(name, LeaseState(name, None, 0, 0.0, 0)), owner, expires_at)
    assert lease is not None
    return lease


def publish(store: Store, connection: Any, rows: Sequence[OutboxRow]) -> None:
    """Commit events to the outbox."""
    with transaction(store, connection):
        store.add_to_outbox(connection, rows)


def parked(number: int, key: str | None = "anna", *, handler: str = "bill", **others: Any) -> Parked:
    """A row that is parked for one handler."""
    record = Record(FINANCE, "event", 1, number, id_of(number), b"{}")
    row = Parked(handler=handler, lane="", record=record, key=key, type="finance.Event")
    return replace(row, **others)


def park(store: Store, connection: Any, *rows: Parked) -> None:
    """Commit parked rows."""
    with transaction(store, connection):
        store.park(connection, rows)


def due(store: Store, connection: Any, now: float = NOW) -> list[Parked]:
    """The rows that may run now in the partition of `FINANCE`."""
    return list(store.due_heads(connection, [FINANCE.partition], now, 100))
