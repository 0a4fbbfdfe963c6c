"""The in-memory log: for tests and simulation. It keeps the same promises as any other, until the process ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from uuid import UUID

from preterite.clock import Clock
from preterite.errors import LogConflict, LogFenced, RecordRefused
from preterite.log.contract import (
    EMPTY,
    HOLES_MAX,
    MACHINE_TIME,
    NO_EVENT,
    RECORD_BYTES_MAX,
    ClockSetting,
    LogIdentity,
    LogReader,
    Record,
    Stream,
    StreamEnd,
)
from preterite.log.numbered import NumberedReader, Tail, prefixes, stream_by_stream, until_full


@dataclass
class _Held:
    records: dict[int, Record] = field(default_factory=dict[int, Record])
    appended_at: dict[int, float] = field(default_factory=dict[int, float])
    epoch: int = 0
    last_number: int = 0
    forgotten: int = 0
    head: Record | None = None


class MemoryDatabases:
    """Which database is each component's, in a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, UUID] = {}

    def of(self, component: str) -> UUID | None:
        return self._ids.get(component)

    def bind(self, component: str, database_id: UUID) -> UUID:
        with self._lock:
            return self._ids.setdefault(component, database_id)

    def replace(self, component: str, database_id: UUID) -> None:
        with self._lock:
            self._ids[component] = database_id


class MemoryLog:
    """Streams in dictionaries, behind one lock."""

    def __init__(self, identity: LogIdentity, clock: Clock, retention: timedelta | None = None) -> None:
        self.identity = identity
        self.databases = MemoryDatabases()
        self._retention = retention
        self._machine = clock
        self.promise = "in memory: what was appended is gone when the process ends"
        self._lock = threading.Lock()
        self._held: dict[Stream, _Held] = {}
        self._requested: dict[Stream, int] = {}
        self._version = 0
        self._clock = MACHINE_TIME

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        with self._lock:
            for stream in after:
                held = self._held.setdefault(stream, _Held())
                if held.epoch >= epoch:
                    raise LogFenced(str(stream), held.epoch)
            for stream in after:
                self._held[stream].epoch = epoch
            return {stream: self._readable_end(self._held[stream], number) for stream, number in after.items()}

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        with self._lock:
            for record in records:
                self._check(record)
            before = {record.stream: self._held.setdefault(record.stream, _Held()).last_number for record in records}
            for record in records:
                held = self._held.setdefault(record.stream, _Held())
                held.epoch = max(held.epoch, record.epoch)
                if record.kind == "head":
                    held.head = record
                elif record.kind != "claim":
                    held.records[record.number] = record
                    held.appended_at.setdefault(record.number, self._machine.wall())
                    held.last_number = max(held.last_number, record.number)
            self._version += 1
        return prefixes([record for record in records if record.kind in ("event", "void")], before)

    def _check(self, record: Record) -> None:
        held = self._held.get(record.stream)
        if len(record.body) > RECORD_BYTES_MAX:
            raise RecordRefused(
                record.stream, record.number, f"{len(record.body):,} bytes; at most {RECORD_BYTES_MAX:,}"
            )
        if held is None:
            return
        if held.epoch > record.epoch:
            raise LogFenced(str(record.stream), held.epoch)
        there = held.records.get(record.number)
        if record.kind in ("event", "void") and there is not None and there.event_id != record.event_id:
            raise LogConflict(
                f"Another event stands under number {record.number} of {record.stream}; nothing was appended."
            )

    def end(self, stream: Stream) -> StreamEnd:
        with self._lock:
            held = self._held.get(stream)
            if held is None:
                return EMPTY
            last = held.records.get(held.last_number)
            return StreamEnd(held.last_number, last.event_id if last else b"", held.epoch)

    def _readable_end(self, held: _Held, after: int) -> StreamEnd:
        number = max(after, held.forgotten)
        while number + 1 in held.records:
            number += 1
        return StreamEnd(number, held.records[number].event_id if number in held.records else b"", held.epoch)

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        return {stream: self.end(stream) for stream in streams}

    def first_number(self, stream: Stream) -> int:
        with self._lock:
            held = self._held.get(stream)
            return 1 if held is None else held.forgotten + 1

    def holes(self, stream: Stream, after: int, last: int) -> Sequence[range]:
        with self._lock:
            held = self._held.get(stream, _Held())
            beyond = [number for number in sorted(held.records) if after < number <= last]
        ends = zip([after, *beyond], [*beyond, last + 1], strict=True)
        return [range(before + 1, number) for before, number in ends if number > before + 1][:HOLES_MAX]

    def fill(self, stream: Stream, numbers: range, reason: str) -> None:
        with self._lock:
            held = self._held.setdefault(stream, _Held())
            later = min((number for number in held.records if number > numbers[-1]), default=None)
            epoch = held.epoch if later is None else held.records[later].epoch
            for number in numbers:
                void = Record(stream, "void", epoch, number, NO_EVENT, reason.encode())
                held.records.setdefault(number, void)
                held.appended_at.setdefault(number, self._machine.wall())
            held.last_number = max(held.last_number, numbers[-1])
            self._version += 1

    def continue_lost(self, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
        with self._lock:
            if any(held.last_number for held in self._held.values()):
                return False
            self.identity = replace(self.identity, system_id=system_id)
            for stream, number in dropped.items():
                held = self._held.setdefault(stream, _Held())
                held.last_number = held.forgotten = number
            return True

    def request_resend(self, stream: Stream, number: int) -> None:
        with self._lock:
            self._requested[stream] = min(number, self._requested.get(stream, number))

    def resend_requests(self, publisher: str) -> Mapping[Stream, int]:
        with self._lock:
            found = {stream: number for stream, number in self._requested.items() if stream.publisher == publisher}
            self._requested = {stream: number for stream, number in self._requested.items() if stream not in found}
            return found

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        return NumberedReader(starts, stream_by_stream(self._tails, self._fetch), self.version, lambda: None)

    def version(self) -> int:
        return self._version

    def fileno(self) -> int | None:
        return None

    def clock_setting(self) -> ClockSetting:
        return self._clock

    def set_clock(self, setting: ClockSetting) -> None:
        self._clock = setting
        self._version += 1

    def wal_bytes(self) -> int:
        return 0

    def maintain(self) -> None:
        if self._retention is None:
            return
        before = self._machine.wall() - self._retention.total_seconds()
        with self._lock:
            for held in self._held.values():
                if self._forget(held, before):
                    self._version += 1

    def close(self) -> None:
        pass

    def _forget(self, held: _Held, before: float) -> bool:
        """Drop a stream's first records, up to the first that was appended later; whether there were any."""
        kept = len(held.records)
        for number in sorted(held.records):
            if held.appended_at[number] >= before:
                break
            del held.records[number], held.appended_at[number]
            held.forgotten = max(held.forgotten, number)
        return len(held.records) < kept

    def lose(self, stream: Stream, numbers: Sequence[int]) -> None:
        """Lose these records, as a broker without fsync may: for tests of what is noticed."""
        with self._lock:
            held = self._held[stream]
            for number in numbers:
                held.records.pop(number, None)
                held.appended_at.pop(number, None)
            self._version += 1
            held.last_number = max([held.forgotten, *held.records])

    def age(self, stream: Stream, numbers: Sequence[int]) -> None:
        """Let these records be older than any retention: for tests of what is dropped."""
        with self._lock:
            for number in numbers:
                self._held[stream].appended_at[number] = float("-inf")

    def arrive_late(self, record: Record) -> None:
        """Take a record without checking its epoch, as a log that cannot refuse an overtaken writer does."""
        with self._lock:
            held = self._held[record.stream]
            held.records[record.number] = record
            held.appended_at[record.number] = self._machine.wall()
            held.last_number = max(held.last_number, record.number)
            self._version += 1

    def _tails(self) -> Mapping[Stream, Tail]:
        with self._lock:
            return {stream: Tail(held.last_number, held.head) for stream, held in self._held.items()}

    def _fetch(self, stream: Stream, after: int, limit: int, limit_bytes: int) -> Sequence[Record]:
        with self._lock:
            records = self._held[stream].records
            present = (n for n in range(after + 1, self._held[stream].last_number + 1) if n in records)
            return until_full((records[number] for number in islice(present, limit)), limit_bytes)
