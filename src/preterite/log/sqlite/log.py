"""The SQLite log: one file beside the components' files, for everything that runs on one machine.

Records are keyed by (stream, number) and read by number. A claim and a head are not rows of their own but
columns of their stream's row: an append checks the claim in its own transaction, so an overtaken writer is
refused outright, and retention cannot remove the newest head.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from preterite.clock import Clock
from preterite.drivers import sqlite as sqlite_file
from preterite.errors import (
    LogConflict,
    LogFenced,
    RecordRefused,
    StoreUnavailable,
    WrongLog,
)
from preterite.log.contract import (
    ANY_SYSTEM,
    EMPTY,
    HOLES_MAX,
    RECORD_BYTES_MAX,
    ClockSetting,
    LogIdentity,
    LogReader,
    Record,
    Stream,
    StreamEnd,
    no_log,
)
from preterite.log.numbered import NumberedReader, Tail, prefixes, stream_by_stream, until_full
from preterite.log.sqlite import databases as sqlite_databases
from preterite.log.sqlite import keeping
from preterite.log.sqlite.clock import SqliteClock
from preterite.log.sqlite.schema import make_tables
from preterite.log.sqlite.translating import translated

MAINTAIN_LEASE_SECONDS = 10.0
"""How long a process alone maintains the log; renewed after half of it."""
MAINTAIN_SECONDS = 0.1
"""How often a changed log is maintained: retention, and a checkpoint where the last ones came too early."""
RETENTION_RECORDS = 5000
"""Records that are dropped from the log at a time when their retention has ended."""

_REQUEST_RESEND = """
INSERT INTO log_asked (publisher, partition, number) VALUES (?, ?, ?)
ON CONFLICT (publisher, partition) DO UPDATE SET number = min(number, excluded.number)
"""
_ANY_REQUESTED = "SELECT 1 FROM log_asked WHERE publisher = ? LIMIT 1"
_TAKE_REQUESTS = "DELETE FROM log_asked WHERE publisher = ? RETURNING partition, number"
_ADD_STREAM = "INSERT INTO log_stream (publisher, partition, epoch, claim) VALUES (?, ?, 0, x'') ON CONFLICT DO NOTHING"
_STREAM = "SELECT id, epoch, last_number FROM log_stream WHERE publisher = ? AND partition = ?"
_CLAIM = "UPDATE log_stream SET epoch = ?, claim = ? WHERE id = ?"
_APPEND = """
INSERT INTO log_record (stream, number, kind, epoch, event_id, appended_at, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (stream, number) DO UPDATE SET epoch = excluded.epoch WHERE event_id = excluded.event_id
"""
_ADVANCE = "UPDATE log_stream SET last_number = max(last_number, ?), epoch = ? WHERE id = ?"
_HEAD = "UPDATE log_stream SET head_epoch = ?, head_number = ?, head_id = ?, head_body = ?, epoch = ? WHERE id = ?"
_ID_UNDER = "SELECT event_id FROM log_record WHERE stream = ? AND number = ?"
_ENDS = """
SELECT s.publisher, s.partition, s.last_number, r.event_id, s.epoch FROM log_stream s
LEFT JOIN log_record r ON r.stream = s.id AND r.number = s.last_number
"""
_END = f"{_ENDS} WHERE s.publisher = ? AND s.partition = ?"
_TAILS = "SELECT publisher, partition, last_number, head_epoch, head_number, head_id, head_body FROM log_stream"
_FETCH = """
SELECT r.kind, r.epoch, r.number, r.event_id, r.body FROM log_record r
WHERE r.stream = (SELECT id FROM log_stream WHERE publisher = ? AND partition = ?) AND r.number > ?
ORDER BY r.number LIMIT ?
"""
_MAINTAINER = "SELECT maintainer, maintainer_until FROM log_identity"
_RELEASE_MAINTENANCE = "UPDATE log_identity SET maintainer = NULL, maintainer_until = 0 WHERE maintainer = ?"
_TAKE_MAINTENANCE = """
UPDATE log_identity SET maintainer = ?, maintainer_until = ? WHERE maintainer IS ? OR maintainer_until <= ?
"""
_FORGOTTEN_UP_TO = "SELECT forgotten FROM log_stream WHERE id = ?"


class SqliteLog:
    """A log in one SQLite file. One connection writes, behind a lock; every reader has its own."""

    def __init__(self, url: str, identity: LogIdentity, clock: Clock, retention: timedelta | None = None) -> None:
        self.path = sqlite_file.path_of(url)
        self._clock = clock
        self._retention = retention
        self._lock = threading.Lock()
        with translated():
            self._connection = sqlite_file.open_file(self.path)
        self._owner = identity.system_id.bytes + id(self).to_bytes(8)
        self._maintained_at = float("-inf")
        self._maintained_version = -1
        self._demo_clock: SqliteClock | None = None
        self.databases = sqlite_databases.SqliteDatabases(self._reading, self._writing)
        try:
            self.promise = sqlite_file.promise(self._connection)
            self.identity = self._identify(identity)
        except BaseException:
            self._connection.close()
            raise

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        with self._writing() as cursor:
            for stream in after:
                stream_id, newest, _ = self._stream(cursor, stream)
                if newest >= epoch:
                    raise LogFenced(str(stream), newest)
                cursor.execute(_CLAIM, (epoch, nonce, stream_id))
            return {stream: self._readable_end(cursor, stream, number) for stream, number in after.items()}

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        oversize = next((record for record in records if len(record.body) > RECORD_BYTES_MAX), None)
        if oversize is not None:
            raise RecordRefused(
                oversize.stream, oversize.number, f"{len(oversize.body):,} bytes; at most {RECORD_BYTES_MAX:,}"
            )
        now = self._clock.wall()
        with self._writing() as cursor:
            ids: dict[Stream, int] = {}
            ends: dict[Stream, int] = {}
            for record in records:
                if record.stream not in ids:
                    ids[record.stream], ends[record.stream] = self._fenced_stream(cursor, record)
            numbered = [record for record in records if record.kind in ("event", "void")]
            cursor.executemany(
                _APPEND, [(ids[r.stream], r.number, r.kind, r.epoch, r.event_id, now, r.body) for r in numbered]
            )
            if numbered and cursor.rowcount != len(numbered):
                self._refuse_conflicts(cursor, ids, numbered)
            last = {record.stream: record for record in numbered}
            cursor.executemany(
                _ADVANCE, [(record.number, record.epoch, ids[stream]) for stream, record in last.items()]
            )
            heads = [record for record in records if record.kind == "head"]
            cursor.executemany(_HEAD, [(r.epoch, r.number, r.event_id, r.body, r.epoch, ids[r.stream]) for r in heads])
        return prefixes(numbered, ends)

    def end(self, stream: Stream) -> StreamEnd:
        with self._lock, translated():
            row = self._connection.execute(_END, stream).fetchone()
        return EMPTY if row is None else _stream_end(row)

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        sqlite_file.require_same_file(self._connection)
        with self._lock, translated():
            rows = self._connection.execute(_ENDS).fetchall()
        found = {Stream(row[0], row[1]): _stream_end(row) for row in rows}
        return {stream: found.get(stream, EMPTY) for stream in streams}

    def first_number(self, stream: Stream) -> int:
        with self._lock, translated():
            found = self._connection.execute(_STREAM, stream).fetchone()
            return 1 if found is None else self._forgotten(found[0]) + 1

    def holes(self, stream: Stream, after: int, last: int) -> Sequence[range]:
        with self._lock, translated():
            found = self._connection.execute(_STREAM, stream).fetchone()
            stream_id = -1 if found is None else found[0]
            return keeping.holes(self._connection, stream_id, after, last, HOLES_MAX)

    def fill(self, stream: Stream, numbers: range, reason: str) -> None:
        with self._writing() as cursor:
            stream_id, _, _ = self._stream(cursor, stream)
            keeping.fill(cursor, stream_id, numbers, reason.encode(), self._clock.wall())

    def continue_lost(self, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
        with self._writing() as cursor:
            for stream in dropped:
                self._stream(cursor, stream)
            continued = keeping.continue_lost(cursor, system_id, dropped)
        if continued:
            self.identity = replace(self.identity, system_id=system_id)
        return continued

    def request_resend(self, stream: Stream, number: int) -> None:
        with self._writing() as cursor:
            cursor.execute(_REQUEST_RESEND, (*stream, number))

    def resend_requests(self, publisher: str) -> Mapping[Stream, int]:
        sqlite_file.require_same_file(self._connection)
        with self._lock, translated():
            if self._connection.execute(_ANY_REQUESTED, (publisher,)).fetchone() is None:
                return {}
        with self._writing() as cursor:
            rows = cursor.execute(_TAKE_REQUESTS, (publisher,)).fetchall()
        return {Stream(publisher, partition): number for partition, number in rows}

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        sqlite_file.require_same_file(self._connection)
        connection = sqlite_file.open_file(self.path)

        def tails() -> Mapping[Stream, Tail]:
            with translated():
                return {stream: tail for stream, tail in map(_tail, connection.execute(_TAILS)) if stream in starts}

        def fetch(stream: Stream, after: int, limit: int, limit_bytes: int) -> Sequence[Record]:
            with translated(), closing(connection.execute(_FETCH, (*stream, after, limit))) as rows:
                return until_full((Record(stream, *row) for row in rows), limit_bytes)

        def version() -> int:
            sqlite_file.require_same_file(connection)
            with translated():
                return sqlite_file.data_version(connection)

        return NumberedReader(starts, stream_by_stream(tails, fetch), version, connection.close)

    def version(self) -> int:
        return sqlite_file.changes(self.path)

    def fileno(self) -> int | None:
        return None

    def clock_setting(self) -> ClockSetting:
        with translated():
            return self._shared_clock().read()

    def set_clock(self, setting: ClockSetting) -> None:
        with translated():
            self._shared_clock().write(setting)

    def wal_bytes(self) -> int:
        return sqlite_file.wal_bytes(self.path)

    def maintain(self) -> None:
        now = self._clock.monotonic()
        if now - self._maintained_at < MAINTAIN_SECONDS or self.version() == self._maintained_version:
            return
        self._maintained_at = now
        wall = self._clock.wall()
        if self._maintains(wall):
            if self._retention is not None:
                self._forget(wall - self._retention.total_seconds())
            sqlite_file.keep_wal_small(self.path)
        self._maintained_version = self.version()

    def close(self) -> None:
        # Where the file is out of reach the lease runs out by itself.
        with suppress(StoreUnavailable, sqlite3.Error), self._writing() as cursor:
            cursor.execute(_RELEASE_MAINTENANCE, (self._owner,))
        with self._lock:
            self._connection.close()
            if self._demo_clock is not None:
                self._demo_clock.close()

    def _shared_clock(self) -> SqliteClock:
        """Opened on first use: only a demo uses it."""
        with self._lock:
            if self._demo_clock is None:
                self._demo_clock = SqliteClock(self.path)
            return self._demo_clock

    def _maintains(self, wall: float) -> bool:
        """Whether this process is the one that maintains the log; writes only where that changes or must be renewed."""
        with self._lock, translated():
            owner, until = self._connection.execute(_MAINTAINER).fetchone()
        if owner == self._owner and until - wall > MAINTAIN_LEASE_SECONDS / 2:
            return True
        if owner not in (None, self._owner) and until > wall:
            return False
        with self._writing() as cursor:
            cursor.execute(_TAKE_MAINTENANCE, (self._owner, wall + MAINTAIN_LEASE_SECONDS, self._owner, wall))
            return cursor.rowcount == 1

    def _forget(self, before: float) -> None:
        """Drop the first records of each stream that were appended before then, a bounded number at a time."""
        with self._lock, translated():
            streams = keeping.old_streams(self._connection, before)
        left = RETENTION_RECORDS
        for stream_id in streams:
            with self._writing() as cursor:
                left -= keeping.forget(cursor, stream_id, before, left)
            if left <= 0:
                return

    def _identify(self, identity: LogIdentity) -> LogIdentity:
        with self._writing() as cursor:
            make_tables(cursor, str(self.path))
            found = cursor.execute("SELECT system, system_id, partitions FROM log_identity").fetchone()
            if found is None and identity.system_id == ANY_SYSTEM:
                raise no_log(str(self.path))
            if found is None:
                cursor.execute(
                    "INSERT INTO log_identity (id, system, system_id, partitions) VALUES (1, ?, ?, ?)",
                    (identity.system, identity.system_id.bytes, identity.partitions),
                )
                return identity
        there = LogIdentity(found[0], UUID(bytes=found[1]), found[2])
        if (there.system, there.partitions) != (identity.system, identity.partitions):
            raise WrongLog(
                f"The log {self.path} belongs to system {there.system!r} with {there.partitions} partitions; "
                f"this is {identity.system!r} with {identity.partitions}. Nothing was written. "
                "Give each system its own log; the number of partitions cannot change."
            )
        return there

    def _stream(self, cursor: sqlite3.Cursor, stream: Stream) -> tuple[int, int, int]:
        cursor.execute(_ADD_STREAM, stream)
        return cursor.execute(_STREAM, stream).fetchone()

    def _fenced_stream(self, cursor: sqlite3.Cursor, record: Record) -> tuple[int, int]:
        """Id and last number of a stream that no newer writer has claimed."""
        stream_id, epoch, last_number = self._stream(cursor, record.stream)
        if epoch > record.epoch:
            raise LogFenced(str(record.stream), epoch)
        return stream_id, last_number

    def _refuse_conflicts(self, cursor: sqlite3.Cursor, ids: Mapping[Stream, int], records: Sequence[Record]) -> None:
        for record in records:
            there = cursor.execute(_ID_UNDER, (ids[record.stream], record.number)).fetchone()
            if there is not None and there[0] != record.event_id:
                raise LogConflict(
                    f"Another event stands under number {record.number} of {record.stream}; nothing was appended."
                )

    def _readable_end(self, cursor: sqlite3.Cursor, stream: Stream, after: int) -> StreamEnd:
        stream_id, epoch, last = cursor.execute(_STREAM, stream).fetchone()
        after = max(after, self._forgotten(stream_id))
        first_hole = keeping.holes(self._connection, stream_id, after, last, 1)
        end = first_hole[0].start - 1 if first_hole else max(last, after)
        there = cursor.execute(_ID_UNDER, (stream_id, end)).fetchone()
        return StreamEnd(end, there[0] if there else b"", epoch)

    def _forgotten(self, stream_id: int) -> int:
        return self._connection.execute(_FORGOTTEN_UP_TO, (stream_id,)).fetchone()[0]

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._lock, translated():
            yield self._connection

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Cursor]:
        sqlite_file.require_same_file(self._connection)
        with self._lock, translated():
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                self._connection.commit()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise


def _stream_end(row: tuple[str, int, int, bytes | None, int]) -> StreamEnd:
    _, _, number, event_id, epoch = row
    return StreamEnd(number, event_id or b"", epoch)


def _tail(row: tuple[str, int, int, int | None, int, bytes, bytes]) -> tuple[Stream, Tail]:
    publisher, partition, last_number, epoch, number, event_id, body = row
    stream = Stream(publisher, partition)
    newest = None if epoch is None else Record(stream, "head", epoch, number, event_id, body)
    return stream, Tail(last_number, newest)
