"""Reading a log that is keyed by (stream, number): shared by the logs in databases and the in-memory log.

A reader takes each stream's next numbers in order. Where the next number is missing it hands out the first
one behind the gap, once, so that the gap is noticed, and stays before the gap: the missing number is
read as soon as it is there, wherever it was appended. A record that is put back is read again once it has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from preterite.log.contract import READ_BYTES_MAX, Record, Stream, stream_of

AHEAD_READS_MAX = 20
"""Batches in a row that a reader requests ahead."""


class Tail(NamedTuple):
    """The end of a stream at one read."""

    last_number: int
    head: Record | None


Place = tuple[Stream, int]
"""A stream, and the number after which it is read."""

Look = Callable[[Sequence[Place], int], tuple[Mapping[Stream, Tail], Sequence[Record]]]
"""Reads the ends of the streams that exist, and their next records: stream by stream, at most so many.

A stream has no end here if there was no room left for its records.
"""


def prefixes(appended: Sequence[Record], ends: Mapping[Stream, int]) -> Mapping[Stream, int]:
    """What is durable without a hole once these records are appended to streams that ended so far: see `Log.append`."""
    return {
        stream: run[-1].number if run[0].number <= ends[stream] + 1 else ends[stream]
        for stream, run in runs_of(appended).items()
    }


def runs_of(records: Sequence[Record]) -> dict[Stream, list[Record]]:
    """The records of each stream, in their order."""
    runs: dict[Stream, list[Record]] = {}
    for stream, run in groupby(records, key=stream_of):
        runs.setdefault(stream, []).extend(run)
    return runs


def in_a_row(after: int, records: Sequence[Record]) -> int:
    """How many of these records of one stream follow each other without a gap from this number on."""
    if records and records[-1].number == after + len(records):
        return len(records)
    return next((index for index, one in enumerate(records) if one.number != after + index + 1), len(records))


def until_full(records: Iterable[Record], limit_bytes: int) -> list[Record]:
    """The first of these records: up to the one with which they hold so many bytes."""
    found: list[Record] = []
    for record in records:
        found.append(record)
        limit_bytes -= len(record.body)
        if limit_bytes <= 0:
            break
    return found


def stream_by_stream(
    tails: Callable[[], Mapping[Stream, Tail]], fetch: Callable[[Stream, int, int, int], Sequence[Record]]
) -> Look:
    """Read all ends, then each stream that has more, where single reads cost nothing more.

    `fetch` takes a stream, a number after which to begin, and how many records and bytes are enough.
    """

    def read(places: Sequence[Place], limit: int) -> tuple[Mapping[Stream, Tail], Sequence[Record]]:
        ends = dict(tails())
        found: list[Record] = []
        left = READ_BYTES_MAX
        for stream, after in places:
            if stream not in ends or ends[stream].last_number <= after:
                continue
            if len(found) >= limit or left <= 0:
                del ends[stream]
            else:
                run = fetch(stream, after, limit - len(found), left)
                left -= sum(len(record.body) for record in run)
                # What is beyond a gap is not taken; it must not keep other streams out.
                found += run[: in_a_row(after, run) + 1]
        return ends, found

    return read


class NumberedReader:
    """Reads a fixed set of streams onward by number.

    Where the log can be asked `ahead`, a read that leaves more behind asks for it, and it is under way while the caller
    works: at most as much again is held in memory. The streams' ends are read every few reads nevertheless.
    """

    def __init__(
        self,
        starts: Mapping[Stream, int],
        look: Look,
        version: Callable[[], int],
        closed: Callable[[], None],
        ahead: Callable[[Sequence[Place], int], Callable[[], Sequence[Record]]] | None = None,
    ) -> None:
        self._places = dict(starts)
        self._order = list(starts)
        self._look_at = look
        self._version = version
        self._closed = closed
        self._ask_ahead = ahead
        self._ahead: Callable[[], Sequence[Record]] | None = None
        self._ahead_in_a_row = 0
        self._tails: Mapping[Stream, Tail] = {}
        self._at_end_of: int | None = None
        self._reported_gaps: dict[Stream, int] = {}
        self._reported_heads: dict[Stream, Record] = {}
        self._put_back: dict[Stream, Record] = {}

    def read(self, limit: int) -> Sequence[Record]:
        """The next records of these streams, at most `limit`; empty at the end."""
        version = self._version()
        if version == self._at_end_of:
            return []
        records = self._read_ahead(limit) or self._read_all(limit)
        if records:
            # The stream that came last in this read comes last in the next one, and so does not keep the others out.
            self._order.append(self._order.pop(self._order.index(records[-1].stream)))
            self._look_ahead(full=len(records) >= limit, limit=limit)
        self._at_end_of = None if records else version
        return records

    def _look_ahead(self, *, full: bool, limit: int) -> None:
        if self._ask_ahead is not None and (full or self._is_behind()) and self._ahead_in_a_row < AHEAD_READS_MAX:
            self._ahead = self._ask_ahead([(stream, self._places[stream]) for stream in self._order], limit)

    def _is_behind(self) -> bool:
        return any(tail.last_number > self._places[stream] for stream, tail in self._tails.items())

    def _read_ahead(self, limit: int) -> list[Record]:
        """What was asked for when the last read was full; what is beyond the limit is asked for again."""
        answer, self._ahead = self._ahead, None
        if answer is None:
            self._ahead_in_a_row = 0
            return []
        self._ahead_in_a_row += 1
        runs = groupby(answer()[:limit], key=stream_of)
        return [record for stream, run in runs for record in self._onward(stream, list(run))]

    def _read_all(self, limit: int) -> list[Record]:
        """Read every stream's end, and those streams that have more."""
        records: list[Record] = []
        self._tails, read = self._look_at([(stream, self._places[stream]) for stream in self._order], limit)
        found = runs_of(read)
        for stream in self._order:
            tail = self._tails.get(stream)
            if tail is None:
                continue
            onward = self._onward(stream, found.get(stream, []))
            records += onward
            if tail.head is not None and not onward and len(records) < limit:
                records += self._head(stream, tail.head)
        return records

    def put_back(self, record: Record) -> None:
        """Read on before this record; it is read again once it is not the same any more."""
        if self._ahead is not None:
            # Asked for from behind the record; the answer is taken, since nothing else can be asked before.
            self._ahead()
            self._ahead = None
        self._places[record.stream] = record.number - 1
        self._put_back[record.stream] = record

    def close(self) -> None:
        """Close what the reader holds open."""
        self._closed()

    def _onward(self, stream: Stream, records: Sequence[Record]) -> Sequence[Record]:
        place = self._places[stream]
        if not records or records[0] == self._put_back.get(stream):
            return []
        self._put_back.pop(stream, None)
        whole = in_a_row(place, records)
        self._places[stream] = place + whole
        if whole == len(records):
            return records
        beyond = records[whole]
        if self._reported_gaps.get(stream) == beyond.number:
            return records[:whole]
        self._reported_gaps[stream] = beyond.number
        return records[: whole + 1]

    def _head(self, stream: Stream, head: Record) -> Sequence[Record]:
        if self._reported_heads.get(stream) == head:
            return []
        self._reported_heads[stream] = head
        return [head]
