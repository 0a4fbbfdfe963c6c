"""Reading a log that is keyed by (stream, number): shared by the SQLite and the in-memory log.

A reader takes each stream's next numbers in order. Where the next number is missing it hands out the first
one behind the gap, once, so that the gap is noticed, and stays before the gap: the missing number is
read as soon as it is there, wherever it was appended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from preterite.log import Record, Stream


class Tail(NamedTuple):
    """The end of a stream as the log knows it at one look."""

    last_number: int
    head: Record | None


class NumberedReader:
    """Reads a fixed set of streams onward by number."""

    def __init__(
        self,
        starts: Mapping[Stream, int],
        tails: Callable[[], Mapping[Stream, Tail]],
        fetch: Callable[[Stream, int, int], Sequence[Record]],
        version: Callable[[], int],
        closed: Callable[[], None],
    ) -> None:
        self._places = dict(starts)
        self._order = list(starts)
        self._tails = tails
        self._fetch = fetch
        self._version = version
        self._closed = closed
        self._at_end_of: int | None = None
        self._reported_gaps: dict[Stream, int] = {}
        self._reported_heads: dict[Stream, Record] = {}

    def read(self, limit: int) -> Sequence[Record]:
        """The next records of these streams, at most `limit`; empty at the end."""
        version = self._version()
        if version == self._at_end_of:
            return []
        records: list[Record] = []
        tails = self._tails()
        for stream in self._order:
            tail = tails.get(stream)
            if tail is None:
                continue
            onward: Sequence[Record] = []
            if tail.last_number > self._places[stream] and len(records) < limit:
                onward = self._onward(stream, limit - len(records))
                records += onward
            if tail.head is not None and not onward and len(records) < limit:
                records += self._head(stream, tail.head)
        if len(records) >= limit:
            # The stream that filled this read comes last in the next one.
            self._order.append(self._order.pop(self._order.index(records[-1].stream)))
        self._at_end_of = None if records else version
        return records

    def close(self) -> None:
        """Give up what the reader holds open."""
        self._closed()

    def _onward(self, stream: Stream, limit: int) -> Sequence[Record]:
        place = self._places[stream]
        records = self._fetch(stream, place, limit)
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
