"""Recovery after a restore: what a component forgot, and what operators do about it (protocol rules 3, 14).

As a subscriber, a component restored from a backup catches up: its cursors went back with its data. As a publisher, it
publishes nothing while the log holds events that its journal lacks. `forgotten` lists them; `accept` takes them into
the journal, so that new events follow them and none is published twice. A subscriber whose publisher's streams went
back is stalled; `reset` moves its cursors to where those streams end now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from preterite.errors import UsageError
from preterite.log.contract import NO_EVENT, Cursor, Log, Record, Stream
from preterite.operations.dead_letters import Operator
from preterite.store.contract import Store, run_in_transaction
from preterite.store.rows import AuditLine, DbConnection

__all__ = [
    "Forgotten",
    "accept",
    "forgotten",
    "gone_back",
    "read_forgotten",
    "reset",
]

READ_RECORDS = 1000
"""Records that recovery reads from the log at a time."""
LOST = "neither the log nor this database has it"


class Forgotten(NamedTuple):
    """A stream whose log is ahead of its publisher: the last number known, and the last number in the log."""

    stream: Stream
    known: int
    end: int


def forgotten(store: Store, connection: DbConnection, log: Log, component: str) -> list[Forgotten]:
    """The streams whose log is ahead of their publisher; changes nothing."""
    own = {Stream(component, row.partition): row.last_number for row in store.stream_numbers(connection)}
    ends = log.ends(list(own))
    return [
        Forgotten(stream, known, ends[stream].number) for stream, known in own.items() if ends[stream].number > known
    ]


def read_forgotten(log: Log, one: Forgotten) -> Iterator[Record]:
    """Its records in the order of their numbers; a void stands for a number that the log lost, too."""
    reader = log.reader({one.stream: one.known})
    number = one.known
    try:
        while number < one.end and (records := reader.read(READ_RECORDS)):
            for record in records:
                if record.kind in ("event", "void") and number < record.number <= one.end:
                    yield from _lost(one.stream, record.epoch, number + 1, record.number)
                    yield record
                    number = record.number
        yield from _lost(one.stream, 0, number + 1, one.end + 1)
    finally:
        reader.close()


def accept(store: Store, connection: DbConnection, log: Log, component: str, operator: Operator, now: float) -> int:
    """Take forgotten events into the journal, and continue after them; return how many numbers that are.

    It may be interrupted and run again. Raises `UsageError` if nothing is forgotten.
    """
    found = forgotten(store, connection, log, component)
    if not found:
        raise UsageError(f"The log holds nothing that {component!r} does not know; nothing was changed.")
    taken = 0
    for one in found:
        chunk: list[Record] = []
        for record in read_forgotten(log, one):
            chunk.append(record)
            if len(chunk) == READ_RECORDS:
                taken += _adopt(store, connection, chunk, now)
                chunk = []
        taken += _adopt(store, connection, chunk, now)
    streams = ", ".join(f"{one.stream} {one.known + 1} to {one.end}" for one in found)
    _decide(
        store, connection, lambda: store.set_relay_halt(connection, None), operator, "accept forgotten events", streams
    )
    return taken


def gone_back(
    store: Store, connection: DbConnection, log: Log, publisher: str
) -> Mapping[Stream, tuple[Cursor, Cursor]]:
    """Streams of a publisher that end below where they were read here: from which cursor to which `reset` moves."""
    cursors = {s: c.cursor for s, c in store.cursors(connection).items() if s.publisher == publisher}
    ends = log.ends(list(cursors))
    return {
        stream: (cursor, Cursor(*ends[stream]))
        for stream, cursor in cursors.items()
        if ends[stream].number < cursor.number
        or (
            ends[stream].number == cursor.number
            and NO_EVENT not in (cursor.event_id, ends[stream].event_id)
            and ends[stream].event_id != cursor.event_id
        )
    }


def reset(store: Store, connection: DbConnection, log: Log, publisher: str, operator: Operator) -> int:
    """Move the cursors to where a publisher's streams end now; return how many streams that are.

    Numbers that were handled before may carry other events from now on; those are handled. Effects of events that
    the publisher lost remain: compare the two components' data.
    """
    streams = gone_back(store, connection, log, publisher)
    if not streams:
        raise UsageError(f"No stream of {publisher!r} ends before where it was read; nothing was changed.")
    for stream, (was, now) in streams.items():
        _decide(
            store,
            connection,
            lambda stream=stream, now=now: store.set_cursor(connection, stream, now),
            operator,
            "reset to a publisher that went back",
            f"{stream}: from {was.number} to {now.number}",
        )
    return len(streams)


def _lost(stream: Stream, epoch: int, first: int, beyond: int) -> Sequence[Record]:
    return [Record(stream, "void", epoch, number, NO_EVENT, LOST.encode()) for number in range(first, beyond)]


def _adopt(store: Store, connection: DbConnection, records: Sequence[Record], now: float) -> int:
    if records:
        run_in_transaction(store, connection, lambda: store.adopt(connection, records, now))
    return len(records)


def _decide(
    store: Store, connection: DbConnection, act: Callable[[], None], operator: Operator, did: str, to: str
) -> None:
    def decide() -> None:
        act()
        store.add_audit(connection, AuditLine(operator.at, operator.name, did, to, operator.reason, "", ""))

    run_in_transaction(store, connection, decide)
