"""Steps that the tests of the conformance suite of logs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol
from uuid import UUID, uuid5

from preterite.log.contract import Log, LogIdentity, LogReader, Record, Stream

SYSTEM = LogIdentity("shop", UUID(int=1), 8)
SALES = Stream("sales", 0)
OTHER = Stream("sales", 1)
_IDS = UUID(int=7)


class OpenLog(Protocol):
    """Opens the same log again at each call; the fixture closes them all."""

    def __call__(self, identity: LogIdentity = SYSTEM, retention: timedelta | None = None) -> Log: ...


@dataclass(frozen=True)
class LogAbilities:
    """What a log can do beyond what every log must do."""

    survives_reopening: bool
    """Whether another process that opens the log reads what was appended."""
    loses: Callable[[Log, Stream, Sequence[int]], None] | None
    """Deletes these numbers from the log, where a test can do that; else None."""
    ages: Callable[[Log, Stream, Sequence[int]], None] | None
    """Makes the records under these numbers older than an hour, where a test can do that; else None."""


def event(number: int, *, stream: Stream = SALES, epoch: int = 1, of: str = "", body: bytes = b"{}") -> Record:
    """A record; its id follows from stream, number and `of`."""
    return Record(stream, "event", epoch, number, uuid5(_IDS, f"{stream}/{number}/{of}").bytes, body)


def events(first: int, last: int, *, stream: Stream = SALES, epoch: int = 1) -> list[Record]:
    """The records with these numbers."""
    return [event(number, stream=stream, epoch=epoch) for number in range(first, last + 1)]


def head(number: int, *, epoch: int = 1) -> Record:
    """A head: it records how far the stream reaches."""
    return Record(SALES, "head", epoch, number, event(number).event_id, b"")


def read_all(reader: LogReader, limit: int = 100) -> list[Record]:
    """Every record that a reader returns until the end of the log."""
    found: list[Record] = []
    while some := reader.read(limit):
        found += some
    return found


def numbers(records: Sequence[Record], kind: Literal["event", "void", "head"] = "event") -> list[int]:
    """The numbers of the records of one kind."""
    return [record.number for record in records if record.kind == kind]
