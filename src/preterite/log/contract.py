"""The log: durable, ordered, replayable streams that carry events from component to component.

A stream is (publishing component, partition). Its events are numbered 1, 2, 3 … without gaps by the
publisher. Records without a number of their own describe the stream: a *claim* records that a new writer
has taken over, a *head* records how far the stream reaches, a *void* fills the number of an event that cannot
be appended. A log only appends, and reads on from a position. Positions are hints; numbers decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from preterite.errors import StoreUnavailable

NO_EVENT = b""
HOLES_MAX = 1_000
"""Runs of missing numbers that a log reports at a time."""
RECORD_BYTES_MAX = 1024 * 1024
"""Size of a record in the log; a larger one is refused."""
READ_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of records that a reader holds of one read, besides the last record of each stream."""
NUMBER_DIGITS_MAX = 18
"""Digits of a number that a head states; more are not read."""

Kind = Literal["event", "void", "claim", "head", "command"]
"""A command is never in a log: it is a scheduled record of the component itself, handled like one of a stream."""


class Stream(NamedTuple):
    """The events of one partition of one publishing component."""

    publisher: str
    partition: int

    def __str__(self) -> str:
        return f"{self.publisher}/{self.partition}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a stream. A struct, because a busy worker makes many thousands a second.

    `number` is the event's or void's own number; of a head it is the last number given; of a claim it is 0.
    `body` is the envelope of an event, the reason of a void, the nonce of a claim, the `journal_start` of a head.
    """

    stream: Stream
    kind: Kind
    epoch: int
    number: int
    event_id: bytes
    body: bytes


stream_of: Callable[[Record], Stream] = attrgetter("stream")


def head(stream: Stream, epoch: int, last: int, last_id: bytes, first: int) -> Record:
    """A head: the last number given, the id under it, and the first number that its publisher can send again."""
    return Record(stream, "head", epoch, last, last_id, b"%d" % first)


def journal_start(head: Record) -> int:
    """The first number that the publisher can send again, as this head states; 0 where it states none."""
    return int(head.body) if head.body.isdigit() and len(head.body) <= NUMBER_DIGITS_MAX else 0


class StreamEnd(NamedTuple):
    """How far a stream reaches: its last number, the id under it, the newest epoch in it."""

    number: int
    event_id: bytes
    epoch: int


EMPTY = StreamEnd(0, NO_EVENT, 0)


class Cursor(NamedTuple):
    """How far a reader has come in a stream: the last number applied, the id under it, the epoch that wrote it."""

    number: int
    event_id: bytes
    epoch: int

    def at(self, record: Record) -> Cursor:
        """The cursor once this record is applied."""
        return Cursor(record.number, record.event_id, record.epoch)


class Verdict(StrEnum):
    """What a reader does with a record."""

    APPLY = "apply"
    PASS = "pass"
    REPEAT = "repeat"
    STALE = "stale"
    """Written under an older epoch than was read before. It is not taken, and nothing beyond it is."""
    GAP = "gap"
    GONE_BACK = "gone back"


def accept(cursor: Cursor, seen_epoch: int, record: Record) -> Verdict:
    """Decide what a record means to a reader at this cursor that has seen this epoch (protocol rules 3 to 5).

    The one place where this is decided: for live reading, for a new subscriber, and for a relay that takes over.
    """
    if record.epoch < seen_epoch:
        return Verdict.STALE
    if record.kind == "claim":
        return Verdict.PASS
    if record.number == cursor.number and cursor.event_id not in (NO_EVENT, record.event_id):
        return Verdict.GONE_BACK
    if record.kind == "head":
        if record.number > cursor.number:
            return Verdict.GAP
        # A cursor without an id stands where retention, or an operator, has put it: that may be newer than the head.
        is_known = cursor.event_id != NO_EVENT and record.epoch > cursor.epoch
        return Verdict.GONE_BACK if record.number < cursor.number and is_known else Verdict.PASS
    if record.number <= cursor.number:
        return Verdict.REPEAT
    return Verdict.APPLY if record.number == cursor.number + 1 else Verdict.GAP


def applied_in_a_row(cursor: Cursor, seen_epoch: int, records: Sequence[Record]) -> int:
    """How many of these records of one stream, from the first on, `accept` would apply one after the other.

    The same decision for the usual case, at a fraction of the cost; `accept` decides about what follows them.
    """
    number, epoch = cursor.number, seen_epoch
    for count, record in enumerate(records):
        number += 1
        if record.number != number or record.epoch < epoch or record.kind not in ("event", "void"):
            return count
        epoch = record.epoch
    return len(records)


ANY_SYSTEM = UUID(int=0)
"""The system id of who looks for a log that is there, and makes none."""


@dataclass(frozen=True)
class LogIdentity:
    """Whose log this is; made once, then compared at every start."""

    system: str
    system_id: UUID
    partitions: int


class NoLog(StoreUnavailable):
    """A log is not there, and is not to be made."""


def no_log(place: str) -> NoLog:
    """The error for a log that is not there and is not to be made."""
    return NoLog(
        f"There is no log {place}. It is made when the system is started for the first time; "
        "if it was lost: preterite recover new-log."
    )


class ClockSetting(NamedTuple):
    """Where a demo's business clock stands: still, at seconds since 1970, or so many seconds beside the machine's."""

    frozen_at: float | None
    offset_seconds: float


MACHINE_TIME = ClockSetting(None, 0.0)


class ComponentDatabases(Protocol):
    """Which database is a component's: the id that it was given when it was new. Each has one (protocol rule 22)."""

    def of(self, component: str) -> UUID | None:
        """The id of the component's database; `None` if it was never started on this log."""
        ...

    def bind(self, component: str, database_id: UUID) -> UUID:
        """Let this be the component's database unless there is one; return the id of the one that there is."""
        ...

    def replace(self, component: str, database_id: UUID) -> None:
        """Let this be the component's database from now on. By an operator's decision only."""
        ...


class LogReader(Protocol):
    """Reads a fixed set of streams onward, each from its own place. Used by one thread."""

    def read(self, limit: int) -> Sequence[Record]:
        """The next records of these streams, in the order of the log, at most `limit`; empty at the end."""
        ...

    def put_back(self, record: Record) -> None:
        """Read on before this record, the last one of its stream that was read in a row and cannot be taken as it is.

        It is read again once the log holds another one under its number, or the same one under another epoch.
        """
        ...

    def close(self) -> None:
        """Close what the reader holds open."""
        ...


class Log(Protocol):
    """What a log promises. All methods may be called from several threads at once.

    Every method raises `LogError` or `StoreUnavailable`; then nothing it was asked to write counts as
    written, though it may have been: writing it again with the same number and id changes nothing.
    """

    @property
    def identity(self) -> LogIdentity:
        """Whose log this is."""
        ...

    @property
    def databases(self) -> ComponentDatabases:
        """Which database is each component's."""
        ...

    @property
    def promise(self) -> str:
        """The promise that holds under the settings found, in one sentence."""
        ...

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        """Append a claim to each stream and return how far a reader would come up to it that begins after a number.

        What is missing up to that number is not looked for: its writer cannot send it again.
        Raises `LogFenced` with the newest epoch if that is not below the given one.
        """
        ...

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        """Append in order and return, per stream, the last number of the longest prefix that is durable.

        That is less than was appended where the log's end was lost: it ends before these records begin.
        A record that stands there already, with the same id, is not written twice; it carries the newer epoch then.
        Raises `LogConflict` on another id under the same number, `LogFenced` on an older epoch than the
        stream's, `RecordRefused` for a record that no repetition will get in.
        """
        ...

    def end(self, stream: Stream) -> StreamEnd:
        """The last number ever appended, whether or not all before it are still there, and the newest epoch."""
        ...

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        """The same for many streams at once."""
        ...

    def first_number(self, stream: Stream) -> int:
        """The number after the last one that retention has dropped. What is not there from here on was lost: a gap."""
        ...

    def holes(self, stream: Stream, after: int, last: int) -> Sequence[range]:
        """The numbers after the one and up to the other under which nothing stands: the first `HOLES_MAX` runs."""
        ...

    def fill(self, stream: Stream, numbers: range, reason: str) -> None:
        """Put a void under each of these numbers under which nothing stands, for ever (protocol rule 17).

        By an operator's decision only, and only for numbers that their publisher cannot send again. At most as many
        at a time as one append should hold.
        """
        ...

    def continue_lost(self, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
        """Let this log, which is empty, take the place of a lost one: its system's id, and streams that end there.

        `dropped` has the last number of each stream that its publisher cannot send again, as if retention had dropped
        it. By an operator's decision only. Returns false, and changes nothing, if any event was ever appended.
        """
        ...

    def request_resend(self, stream: Stream, number: int) -> None:
        """Hint to the publisher that this number is missing here; a hint may be lost (protocol rule 5)."""
        ...

    def resend_requests(self, publisher: str) -> Mapping[Stream, int]:
        """From which numbers on this publisher's streams were requested since this was last called."""
        ...

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        """Read these streams, each from the records after the given number onward."""
        ...

    def version(self) -> int:
        """A number that changes when any process has appended something, and seldom otherwise; a hint to wake up."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when `version` may have changed; `None` where `version` has to be polled."""
        ...

    def clock_setting(self) -> ClockSetting:
        """Where the business clock stands for all processes on this log; `MACHINE_TIME` if it was never set. Cheap."""
        ...

    def set_clock(self, setting: ClockSetting) -> None:
        """Set it for all processes on this log; they read it the next time."""
        ...

    def wal_bytes(self) -> int:
        """Size of the write-ahead log that readers may hold back beside a file; 0 where there is none."""
        ...

    def maintain(self) -> None:
        """Do the log's periodic work: checkpoints, retention. Cheap when there is nothing to do."""
        ...

    def close(self) -> None:
        """Close what is held open; what is in the log stays."""
        ...
