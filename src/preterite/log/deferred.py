"""A log that is out of reach when a system is opened: opened later, when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from preterite.clock import Clock
from preterite.drivers.attempts import Attempts
from preterite.errors import StoreUnavailable
from preterite.log.contract import (
    ClockSetting,
    ComponentDatabases,
    Log,
    LogIdentity,
    LogReader,
    Record,
    Stream,
    StreamEnd,
)


class DeferredLog:
    """A log that is opened at its first use, and until then out of reach: every method raises `StoreUnavailable`.

    `connect` opens it, and is called again after a while if it raises that.
    """

    def __init__(self, connect: Callable[[], Log], clock: Clock, error: StoreUnavailable) -> None:
        self._connect = connect
        self._attempts = Attempts(clock, error)
        self._log: Log | None = None

    @property
    def identity(self) -> LogIdentity:
        return self._opened().identity

    @property
    def databases(self) -> ComponentDatabases:
        return self._opened().databases

    @property
    def promise(self) -> str:
        return self._opened().promise

    def take_over(self, after: Mapping[Stream, int], epoch: int, nonce: bytes) -> Mapping[Stream, StreamEnd]:
        return self._opened().take_over(after, epoch, nonce)

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        return self._opened().append(records)

    def end(self, stream: Stream) -> StreamEnd:
        return self._opened().end(stream)

    def ends(self, streams: Sequence[Stream]) -> Mapping[Stream, StreamEnd]:
        return self._opened().ends(streams)

    def first_number(self, stream: Stream) -> int:
        return self._opened().first_number(stream)

    def holes(self, stream: Stream, after: int, last: int) -> Sequence[range]:
        return self._opened().holes(stream, after, last)

    def fill(self, stream: Stream, numbers: range, reason: str) -> None:
        self._opened().fill(stream, numbers, reason)

    def continue_lost(self, system_id: UUID, dropped: Mapping[Stream, int]) -> bool:
        return self._opened().continue_lost(system_id, dropped)

    def request_resend(self, stream: Stream, number: int) -> None:
        self._opened().request_resend(stream, number)

    def resend_requests(self, publisher: str) -> Mapping[Stream, int]:
        return self._opened().resend_requests(publisher)

    def reader(self, starts: Mapping[Stream, int]) -> LogReader:
        return self._opened().reader(starts)

    def version(self) -> int:
        return self._opened().version()

    def fileno(self) -> int | None:
        return None if self._log is None else self._log.fileno()

    def clock_setting(self) -> ClockSetting:
        return self._opened().clock_setting()

    def set_clock(self, setting: ClockSetting) -> None:
        self._opened().set_clock(setting)

    def wal_bytes(self) -> int:
        return 0 if self._log is None else self._log.wal_bytes()

    def maintain(self) -> None:
        self._opened().maintain()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _opened(self) -> Log:
        if self._log is None:
            self._attempts.run(self._open)
        assert self._log is not None, "an attempt that has not raised has opened it"
        return self._log

    def _open(self) -> None:
        if self._log is None:
            self._log = self._connect()


def open_or_defer(connect: Callable[[], Log], clock: Clock) -> Log:
    """The log that `connect` opens, or, where it is out of reach, one that is opened when it is used."""
    try:
        return connect()
    except StoreUnavailable as error:
        return DeferredLog(connect, clock, error)
