"""Appending to the PostgreSQL log where its streams end: one statement, one round trip, one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.numeric import Int8

from preterite.log.contract import Record, Stream

# All of them, or none. What is locked here is what is read: a stream's row is seen as it is once it is locked.
_APPEND_AT_ENDS = """
WITH locked AS MATERIALIZED (
    SELECT s.id, r.run, r.last
    FROM unnest(%(publishers)b::text[], %(partitions)b::int[], %(firsts)b::bigint[], %(lasts)b::bigint[])
        WITH ORDINALITY AS r (publisher, partition, first, last, run)
    JOIN preterite_log.stream s ON s.publisher = r.publisher AND s.partition = r.partition
    WHERE s.epoch <= %(epoch)b AND s.last_number = r.first - 1
    ORDER BY s.id FOR NO KEY UPDATE OF s
), allowed AS (
    SELECT count(*) = cardinality(%(publishers)b::text[]) AS all_of_them FROM locked
), advanced AS (
    UPDATE preterite_log.stream s SET last_number = locked.last, epoch = %(epoch)b
    FROM locked, allowed WHERE s.id = locked.id AND all_of_them
), appended AS (
    INSERT INTO preterite_log.record (stream, number, kind, epoch, event_id, appended_at, body)
    SELECT locked.id, number, 'event', %(epoch)b, event_id, extract(epoch FROM statement_timestamp()), body
    FROM unnest(%(runs)b::bigint[], %(numbers)b::bigint[], %(ids)b::bytea[], %(bodies)b::bytea[])
        AS e (run, number, event_id, body)
    JOIN locked USING (run) CROSS JOIN allowed WHERE all_of_them
)
SELECT all_of_them, set_config('synchronous_commit', 'on', true) FROM allowed
"""


def append_at_ends(connection: Any, runs: Mapping[Stream, Sequence[Record]]) -> bool:
    """Append events of one writer where each stream ends, as nearly always; false, and nothing is, otherwise.

    The commit waits for the disk, whatever the settings of the session are.
    """
    records = [record for run in runs.values() for record in run]
    if {record.kind for record in records} != {"event"} or len({record.epoch for record in records}) != 1:
        return False
    if any(run[-1].number != run[0].number + len(run) - 1 for run in runs.values()):
        return False
    values = {
        "epoch": Int8(records[0].epoch),
        "publishers": [stream.publisher for stream in runs],
        "partitions": [stream.partition for stream in runs],
        "firsts": [run[0].number for run in runs.values()],
        "lasts": [run[-1].number for run in runs.values()],
        "runs": [place for place, run in enumerate(runs.values(), start=1) for _ in run],
        "numbers": [record.number for record in records],
        "ids": [record.event_id for record in records],
        "bodies": [record.body for record in records],
    }
    return bool(connection.execute(_APPEND_AT_ENDS, values).fetchone()[0])
