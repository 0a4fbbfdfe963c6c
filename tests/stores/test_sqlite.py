"""The SQLite store passes the suite of all stores."""

from pathlib import Path

import pytest

from preterite import stores
from preterite.store import Database
from preterite.testing.conformance import StoreConformance


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return stores.connect(f"sqlite:///{tmp_path}/sales.sqlite")
