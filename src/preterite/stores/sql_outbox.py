"""The part of every SQL store that numbers what was committed and remembers what the log has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from preterite.errors import Fenced
from preterite.log import Record, Stream
from preterite.rows import DbConnection, Lease, Numbered, OutboxRow, StreamNumbers, Suppressed
from preterite.stores.statements import Statements


class SqlOutbox:
    """Outbox, journal and streams of one component."""

    sql: Statements

    def add_to_outbox(self, connection: DbConnection, rows: Sequence[OutboxRow]) -> None:
        connection.cursor().executemany(self.sql.ADD_TO_OUTBOX, rows)

    def outbox_writer(self, connection: DbConnection) -> Callable[[OutboxRow], object]:
        return partial(connection.cursor().execute, self.sql.ADD_TO_OUTBOX)

    def has_outbox(self, connection: DbConnection) -> bool:
        return connection.cursor().execute(self.sql.HAS_OUTBOX).fetchone() is not None

    def outbox(self, connection: DbConnection) -> Sequence[bytes]:
        return [row[0] for row in connection.cursor().execute(self.sql.OUTBOX).fetchall()]

    def number(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        last = cursor.execute(self.sql.LAST_TO_NUMBER, (limit - 1,)).fetchone()[0]
        if last is None:
            return []
        numbered: list[Numbered] = sorted(cursor.execute(self.sql.NUMBER, (now, last)).fetchall())
        cursor.execute(self.sql.ADVANCE_STREAMS, (last,))
        cursor.execute(self.sql.REMOVE_NUMBERED, (last,))
        return numbered

    def stream_numbers(self, connection: DbConnection) -> Sequence[StreamNumbers]:
        return [StreamNumbers(*row) for row in connection.cursor().execute(self.sql.STREAM_NUMBERS).fetchall()]

    def journal(self, connection: DbConnection, stream: Stream, after: int, epoch: int, limit: int) -> Sequence[Record]:
        rows = connection.cursor().execute(self.sql.JOURNAL, (stream.partition, after, limit)).fetchall()
        return [
            Record(stream, "event", epoch, number, event_id, envelope)
            if void is None
            else Record(stream, "void", epoch, number, event_id, void.encode())
            for number, event_id, envelope, void in rows
        ]

    def journal_id(self, connection: DbConnection, partition: int, number: int) -> bytes:
        row = connection.cursor().execute(self.sql.JOURNAL_ID, (partition, number)).fetchone()
        return row[0] if row else b""

    def confirm(self, connection: DbConnection, lease: Lease, confirmed: Mapping[int, int]) -> None:
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        cursor.executemany(self.sql.CONFIRM, [(number, partition) for partition, number in confirmed.items()])

    def set_stream_epoch(self, connection: DbConnection, lease: Lease, epoch: int) -> None:
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        cursor.execute(self.sql.SET_STREAM_EPOCH, (epoch,))

    def stop_relay(self, connection: DbConnection, reason: str | None) -> None:
        connection.cursor().execute(self.sql.STOP_RELAY, (reason,))

    def void(self, connection: DbConnection, partition: int, number: int, reason: str) -> None:
        connection.cursor().execute(self.sql.VOID, (reason, partition, number))

    def adopt(self, connection: DbConnection, records: Sequence[Record], now: float) -> None:
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
            cursor.executemany(self.sql.FORGET, events)
        last = {record.stream: record for record in records}
        ends = [(end.number, end.event_id, end.number, stream.partition) for stream, end in last.items()]
        cursor.executemany(self.sql.ADOPTED, ends)

    def has_forgotten(self, connection: DbConnection) -> bool:
        return connection.cursor().execute(self.sql.HAS_FORGOTTEN).fetchone() is not None

    def take_forgotten(self, connection: DbConnection, lease: Lease) -> Sequence[Suppressed]:
        cursor = connection.cursor()
        self._require_lease(cursor, lease)
        rows = cursor.execute(self.sql.FORGOTTEN_IN_OUTBOX).fetchall()
        if rows:
            cursor.executemany(self.sql.REMOVE_FROM_OUTBOX, [(row[0],) for row in rows])
        return [Suppressed(row[0], OutboxRow(*row[1:4]), row[4]) for row in rows]

    def prune_journal(self, connection: DbConnection, before: float, limit: int) -> int:
        cursor = connection.cursor()
        cursor.execute(self.sql.PRUNE_JOURNAL, (before, limit))
        return cursor.rowcount

    def _require_lease(self, cursor: Any, lease: Lease) -> None:
        found = cursor.execute(self.sql.HOLDS_LEASE, (lease.name, lease.owner, lease.epoch)).fetchone()
        self._require_held(lease, found is not None)

    def _require_held(self, lease: Lease, held: bool) -> None:
        if not held:
            raise Fenced(f"The lease {lease.name!r} is no longer held here; nothing was written.")
