"""The in-memory log passes the suite of all logs."""

from datetime import timedelta

import pytest
from support.lossy_logs import age, lose

from preterite.clock import SystemClock
from preterite.log.contract import Log, LogIdentity
from preterite.log.memory import MemoryLog
from preterite.testing.conformance import LogAbilities, LogConformance
from preterite.testing.conformance.log_steps import SYSTEM, OpenLog


class TestMemoryLog(LogConformance):
    abilities = LogAbilities(survives_reopening=False, loses=lose, ages=age)

    @pytest.fixture
    def open_log(self) -> OpenLog:
        def open_log(identity: LogIdentity = SYSTEM, retention: timedelta | None = None) -> Log:
            return MemoryLog(identity, SystemClock(), retention)

        return open_log
