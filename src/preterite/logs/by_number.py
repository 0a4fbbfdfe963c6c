"""Reading a log that is keyed by (stream, number): shared by the logs in databases and the in-memory log.

A reader takes each stream's next numbers in order. Where the next number is missing it hands out the first
one behind the gap, once, so that the gap is noticed, and stays before the gap: the missing number is
read as soon as it is there, wherever it was appended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from preterite.log import Record, Stream, stream_of

AHEAD_READS_MAX = 20


class Tail(NamedTuple):
    """The end of a stream as the log knows it at one look."""

    last_number: int
    head: Record | None


Place = tuple[Stream, int]
"""A stream, and the number after which it is read."""


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


def one_by_one(fetch: Callable[[Stream, int, int], Sequence[Record]]) -> Callable[[Sequence[Place], int], list[Record]]:
    """Read several streams by reading each, where that costs nothing more."""

    def fetch_all(places: Sequence[Place], limit: int) -> list[Record]:
        found: list[Record] = []
        for stream, after in places:
            if len(found) < limit:
                found += fetch(stream, after, limit - len(found))
        return found

    return fetch_all


class NumberedReader:
    """Reads a fixed set of streams onward by number.

    Where the log can be asked `ahead`, a full read asks for what comes next, which is under way while the caller
    works: at most as much again is held in memory. Its streams' ends are looked at every few reads nevertheless.
    """

    def __init__(
        self,
        starts: Mapping[Stream, int],
        tails: Callable[[], Mapping[Stream, Tail]],
        fetch: Callable[[Sequence[Place], int], Sequence[Record]],
        version: Callable[[], int],
        closed: Callable[[], None],
        ahead: Callable[[Sequence[Place], int], Callable[[], Sequence[Record]]] | None = None,
    ) -> None:
        self._places = dict(starts)
        self._order = list(starts)
        self._tails = tails
        self._fetch = fetch
        self._version = version
        self._closed = closed
        self._ask_ahead = ahead
        self._ahead: Callable[[], Sequence[Record]] | None = None
        self._ahead_in_a_row = 0
        self._at_end_of: int | None = None
        self._reported_gaps: dict[Stream, int] = {}
        self._reported_heads: dict[Stream, Record] = {}

    def read(self, limit: int) -> Sequence[Record]:
        """The next records of these streams, at most `limit`; empty at the end."""
        version = self._version()
        if version == self._at_end_of:
            return []
        records = self._read_ahead(limit) or self._look(limit)
        if len(records) >= limit:
            # The stream that filled this read comes last in the next one.
            self._order.append(self._order.pop(self._order.index(records[-1].stream)))
            if self._ask_ahead is not None and self._ahead_in_a_row < AHEAD_READS_MAX:
                self._ahead = self._ask_ahead([(stream, self._places[stream]) for stream in self._order], limit)
        self._at_end_of = None if records else version
        return records

    def _read_ahead(self, limit: int) -> list[Record]:
        """What was asked for when the last read was full; what is beyond the limit is asked for again."""
        answer, self._ahead = self._ahead, None
        if answer is None:
            self._ahead_in_a_row = 0
            return []
        self._ahead_in_a_row += 1
        runs = groupby(answer()[:limit], key=stream_of)
        return [record for stream, run in runs for record in self._onward(stream, list(run))]

    def _look(self, limit: int) -> list[Record]:
        """Look at every stream's end, and read those that have more."""
        records: list[Record] = []
        tails = self._tails()
        behind = [
            (stream, self._places[stream])
            for stream in self._order
            if stream in tails and tails[stream].last_number > self._places[stream]
        ]
        found = {
            stream: list(run) for stream, run in groupby(self._fetch(behind, limit) if behind else (), key=stream_of)
        }
        for stream in self._order:
            tail = tails.get(stream)
            if tail is None:
                continue
            onward = self._onward(stream, found.get(stream, []))
            records += onward
            if tail.head is not None and not onward and len(records) < limit:
                records += self._head(stream, tail.head)
        return records

    def close(self) -> None:
        """Give up what the reader holds open."""
        self._closed()

    def _onward(self, stream: Stream, records: Sequence[Record]) -> Sequence[Record]:
        place = self._places[stream]
        if not records:
            return records
        if records[-1].number == place + len(records):
            self._places[stream] = records[-1].number
            return records
        whole = next(index for index, record in enumerate(records) if record.number != place + index + 1)
        self._places[stream] = place + whole
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
