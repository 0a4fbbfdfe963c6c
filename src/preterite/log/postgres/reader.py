"""Reading the PostgreSQL log: streams by number, and the next batch asked for while the last one is handled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.adapt import Transformer

from preterite.drivers import postgres as postgres_server
from preterite.drivers import postgres_place
from preterite.drivers.postgres_place import first_line
from preterite.errors import StoreUnavailable
from preterite.log.contract import READ_BYTES_MAX, Kind, LogReader, Record, Stream
from preterite.log.numbered import NumberedReader, Place, Tail

_LOOK = """
SELECT s.id, s.publisher, s.partition, s.last_number, s.head_epoch, s.head_number, s.head_id, s.head_body,
    r.kind, r.epoch, r.number, r.event_id, r.body
FROM unnest(%s::text[], %s::int[], %s::bigint[]) WITH ORDINALITY AS w (publisher, partition, after, place)
JOIN preterite_log.stream s ON s.publisher = w.publisher AND s.partition = w.partition
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT r.*, sum(octet_length(body)) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) AS bytes
        FROM preterite_log.record r WHERE r.stream = s.id AND r.number > w.after AND s.last_number > w.after
        ORDER BY r.number LIMIT %s
    ) AS r WHERE bytes - octet_length(body) < %s
) AS r ON true
ORDER BY w.place, r.number
"""
_FETCH_AHEAD = b"""
SELECT w.place, r.kind, r.epoch, r.number, r.event_id, r.body
FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS w (stream, after, place)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT r.*, sum(octet_length(body)) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) AS bytes
        FROM preterite_log.record r WHERE r.stream = w.stream AND r.number > w.after ORDER BY r.number LIMIT $3
    ) AS r WHERE bytes - octet_length(body) < $4
) AS r
ORDER BY w.place, r.number LIMIT $3
"""


class PostgresReading:
    """What a reader asks the server, on a connection of its own; used by one thread."""

    def __init__(self, place: postgres_place.Place, starts: Mapping[Stream, int]) -> None:
        with translated():
            self._connection = postgres_server.connect(place)
        self._starts = starts
        self._ids: dict[Stream, int] = {}

    def reader(self) -> LogReader:
        """A reader from where the streams are to start."""
        looks = count()
        # A hint may be missed: every read asks the server.
        return NumberedReader(
            self._starts, self._read_all, lambda: next(looks), self._connection.close, self._fetch_ahead
        )

    def _read_all(self, places: Sequence[Place], limit: int) -> tuple[Mapping[Stream, Tail], Sequence[Record]]:
        streams, afters = [stream for stream, _ in places], [after for _, after in places]
        values = (*_columns(streams), afters, max(limit // max(len(places), 1), 1), _share(places))
        tails: dict[Stream, Tail] = {}
        records: list[Record] = []
        with translated():
            rows: list[Any] = self._connection.execute(_LOOK, values, binary=True).fetchall()
        for stream_id, publisher, partition, last_number, *rest in rows:
            stream = Stream(publisher, partition)
            self._ids[stream] = stream_id
            tails[stream] = _tail(stream, last_number, *rest[:4])
            if rest[4] is not None:
                records.append(Record(stream, *rest[4:]))
        for record in records[limit:]:
            tails.pop(record.stream, None)
        return tails, records[:limit]

    def _fetch_ahead(self, places: Sequence[Place], limit: int) -> Callable[[], Sequence[Record]]:
        """Send the question; what is returned waits for the answer. Nothing else may be asked in between."""
        known = [(stream, after) for stream, after in places if stream in self._ids]
        ids, afters = (self._ids[stream] for stream, _ in known), (after for _, after in known)
        values = [_array(ids), _array(afters), b"%d" % limit, b"%d" % _share(places)]
        asked = self._connection.pgconn
        with translated():
            asked.send_query_params(_FETCH_AHEAD, values, result_format=pq.Format.BINARY)
            asked.flush()

        def answer() -> Sequence[Record]:
            with translated():
                result = self._connection.wait(generators.fetch_many(asked))[-1]
                if result.status != pq.ExecStatus.TUPLES_OK:
                    raise psycopg.errors.error_from_result(result)
                transformer = Transformer(self._connection)
                transformer.set_pgresult(result, format=pq.Format.BINARY)
                rows: list[Any] = transformer.load_rows(0, result.ntuples, tuple)
            return _records(known, rows)

        return answer


def _share(places: Sequence[Place]) -> int:
    """Bytes that are read of each stream, besides its last record."""
    return READ_BYTES_MAX // max(len(places), 1)


def _columns(streams: Sequence[Stream]) -> tuple[list[str], list[int]]:
    return [stream.publisher for stream in streams], [stream.partition for stream in streams]


def _records(places: Sequence[Place], rows: Sequence[tuple[int, Kind, int, int, bytes, bytes]]) -> list[Record]:
    return [
        Record(places[place - 1][0], kind, epoch, number, event_id, body)
        for place, kind, epoch, number, event_id, body in rows
    ]


def _array(numbers: Generator[int]) -> bytes:
    return f"{{{','.join(map(str, numbers))}}}".encode()


def _tail(stream: Stream, last_number: int, head_epoch: int | None, *head: Any) -> Tail:
    return Tail(last_number, None if head_epoch is None else Record(stream, "head", head_epoch, *head))


@contextmanager
def translated() -> Generator[None]:
    """Raise `StoreUnavailable` for what the driver raises where the log is not available."""
    try:
        yield
    except psycopg.Error as error:
        if postgres_server.is_unavailable(error) or postgres_server.is_conflict(error):
            raise StoreUnavailable(
                f"The log is not available ({first_line(error)}); nothing was appended, it is tried again."
            ) from error
        raise
