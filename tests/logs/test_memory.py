"""The in-memory log passes the suite of all logs."""

from collections.abc import Sequence

import pytest

from preterite.log.contract import Log, LogIdentity, Stream
from preterite.log.memory import MemoryLog
from preterite.testing.conformance import LogAbilities, LogConformance
from preterite.testing.conformance.log import SYSTEM, OpenLog


def lose(log: Log, stream: Stream, numbers: Sequence[int]) -> None:
    assert isinstance(log, MemoryLog)
    log.lose(stream, numbers)


class TestMemoryLog(LogConformance):
    abilities = LogAbilities(survives_reopening=False, loses=lose)

    @pytest.fixture
    def open_log(self) -> OpenLog:
        def open_log(identity: LogIdentity = SYSTEM) -> Log:
            return MemoryLog(identity)

        return open_log
