"""The suites that every store and every log must pass.

Subclass a suite in your tests, declare its abilities, and define its fixture.

    class TestMyLog(LogConformance):
        abilities = LogAbilities(survives_reopening=True, loses=None, ages=None)

        @pytest.fixture
        def open_log(self, tmp_path): ...

The tests of an ability that is not declared are skipped, with that reason.
"""

from preterite.testing.conformance.log import LogConformance
from preterite.testing.conformance.log_steps import LogAbilities
from preterite.testing.conformance.store import StoreConformance

__all__ = ["LogAbilities", "LogConformance", "StoreConformance"]
