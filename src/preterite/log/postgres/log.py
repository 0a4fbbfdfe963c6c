"""The PostgreSQL log: one database beside the components' databases, for systems on several machines.

Records are keyed by (stream, number) and read by number. A claim and a head are columns of their stream's row: an
append locks that row and checks the claim, so an overtaken writer is refused outright, and numbers become visible in
their order. Writers of different streams are not in each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from preterite.clock import Clock
from preterite.drivers import postgres as postgres_server
from preterite.drivers import postgres_guard
from preterite.drivers.postgres_place import only_reads, place_of
from preterite.errors import LogConflict, LogFenced, RecordRefused, StoreUnavailable, WrongLog
from preterite.log.contract import (
    ANY_SYSTEM,
    EMPTY,
    HOLES_MAX,
    MACHINE_TIME,
    RECORD_BYTES_MAX,
    ClockSetting,
    LogIdentity,
    LogReader,
    Record,
    Stream,
    StreamEnd,
    no_log,
)
from preterite.log.numbered import prefixes, runs_of
from preterite.log.postgres import keeping
from preterite.log.postgres.appending import append_at_ends
from preterite.log.postgres.databases import PostgresDatabases
from preterite.log.postgres.reader import PostgresReading, translated
from preterite.log.postgres.rights import Access, owners_only, refuse_retention, rights, set_access
from preterite.log.postgres.schema import lock_tables, make_tables, renew_tables

CHANNEL = "preterite_log"
RETENTION_RECORDS = 5000
"""Records that are dropped from the log in one transaction when their retention has ended."""
RETENTION_SECONDS = 10.0
"""How often the log drops records whose retention has ended."""

_IDENTITY = "SELECT system, system_id, partitions FROM preterite_log.identity"
_IDENTIFY = "INSERT INTO preterite_log.identity (id, system, system_id, partitions) VALUES (1, %s, %s, %s)"
_ADD_STREAMS = """
INSERT INTO preterite_log.stream (publisher, partition) SELECT * FROM unnest(%s::text[], %s::int[]) AS s
ON CONFLICT DO NOTHING
"""
# Locked in one order, so that two writers of the same streams wait for each other and do not deadlock.
_LOCK_STREAMS = """
SELECT s.publisher, s.partition, s.id, s.epoch, s.last_number, s.forgotten FROM preterite_log.stream s
JOIN unnest(%s::text[], %s::int[]) AS wanted (publisher, partition) USING (publisher, partition)
ORDER BY s.id FOR NO KEY UPDATE OF s
"""
_CLAIM = "UPDATE preterite_log.stream SET epoch = %s, claim = %s WHERE id = ANY (%s)"
_APPEND = """
INSERT INTO preterite_log.record (stream, number, kind, epoch, event_id, appended_at, body)
SELECT stream, number, kind, epoch, event_id, extract(epoch FROM statement_timestamp()), body
FROM unnest(%b::int[], %b::bigint[], %b::text[], %b::bigint[], %b::bytea[], %b::bytea[])
    AS r (stream, number, kind, epoch, event_id, body)
ON CONFLICT (stream, number) DO UPDATE SET epoch = excluded.epoch WHERE record.event_id = excluded.event_id
"""
_ADVANCE = """
UPDATE preterite_log.stream AS s SET last_number = greatest(s.last_number, n.number), epoch = n.epoch
FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS n (id, number, epoch) WHERE s.id = n.id
"""
_HEADS = """
UPDATE preterite_log.stream AS s
SET head_epoch = n.epoch, head_number = n.number, head_id = n.event_id, head_body = n.body, epoch = n.epoch
FROM unnest(%b::int[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[]) AS n (id, epoch, number, event_id, body)
WHERE s.id = n.id
"""
_CONFLICTS = """
SELECT r.stream, r.number FROM unnest(%b::int[], %b::bigint[], %b::bytea[]) AS wanted (stream, number, event_id)
JOIN preterite_log.record r USING (stream, number) WHERE r.event_id <> wanted.event_id ORDER BY 1, 2 LIMIT 1
"""
_LAST = """
SELECT s.publisher, s.partition, s.last_number, r.event_id, s.epoch FROM preterite_log.stream s
JOIN unnest(%s::text[], %s::int[]) AS wanted (publisher, partition) USING (publisher, partition)
LEFT JOIN preterite_log.record r ON r.stream = s.id AND r.number = s.last_number
"""
_STREAM_ID = "SELECT id FROM preterite_log.stream WHERE publisher = %s AND partition = %s"
_FIRST = "SELECT forgotten + 1 FROM preterite_log.stream WHERE publisher = %s AND partition = %s"
_ID_UNDER = "SELECT event_id FROM preterite_log.record WHERE stream = %s AND number = %s"
_REQUEST_RESEND = "SELECT preterite_log.request_resend(%s, %s, %s)"
_TAKE_REQUESTS = "SELECT partition, number FROM preterite_log.take_requests(%s)"
_READ_CLOCK = "SELECT frozen_at, offset_seconds FROM preterite_log.clock"
_WRITE_CLOCK = """
INSERT INTO preterite_log.clock (id, frozen_at, offset_seconds) VALUES (1, %s, %s)
ON CONFLICT (id) DO UPDATE SET frozen_at = excluded.frozen_at, offset_seconds = excluded.offset_seconds
"""


class _Locked(NamedTuple):
    """A stream that no other writer changes until the transaction ends."""

    id: int
    epoch: int
    last_number: int
    forgotten: int


class PostgresLog:
    """A log in one PostgreSQL database. One connection writes, behind a lock; every reader has its own."""

    def __init__(self, url: str, identity: LogIdentity, clock: Clock, retention: timedelta | None = None) -> None:
        self.place = place_of(url)
        self._clock = clock
        self._retention = retention
        self._lock = threading.Lock()
        self._connection: postgres_guard.GuardedConnection | None = None
        self._listening = threading.Lock()
        self._notified = 0
        self._listener = postgres_server.Listener(self.place, CHANNEL)
        self._maintained_at = float("-inf")
        self.databases = PostgresDatabases(self._connected, self._writing)
        try:
            with self._connected() as connection:
                promise = postgres_server.promise(connection)
            self.identity = self._identify(identity)
            with self._connected() as connection:
                self.promise = f"{promise}; {rights(connection)}"
                if retention is not None:
                    refuse_retention(connection)
        except BaseException:
            self.close()
            raise

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        with self._writing() as cursor:
            locked = self._lock_streams(cursor, list(after))
            for stream, one in locked.items():
                if one.epoch >= epoch:
                    raise LogFenced(str(stream), one.epoch)
            cursor.execute(_CLAIM, (epoch, nonce, [one.id for one in locked.values()]))
            claimed = {stream: one._replace(epoch=epoch) for stream, one in locked.items()}
            return {stream: _readable_end(cursor, claimed[stream], number) for stream, number in after.items()}

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        if any(len(record.body) > RECORD_BYTES_MAX for record in records):
            oversize = next(record for record in records if len(record.body) > RECORD_BYTES_MAX)
            raise RecordRefused(
                oversize.stream, oversize.number, f"{len(oversize.body):,} bytes; at most {RECORD_BYTES_MAX:,}"
            )
        runs = runs_of(records)
        with self._connected() as connection:
            appended = append_at_ends(connection, runs)
        if appended:
            self._notify()
            return {stream: run[-1].number for stream, run in runs.items()}
        numbered = [record for record in records if record.kind in ("event", "void")]
        heads = [record for record in records if record.kind == "head"]
        with self._writing() as cursor:
            locked = self._fenced_streams(cursor, records)
            if numbered:
                _append(cursor, locked, runs_of(numbered))
            if heads:
                rows = [(locked[head.stream].id, head.epoch, head.number, head.event_id, head.body) for head in heads]
                cursor.execute(_HEADS, _columns(rows))
        self._notify()
        return prefixes(numbered, {stream: one.last_number for stream, one in locked.items()})

    def end(self, stream: Stream) -> StreamEnd:
        return self.ends([stream])[stream]

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        with self._connected() as connection:
            rows = connection.execute(_LAST, _columns(streams)).fetchall() if streams else []
        found = {Stream(row[0], row[1]): StreamEnd(row[2], row[3] or b"", row[4]) for row in rows}
        return {stream: found.get(stream, EMPTY) for stream in streams}

    def first_number(self, stream: Stream) -> int:
        with self._connected() as connection:
            row = connection.execute(_FIRST, stream).fetchone()
        return 1 if row is None else row[0]

    def holes(self, stream: Stream, after: int, last: int) -> Sequence[range]:
        with self._connected() as connection:
            found = connection.execute(_STREAM_ID, stream).fetchone()
            return keeping.holes(connection, -1 if found is None else found[0], after, last, HOLES_MAX)

    def fill(self, stream: Stream, numbers: range, reason: str) -> None:
        with self._writing() as cursor:
            keeping.fill(cursor, self._lock_streams(cursor, [stream])[stream].id, numbers, reason.encode())
        self._notify()

    def continue_lost(self, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
        with owners_only(), self._writing() as cursor:
            if dropped:
                self._lock_streams(cursor, list(dropped))
            continued = keeping.continue_lost(cursor, system_id, dropped)
        if continued:
            self.identity = replace(self.identity, system_id=system_id)
        return continued

    def request_resend(self, stream: Stream, number: int) -> None:
        with self._writing() as cursor:
            cursor.execute(_REQUEST_RESEND, (*stream, number))
        self._notify()

    def resend_requests(self, publisher: str) -> Mapping[Stream, int]:
        with self._connected() as connection:
            rows = connection.execute(_TAKE_REQUESTS, (publisher,)).fetchall()
        return {Stream(publisher, partition): number for partition, number in rows}

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        return PostgresReading(self.place, starts).reader()

    def version(self) -> int:
        with self._listening:
            return hash((self._listener.version(), self._notified))

    def fileno(self) -> int | None:
        return self._listener.fileno()

    def clock_setting(self) -> ClockSetting:
        with self._connected() as connection:
            row = connection.execute(_READ_CLOCK).fetchone()
        return MACHINE_TIME if row is None else ClockSetting(*row)

    def set_clock(self, setting: ClockSetting) -> None:
        with self._writing() as cursor:
            cursor.execute(_WRITE_CLOCK, setting)
        self._notify()

    def wal_bytes(self) -> int:
        return 0

    def maintain(self) -> None:
        now = self._clock.monotonic()
        if self._retention is None or now - self._maintained_at < RETENTION_SECONDS:
            return
        before = self._clock.wall() - self._retention.total_seconds()
        with self._writing() as cursor:
            dropped = keeping.forget(cursor, before, RETENTION_RECORDS)
        if dropped < RETENTION_RECORDS:
            # While there is more, every round drops some: it must keep up with what is appended.
            self._maintained_at = now

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
        with self._listening:
            self._listener.close()

    def _identify(self, identity: LogIdentity) -> LogIdentity:
        with self._writing() as cursor:
            make_tables(cursor, self.place.shown)
            found = cursor.execute(_IDENTITY).fetchone()
            if found is None:
                lock_tables(cursor)
                found = cursor.execute(_IDENTITY).fetchone()
            if found is None and identity.system_id == ANY_SYSTEM:
                raise no_log(self.place.shown)
            if found is None:
                cursor.execute(_IDENTIFY, (identity.system, identity.system_id.bytes, identity.partitions))
                return identity
        there = LogIdentity(found[0], UUID(bytes=found[1]), found[2])
        if (there.system, there.partitions) != (identity.system, identity.partitions):
            raise WrongLog(
                f"The log {self.place.shown} belongs to system {there.system!r} with {there.partitions} partitions; "
                f"this is {identity.system!r} with {identity.partitions}. Nothing was written. "
                "Give each system its own log; the number of partitions cannot change."
            )
        return there

    def _lock_streams(self, cursor: Any, streams: Sequence[Stream]) -> dict[Stream, _Locked]:
        """The row of each stream, added if it is new; no other writer changes it until the transaction ends."""
        wanted = _columns(sorted(set(streams)))
        rows = cursor.execute(_LOCK_STREAMS, wanted).fetchall()
        if len(rows) < len(wanted[0]):
            cursor.execute(_ADD_STREAMS, wanted)
            rows = cursor.execute(_LOCK_STREAMS, wanted).fetchall()
        return {Stream(row[0], row[1]): _Locked(*row[2:]) for row in rows}

    def _fenced_streams(self, cursor: Any, records: Sequence[Record]) -> dict[Stream, _Locked]:
        oldest = {stream: min(record.epoch for record in run) for stream, run in runs_of(records).items()}
        locked = self._lock_streams(cursor, list(oldest))
        for stream, epoch in oldest.items():
            if locked[stream].epoch > epoch:
                raise LogFenced(str(stream), locked[stream].epoch)
        return locked

    def _notify(self) -> None:
        """Hint to other processes that there is something to read; this one counts it itself."""
        self._notified += 1
        with suppress(StoreUnavailable), self._connected() as connection:
            postgres_server.notify(connection, CHANNEL)

    @contextmanager
    def _connected(self) -> Generator[postgres_guard.GuardedConnection]:
        """The connection, behind the lock; a broken one is forgotten, and made anew the next time."""
        with self._lock, translated():
            if self._connection is not None and not _is_usable(self._connection):
                self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = self._writable()
                postgres_server.bound_waits(self._connection)
                self._listener.own_backend = self._connection.info.backend_pid
            try:
                postgres_server.settle(self._connection)
                yield self._connection
            finally:
                if self._connection.closed:
                    self._connection = None

    def _writable(self) -> postgres_guard.GuardedConnection:
        connection = postgres_server.connect(self.place)
        if postgres_server.is_read_only(connection):
            connection.close()
            raise only_reads(f"The log {self.place.shown}")
        return connection

    @contextmanager
    def _writing(self) -> Generator[Any]:
        with self._connected() as connection:
            postgres_server.run(connection, postgres_server.BEGIN)
            try:
                yield connection.cursor()
                connection.commit()
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise


def make_log(url: str, identity: LogIdentity, publishers: Sequence[str], access: Access) -> None:
    """Make a log's tables and streams, as the role that is to own them, and say what each other role may do.

    A log that has an identity keeps it.
    """
    place = place_of(url)
    connection = postgres_server.connect(place)
    values = (identity.system, identity.system_id.bytes, identity.partitions)
    try:
        with connection.transaction():
            cursor: Any = connection.cursor()
            renew_tables(cursor, place.shown)
            if cursor.execute(_IDENTITY).fetchone() is None:
                cursor.execute(_IDENTIFY, values)
            streams = [(name, partition) for name in publishers for partition in range(identity.partitions)]
            cursor.execute(_ADD_STREAMS, _columns(streams))
            for role, may in access.items():
                set_access(cursor, role, may)
    finally:
        connection.close()


def _is_usable(connection: postgres_guard.GuardedConnection) -> bool:
    return not (postgres_server.is_dropped(connection) or postgres_server.is_read_only(connection))


def _append(cursor: Any, locked: Mapping[Stream, _Locked], runs: Mapping[Stream, Sequence[Record]]) -> None:
    """Append the records of each stream, and note where it ends."""
    ids = [locked[stream].id for stream, run in runs.items() for _ in run]
    records = [record for run in runs.values() for record in run]
    rows = [(record.number, record.kind, record.epoch, record.event_id, record.body) for record in records]
    cursor.execute(_APPEND, (ids, *_columns(rows)))
    if cursor.rowcount != len(rows):
        _refuse_conflict(cursor, ids, records)
    ends = [(locked[stream].id, run[-1].number, run[-1].epoch) for stream, run in runs.items()]
    cursor.execute(_ADVANCE, _columns(ends))


def _refuse_conflict(cursor: Any, ids: Sequence[int], records: Sequence[Record]) -> None:
    wanted = [(stream_id, record.number, record.event_id) for stream_id, record in zip(ids, records, strict=True)]
    stream_id, number = cursor.execute(_CONFLICTS, _columns(wanted)).fetchone()
    stream = records[ids.index(stream_id)].stream
    raise LogConflict(f"Another event stands under number {number} of {stream}; nothing was appended.")


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows turned into columns, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _readable_end(cursor: Any, stream: _Locked, after: int) -> StreamEnd:
    """How far a reader would come that begins after this number, or where retention ends."""
    after = max(after, stream.forgotten)
    first_hole = keeping.holes(cursor, stream.id, after, stream.last_number, 1)
    end = first_hole[0].start - 1 if first_hole else max(stream.last_number, after)
    there = cursor.execute(_ID_UNDER, (stream.id, end)).fetchone()
    return StreamEnd(end, there[0] if there else b"", stream.epoch)
