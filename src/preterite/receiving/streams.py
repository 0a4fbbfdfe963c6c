"""Reading streams in a row: what comes next is taken, and what does not is reported with its verdict.

The receiver and the replayer read through this one place. It decides nothing about what follows: whether a stream is
stalled, a replay paused or a record counted is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from preterite.log.contract import (
    NO_EVENT,
    Cursor,
    Log,
    Record,
    Stream,
    Verdict,
    accept,
    applied_in_a_row,
    journal_start,
    stream_of,
)


class Refused(NamedTuple):
    """A record that does not come next: stale, beyond a gap, or of another history."""

    verdict: Verdict
    record: Record
    cursor: Cursor
    """How far the stream was read when it came."""


class StreamPosition:
    """How far one stream is read: the last record taken, and the newest epoch seen."""

    __slots__ = ("cursor", "epoch", "gone_back", "journal_start", "stale")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.epoch = cursor.epoch
        self.gone_back = False
        """Whether the log holds another history than was read here: nothing more is taken."""
        self.journal_start = 0
        """The first number that the publisher can send again, as its newest head states."""
        self.stale: Record | None = None
        """What comes next, or later, under an older epoch than was read before: its publisher is to send it again."""

    @property
    def is_gone(self) -> bool:
        """Whether the publisher cannot send again what comes next."""
        return self.cursor.number + 1 < self.journal_start

    def is_continued(self, run: Sequence[Record]) -> bool:
        """Whether another relay goes on here: one of a restored database may have passed what was read before.

        Then it has used those numbers for other events, and what follows them looks as if it came next (rule 3).
        """
        is_known = self.cursor.number > 0 and self.cursor.event_id != NO_EVENT
        return is_known and any(one.epoch > self.epoch and one.number > self.cursor.number for one in run)

    def is_another(self, record: Record) -> bool:
        """Whether this stands under the number that was read last, and is not what was read."""
        is_read = record.kind in ("event", "void") and record.number == self.cursor.number
        return is_read and record.event_id not in (NO_EVENT, self.cursor.event_id)

    def take(self, run: Sequence[Record]) -> tuple[Sequence[Record], list[Refused]]:
        """Those of the stream's next records that come in a row, and those that do not."""
        whole = 0 if self.gone_back else applied_in_a_row(self.cursor, self.epoch, run)
        if whole:
            self.cursor = self.cursor.at(run[whole - 1])
            self.epoch = run[whole - 1].epoch
            self.stale = None
        if whole == len(run):
            return run, []
        taken, refused = list(run[:whole]), list[Refused]()
        for record in run[whole:]:
            verdict = self._judge(record)
            if verdict is Verdict.APPLY:
                taken.append(record)
            elif verdict in (Verdict.STALE, Verdict.GAP, Verdict.GONE_BACK):
                refused.append(Refused(verdict, record, self.cursor))
            if self.stale is record:
                break
        return taken, refused

    def _judge(self, record: Record) -> Verdict:
        if self.gone_back:
            return Verdict.PASS
        verdict = accept(self.cursor, self.epoch, record)
        if verdict is Verdict.STALE:
            if record.kind in ("event", "void") and record.number > self.cursor.number:
                self.stale = record
        elif record.kind == "head":
            # Records before it may well have been written under older epochs.
            self.journal_start = journal_start(record)
        else:
            self.epoch = record.epoch
        if verdict is Verdict.APPLY:
            self.cursor = self.cursor.at(record)
            self.stale = None
        self.gone_back |= verdict is Verdict.GONE_BACK
        return verdict


class StreamReader:
    """Reads a component's streams on from where they were applied. Used by one thread."""

    def __init__(self, log: Log, cursors: Mapping[Stream, Cursor], *, without: Iterable[Stream] = ()) -> None:
        self.positions = {stream: StreamPosition(cursor) for stream, cursor in cursors.items()}
        left_out = set(without)
        self._log = log
        self._reader = log.reader(
            {stream: cursor.number for stream, cursor in cursors.items() if stream not in left_out}
        )

    def read(self, limit: int) -> tuple[list[Record], list[Refused], int]:
        """The next records that come in a row, those that do not, and how many were read; at most `limit`."""
        read = self._reader.read(limit)
        taken: list[Record] = []
        refused: list[Refused] = []
        runs = [(stream, list(run)) for stream, run in groupby(read, key=stream_of)]
        others_read = self._others_read([stream for stream, run in runs if self.positions[stream].is_continued(run)])
        for stream, run in runs:
            position = self.positions[stream]
            next_ones, others = position.take([*others_read.get(stream, ()), *run])
            taken += next_ones
            refused += others
            if position.stale is not None and position.stale.number == position.cursor.number + 1:
                self._reader.put_back(position.stale)
        return taken, refused, len(read)

    def _others_read(self, streams: Sequence[Stream]) -> Mapping[Stream, Sequence[Record]]:
        """Of these streams, those whose log has another event where they were read to, and that event."""
        if not streams:
            return {}
        reader = self._log.reader({stream: self.positions[stream].cursor.number - 1 for stream in streams})
        first: dict[Stream, Record] = {}
        try:
            while len(first) < len(streams) and (records := reader.read(len(streams))):
                first = {record.stream: record for record in reversed(records)} | first
        finally:
            reader.close()
        return {stream: [one] for stream, one in first.items() if self.positions[stream].is_another(one)}

    def close(self) -> None:
        """Give up what the reader holds open."""
        self._reader.close()
