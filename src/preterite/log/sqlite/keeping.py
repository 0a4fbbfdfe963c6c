"""What a SQLite log holds of a stream: what retention drops, which numbers are missing, the voids that fill
them, and where streams begin whose log was lost.

Every function runs in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from uuid import UUID

from preterite.log.contract import Stream

_OLD_STREAMS = """
SELECT id FROM log_stream s
WHERE (SELECT appended_at FROM log_record r WHERE r.stream = s.id ORDER BY number LIMIT 1) < ?
"""
# A record that was sent again is younger than those after it: what precedes it may go, and what follows stays with it.
_LAST_OLD = """
SELECT max(number) FROM (
    SELECT number, max(appended_at) OVER (ORDER BY number) AS newest FROM (
        SELECT number, appended_at FROM log_record WHERE stream = ? ORDER BY number LIMIT ?))
WHERE newest < ?
"""
_FORGET = "DELETE FROM log_record WHERE stream = ? AND number <= ?"
_FORGOTTEN = "UPDATE log_stream SET forgotten = max(forgotten, ?) WHERE id = ?"
_BEGIN_AFTER = "UPDATE log_stream SET last_number = ?, forgotten = ? WHERE publisher = ? AND partition = ?"
_HOLES = """
SELECT n.number + 1, coalesce(
    (SELECT min(r.number) FROM log_record r WHERE r.stream = :stream AND r.number > n.number), :beyond)
FROM (
    SELECT :after AS number
    UNION ALL SELECT number FROM log_record WHERE stream = :stream AND number > :after AND number < :last
) AS n
WHERE n.number < :last
AND NOT EXISTS (SELECT 1 FROM log_record r WHERE r.stream = :stream AND r.number = n.number + 1)
ORDER BY 1 LIMIT :limit
"""
# As old as what follows: a reader that has come to it goes on with that.
_EPOCH_BEYOND = """
SELECT coalesce(
    (SELECT epoch FROM log_record WHERE stream = :stream AND number > :number ORDER BY number LIMIT 1),
    (SELECT epoch FROM log_stream WHERE id = :stream))
"""
_FILL = """
INSERT INTO log_record (stream, number, kind, epoch, event_id, appended_at, body) VALUES (?, ?, 'void', ?, x'', ?, ?)
ON CONFLICT DO NOTHING
"""
_ADVANCE = "UPDATE log_stream SET last_number = max(last_number, ?) WHERE id = ?"


def old_streams(connection: sqlite3.Connection, before: float) -> Sequence[int]:
    """The streams whose first record was appended before then."""
    return [row[0] for row in connection.execute(_OLD_STREAMS, (before,))]


def forget(cursor: sqlite3.Cursor, stream: int, before: float, limit: int) -> int:
    """Drop a stream's first records, at most so many, up to the first that was appended later; return how many."""
    last = cursor.execute(_LAST_OLD, (stream, limit, before)).fetchone()[0]
    if last is None:
        return 0
    cursor.execute(_FORGOTTEN, (last, stream))
    return cursor.execute(_FORGET, (stream, last)).rowcount


def holes(connection: sqlite3.Connection, stream: int, after: int, last: int, limit: int) -> list[range]:
    """The numbers after the one and up to the other under which nothing stands; the first so many runs of them."""
    values = {"stream": stream, "after": after, "last": last, "beyond": last + 1, "limit": limit}
    return [range(first, min(beyond, last + 1)) for first, beyond in connection.execute(_HOLES, values)]


def fill(cursor: sqlite3.Cursor, stream: int, numbers: range, reason: bytes, now: float) -> None:
    """Put a void under each of these numbers under which nothing stands."""
    epoch = cursor.execute(_EPOCH_BEYOND, {"stream": stream, "number": numbers[-1]}).fetchone()[0]
    cursor.executemany(_FILL, [(stream, number, epoch, now, reason) for number in numbers])
    cursor.execute(_ADVANCE, (numbers[-1], stream))


def continue_lost(cursor: sqlite3.Cursor, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
    """Begin the streams after these numbers, under that id; false if anything was ever appended."""
    if cursor.execute("SELECT 1 FROM log_stream WHERE last_number > 0 LIMIT 1").fetchone() is not None:
        return False
    cursor.execute("UPDATE log_identity SET system_id = ?", (system_id.bytes,))
    cursor.executemany(_BEGIN_AFTER, [(number, number, *stream) for stream, number in dropped.items()])
    return True
