"""A log that is out of reach when it is opened: every method says so, until it is opened at its use."""

from __future__ import annotations

from uuid import UUID

import pytest

from preterite.clock import SystemClock
from preterite.drivers.attempts import OPEN_SECONDS_MIN
from preterite.errors import StoreUnavailable, WrongLog
from preterite.log.contract import Log, LogIdentity, Record, Stream
from preterite.log.deferred import DeferredLog, open_or_defer
from preterite.log.memory import MemoryLog

IDENTITY = LogIdentity("shop", UUID(int=1), 8)
STREAM = Stream("sales", 0)


class SteppingClock(SystemClock):
    """Machine time that a test moves."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


class Reach:
    """A log that is in reach or not."""

    def __init__(self) -> None:
        self.there = False
        self.log = MemoryLog(IDENTITY, SystemClock())

    def connect(self) -> Log:
        if not self.there:
            raise StoreUnavailable("no route to the log")
        return self.log


def test_a_log_in_reach_is_the_log_itself() -> None:
    reach = Reach()
    reach.there = True

    assert open_or_defer(reach.connect, SystemClock()) is reach.log


def test_it_raises_until_it_is_in_reach_and_then_is_that_log() -> None:
    clock, reach = SteppingClock(), Reach()
    log = open_or_defer(reach.connect, clock)
    record = Record(STREAM, "event", 1, 1, b"1", b"{}")
    for use in (
        lambda: log.identity,
        lambda: log.ends([STREAM]),
        lambda: log.append([record]),
        lambda: log.take_over({STREAM: 0}, 1, b"nonce"),
        log.version,
        log.clock_setting,
    ):
        with pytest.raises(StoreUnavailable, match="no route to the log"):
            use()
    reach.there = True
    clock.seconds += OPEN_SECONDS_MIN
    log.take_over({STREAM: 0}, 1, b"nonce")
    log.append([record])

    assert log.identity == IDENTITY
    assert reach.log.end(STREAM).number == log.end(STREAM).number == 1
    assert log.first_number(STREAM) == 1
    assert [one.number for one in log.reader({STREAM: 0}).read(10)] == [1]
    log.close()


def test_a_log_of_another_system_is_refused_whenever_it_is_found() -> None:
    def wrong() -> Log:
        raise WrongLog("another system's")

    with pytest.raises(WrongLog):
        open_or_defer(wrong, SystemClock())
    clock = SteppingClock()
    deferred = DeferredLog(wrong, clock, StoreUnavailable("no route"))
    clock.seconds += OPEN_SECONDS_MIN
    with pytest.raises(WrongLog):
        deferred.version()
    deferred.close()
