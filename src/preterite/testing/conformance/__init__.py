"""What every store and every log must pass. Subclass a suite in your tests, declare abilities, give the fixture.

    class TestMyLog(LogConformance):
        abilities = LogAbilities(survives_reopening=True, loses=False)

        @pytest.fixture
        def open_log(self, tmp_path): ...

An ability that is not declared shows as a skipped test with that reason; nothing is left out silently.
"""

from preterite.testing.conformance.log import LogAbilities, LogConformance
from preterite.testing.conformance.store import StoreConformance

__all__ = ["LogAbilities", "LogConformance", "StoreConformance"]
