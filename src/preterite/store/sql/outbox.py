"""Outbox, journal and streams: how what was committed is numbered, sent and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from preterite.errors import Fenced
from preterite.log.contract import Record, Stream
from preterite.store.dialect import Dialect, run_in_transaction
from preterite.store.rows import DbConnection, Lease, Numbered, OutboxRow, StreamNumbers, Suppressed


class OutboxStore(Dialect):
    """What a component publishes. Methods write and run in a transaction, unless stated otherwise."""

    def add_to_outbox(self, connection: DbConnection, rows: Sequence[OutboxRow]) -> None:
        """Add events, in this order, to be published when this transaction commits."""
        connection.cursor().executemany(self.sql.ADD_TO_OUTBOX, rows)

    def outbox_writer(self, connection: DbConnection) -> Callable[[OutboxRow], int]:
        """The same for one event at a time: call the result for each, inside the transaction; it returns its place."""
        cursor = connection.cursor()

        def write(row: OutboxRow) -> int:
            cursor.execute(self.sql.ADD_TO_OUTBOX, row)
            return 0

        return write

    def place_last(self, connection: DbConnection, places: Sequence[int]) -> None:
        """Give the events at these places the last ones, in the same order, so that their order is that of commits."""
        # Writers stand in line here; places that are taken in a transaction are in the order of commits.

    def has_outbox(self, connection: DbConnection) -> bool:
        """Whether events wait to be numbered. Reads only."""
        return connection.cursor().execute(self.sql.HAS_OUTBOX).fetchone() is not None

    def outbox(self, connection: DbConnection) -> Sequence[bytes]:
        """The envelopes that wait to be numbered, in order. Reads only."""
        return [row[0] for row in connection.cursor().execute(self.sql.OUTBOX).fetchall()]

    def number(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        """Move the next events from the outbox to the journal under the next numbers; return them in that order.

        Raises `Fenced` unless the lease is held. The order within a partition is that of the outbox. What was published
        before the database was restored is left in the outbox, whenever it came there (rule 14).
        """
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        last = cursor.execute(self.sql.LAST_TO_NUMBER, (limit - 1,)).fetchone()[0]
        if last is None:
            return []
        numbered: list[Numbered] = sorted(cursor.execute(self.sql.NUMBER, (now, last)).fetchall())
        cursor.execute(self.sql.ADVANCE_STREAMS, (last,))
        cursor.execute(self.sql.REMOVE_NUMBERED, (last,))
        return numbered

    def number_alone(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        """The same in a transaction of its own, outside of any; nothing is locked where the outbox is empty."""
        if not self.has_outbox(connection):
            return []
        return run_in_transaction(self, connection, lambda: self.number(connection, lease, now, limit))

    def stream_numbers(self, connection: DbConnection) -> Sequence[StreamNumbers]:
        """How far each partition is numbered and confirmed. Reads only."""
        return [StreamNumbers(*row) for row in connection.cursor().execute(self.sql.STREAM_NUMBERS).fetchall()]

    def journal(self, connection: DbConnection, stream: Stream, after: int, epoch: int, limit: int) -> Sequence[Record]:
        """Journal entries of one partition beyond a number, as records of this epoch. Reads only."""
        rows = connection.cursor().execute(self.sql.JOURNAL, (stream.partition, after, limit)).fetchall()
        return [
            Record(stream, "event", epoch, number, event_id, envelope)
            if void is None
            else Record(stream, "void", epoch, number, event_id, void.encode())
            for number, event_id, envelope, void in rows
        ]

    def numbered_age(self, connection: DbConnection, partition: int, after: int) -> float | None:
        """How many seconds ago the first event beyond a number was numbered; `None` if there is none. Reads only."""
        row = connection.cursor().execute(self.sql.NUMBERED_AGE, (partition, after)).fetchone()
        return max(float(row[0]), 0.0) if row else None

    def journal_id(self, connection: DbConnection, partition: int, number: int) -> bytes:
        """The id of the event under a number; empty if the journal does not hold it. Reads only."""
        row = connection.cursor().execute(self.sql.JOURNAL_ID, (partition, number)).fetchone()
        return row[0] if row else b""

    def confirm(self, connection: DbConnection, lease: Lease, confirmed: Mapping[int, int]) -> None:
        """Store the last number that the log has, per partition; raises `Fenced` unless the lease is held."""
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        cursor.executemany(self.sql.CONFIRM, [(number, number, partition) for partition, number in confirmed.items()])

    def set_stream_epoch(self, connection: DbConnection, lease: Lease, epoch: int) -> None:
        """Store the epoch under which the relay writes; raises `Fenced` unless the lease is held."""
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        cursor.execute(self.sql.SET_STREAM_EPOCH, (epoch,))

    def set_relay_halt(self, connection: DbConnection, reason: str | None) -> None:
        """Store why nothing is published; `None` once it is again."""
        connection.cursor().execute(self.sql.SET_RELAY_HALT, (reason,))

    def void(self, connection: DbConnection, partition: int, number: int, reason: str) -> None:
        """Send a void with a reason under an event's number; the journal keeps the event (protocol rule 17)."""
        connection.cursor().execute(self.sql.VOID, (reason, partition, number))

    def adopt(self, connection: DbConnection, records: Sequence[Record], now: float) -> None:
        """Add to the journal what the log has and this database has forgotten, under its numbers (rule 14).

        Records of one stream follow each other from its last number on. Their events are never published again.
        """
        cursor = connection.cursor()
        values = [
            (r.stream.partition, r.number, r.event_id, now, b"", r.body.decode())
            if r.kind == "void"
            else (r.stream.partition, r.number, r.event_id, now, r.body, None)
            for r in records
        ]
        cursor.executemany(self.sql.ADOPT, values)
        events = [(record.event_id, record.body) for record in records if record.kind == "event"]
        if events:
            cursor.executemany(self.sql.ADD_FORGOTTEN, events)
        last = {record.stream: record for record in records}
        ends = [(end.number, end.event_id, end.number, stream.partition) for stream, end in last.items()]
        cursor.executemany(self.sql.ADVANCE_ADOPTED, ends)

    def has_forgotten(self, connection: DbConnection) -> bool:
        """Whether anything was ever adopted. Reads only."""
        return connection.cursor().execute(self.sql.HAS_FORGOTTEN).fetchone() is not None

    def take_forgotten(self, connection: DbConnection, lease: Lease) -> Sequence[Suppressed]:
        """Remove from the outbox what was published before; raises `Fenced` unless the lease is held."""
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        rows = cursor.execute(self.sql.FORGOTTEN_IN_OUTBOX).fetchall()
        if rows:
            cursor.executemany(self.sql.REMOVE_FROM_OUTBOX, [(row[0],) for row in rows])
        return [Suppressed(row[0], OutboxRow(*row[1:4]), row[4]) for row in rows]

    def prune_journal(self, connection: DbConnection, before: float, limit: int) -> int:
        """Delete entries numbered before this machine time *and* confirmed; return how many (rule 11).

        What is left has no hole: of each partition the first entries go, up to the first that must stay.
        """
        cursor = connection.cursor()
        left = limit
        for partition in self.journal_starts(connection):
            last = cursor.execute(self.sql.LAST_TO_PRUNE, (partition, left, before)).fetchone()[0]
            if last is not None:
                left -= cursor.execute(self.sql.PRUNE_JOURNAL, (partition, last)).rowcount
            if left <= 0:
                break
        return limit - left

    def journal_starts(self, connection: DbConnection) -> Mapping[int, int]:
        """From which number on the journal holds each partition: everything before it is gone. Reads only."""
        return dict(connection.cursor().execute(self.sql.JOURNAL_STARTS).fetchall())

    def _require_lease(self, cursor: Any, lease: Lease) -> None:
        found = cursor.execute(self.sql.HOLDS_LEASE, (lease.name, lease.owner, lease.epoch)).fetchone()
        self._require_held(lease, found is not None)

    def _require_held(self, lease: Lease, held: bool) -> None:
        if not held:
            raise Fenced(f"The lease {lease.name!r} is no longer held here; nothing was written.")
