"""What a PostgreSQL log holds of a stream: what retention drops, which numbers are missing, the voids that
fill them, and where streams begin whose log was lost.

Every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from preterite.log.contract import Stream

# A record that was sent again is younger than those after it: what precedes it may go, and what follows stays with it.
_FORGET = """
WITH old AS (
    SELECT s.id, r.number FROM preterite_log.stream s CROSS JOIN LATERAL (
        SELECT max(number) AS number FROM (
            SELECT number, max(appended_at) OVER (ORDER BY number) AS newest FROM (
                SELECT number, appended_at FROM preterite_log.record WHERE stream = s.id ORDER BY number LIMIT %s
            ) AS first
        ) AS seen WHERE newest < %s
    ) AS r WHERE r.number IS NOT NULL
), dropped AS (
    DELETE FROM preterite_log.record r USING old WHERE r.stream = old.id AND r.number <= old.number RETURNING 1
), noted AS (
    UPDATE preterite_log.stream AS s SET forgotten = greatest(s.forgotten, old.number) FROM old WHERE s.id = old.id
)
SELECT count(*) FROM dropped
"""
_BEGIN_AFTER = """
UPDATE preterite_log.stream SET last_number = %s, forgotten = %s WHERE publisher = %s AND partition = %s
"""
_HOLES = """
SELECT n.number + 1, coalesce(
    (SELECT min(r.number) FROM preterite_log.record r WHERE r.stream = %(stream)s AND r.number > n.number), %(beyond)s)
FROM (
    SELECT %(after)s::bigint AS number
    UNION ALL SELECT number FROM preterite_log.record
    WHERE stream = %(stream)s AND number > %(after)s AND number < %(last)s
) AS n
WHERE n.number < %(last)s
AND NOT EXISTS (SELECT 1 FROM preterite_log.record r WHERE r.stream = %(stream)s AND r.number = n.number + 1)
ORDER BY 1 LIMIT %(limit)s
"""
# As old as what follows: a reader that has come to it goes on with that.
_FILL = """
INSERT INTO preterite_log.record (stream, number, kind, epoch, event_id, appended_at, body)
SELECT s.id, n, 'void', coalesce(
    (SELECT r.epoch FROM preterite_log.record r WHERE r.stream = s.id AND r.number > %(last)s ORDER BY number LIMIT 1),
    s.epoch), ''::bytea, extract(epoch FROM statement_timestamp()), %(reason)s
FROM preterite_log.stream s CROSS JOIN generate_series(%(first)s::bigint, %(last)s::bigint) AS n WHERE s.id = %(stream)s
ON CONFLICT DO NOTHING
"""
_ADVANCE = "UPDATE preterite_log.stream SET last_number = greatest(last_number, %s) WHERE id = %s"


def forget(cursor: Any, before: float, limit: int) -> int:
    """Drop the first records of each stream, at most so many, up to the first appended later; return how many."""
    return cursor.execute(_FORGET, (limit, before)).fetchone()[0]


def holes(cursor: Any, stream: int, after: int, last: int, limit: int) -> list[range]:
    """The numbers after the one and up to the other under which nothing stands; the first so many runs of them."""
    values = {"stream": stream, "after": after, "last": last, "beyond": last + 1, "limit": limit}
    return [range(first, min(beyond, last + 1)) for first, beyond in cursor.execute(_HOLES, values).fetchall()]


def fill(cursor: Any, stream: int, numbers: range, reason: bytes) -> None:
    """Put a void under each of these numbers under which nothing stands; the stream's row is locked."""
    cursor.execute(_FILL, {"stream": stream, "first": numbers[0], "last": numbers[-1], "reason": reason})
    cursor.execute(_ADVANCE, (numbers[-1], stream))


def continue_lost(cursor: Any, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
    """Begin the streams after these numbers, under that id; false if anything was ever appended."""
    if cursor.execute("SELECT 1 FROM preterite_log.stream WHERE last_number > 0 LIMIT 1").fetchone() is not None:
        return False
    cursor.execute("UPDATE preterite_log.identity SET system_id = %s", (system_id.bytes,))
    cursor.executemany(_BEGIN_AFTER, [(number, number, *stream) for stream, number in dropped.items()])
    return True
