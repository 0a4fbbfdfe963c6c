"""The in-memory log as a network and a broker have it: away, unanswered, broken off, repeated, short of its end.

Where it is `slow` it takes a few records at a time, and loses old ones, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from preterite.errors import LogFenced, StoreUnavailable
from preterite.log.contract import LogIdentity, LogReader, Record, Stream, StreamEnd
from preterite.log.memory import MemoryLog
from preterite.testing.simulation.machine.faults import DELAY, LOSES, LOSES_OLD, PARTLY, REPEAT, UNANSWERED, UNREACHABLE
from preterite.testing.simulation.machine.marks import (
    ASKED_AGAIN,
    DROPPED,
    LOST_IN_LOG,
    RELAY_OVERTAKEN,
    RELAY_TAKEN,
    SENT_AGAIN,
    STALE_READ,
)
from preterite.testing.simulation.machine.scheduler import Scheduler

LOST_RECORDS_MAX = 3
SLOW_SECONDS = 0.03
"""How long a slow log takes for each of its portions."""


class SimulatedLog(MemoryLog):
    """A log with faults, at every call of a task."""

    def __init__(
        self, identity: LogIdentity, scheduler: Scheduler, retention: timedelta | None = None, slow: int | None = None
    ) -> None:
        super().__init__(identity, scheduler.clock, retention)
        self._scheduler = scheduler
        self._slow = slow

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        self._reach("claim")
        self._scheduler.history.mark(RELAY_TAKEN)
        ends = super().take_over(after, epoch, nonce)
        self._answer("claim")
        return ends

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        self._reach("append")
        if self._strikes(PARTLY):
            super().append(records[: len(records) // 2])
            raise StoreUnavailable("The log has gone away in the middle of an append.")
        confirmed = self._append(records)
        if self._strikes(LOSES):
            self._lose(records[-1].stream)
        if self._slow is not None and self._strikes(LOSES_OLD):
            self._lose_old(records[0].stream)
        self._answer("append")
        return confirmed

    def request_resend(self, stream: Stream, number: int) -> None:
        self._scheduler.history.mark(ASKED_AGAIN)
        super().request_resend(stream, number)

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        self._reach("ends")
        return super().ends(streams)

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        self._reach("open")
        return _Reader(super().reader(starts), self)

    def reach(self, what: str) -> None:
        """A point at which the log may be out of reach."""
        self._reach(what)

    def note_stale(self) -> None:
        """A reader has met what is there under an older epoch."""
        self._scheduler.history.mark(STALE_READ)

    def strikes(self, kind: str) -> bool:
        """Whether this fault happens to the task that has its turn."""
        return self._strikes(kind)

    def _append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        """The append itself, with a note of what was special about it."""
        events = [record for record in records if record.kind in ("event", "void")]
        if any(record.number <= self.end(record.stream).number for record in events):
            self._scheduler.history.mark(SENT_AGAIN)
        try:
            confirmed = self._append_slowly(records)
        except LogFenced:
            self._scheduler.history.mark(RELAY_OVERTAKEN)
            raise
        if any(confirmed[record.stream] < record.number for record in events):
            self._scheduler.history.mark(LOST_IN_LOG)
        return confirmed

    def _append_slowly(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        """All at once, or in portions that readers see one after the other."""
        portion = self._slow or len(records)
        confirmed: dict[Stream, int] = {}
        broken: set[Stream] = set()
        for first in range(0, len(records), portion):
            if first:
                self._scheduler.sleep(SLOW_SECONDS)
            part = records[first : first + portion]
            last = {record.stream: record.number for record in part}
            for stream, number in super().append(part).items():
                if stream not in broken:
                    confirmed[stream] = number
                if number < last[stream]:
                    broken.add(stream)
        return confirmed

    def numbers(self) -> Mapping[Stream, int]:
        """How far each stream reaches."""
        with self._lock:
            return {stream: held.last_number for stream, held in self._held.items()}

    def go_back(self, numbers: Mapping[Stream, int]) -> None:
        """Lose all that came after it reached only so far."""
        for stream, end in self.numbers().items():
            self.lose(stream, range(numbers.get(stream, 0) + 1, end + 1))

    def _lose_old(self, stream: Stream) -> None:
        """Lose one record anywhere in a stream."""
        first, last = self.first_number(stream), self.end(stream).number
        if first < last:
            self.lose(stream, [first + self._scheduler.history.count % (last - first)])

    def maintain(self) -> None:
        before = self._version
        super().maintain()
        if self._version != before:
            self._scheduler.history.mark(DROPPED)

    def _reach(self, what: str) -> None:
        self._scheduler.point(f"log {what}")
        if self._strikes(UNREACHABLE):
            raise StoreUnavailable("The log is out of reach.")

    def _answer(self, what: str) -> None:
        if self._strikes(UNANSWERED):
            raise StoreUnavailable(f"The log has done a {what} and not said so.")
        self._scheduler.point(f"log {what} done")

    def _strikes(self, kind: str) -> bool:
        if self._scheduler.worker is None or not self._scheduler.faults.strikes(kind):
            return False
        self._scheduler.history.note(f"log: {kind}")
        return True

    def _lose(self, stream: Stream) -> None:
        """Lose the end of a stream, or what is just before its end."""
        last = self.end(stream).number
        first = max(last - LOST_RECORDS_MAX, 0) + 1
        self.lose(stream, list(range(first, last + last % 2)))


class _Reader:
    """Gives records again, or later."""

    def __init__(self, inner: LogReader, log: SimulatedLog) -> None:
        self._inner = inner
        self._log = log
        self._before: list[Record] = []

    def read(self, limit: int) -> Sequence[Record]:
        self._log.reach("read")
        if self._log.strikes(DELAY):
            return []
        if self._before and self._log.strikes(REPEAT):
            return self._before[:limit]
        self._before = list(self._inner.read(limit))
        return self._before

    def put_back(self, record: Record) -> None:
        self._log.note_stale()
        self._inner.put_back(record)

    def close(self) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
