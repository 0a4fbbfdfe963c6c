"""Checks of the partition: code, SQL, events, contracts, rights, and what runs. Needs `preterite[check]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preterite.drivers.extras import needing
from preterite.system import System

with needing("preterite check"):
    from preterite.checks.code.codebase import read_codebase
    from preterite.checks.code.imports import check_imports
    from preterite.checks.contracts import check_contracts
    from preterite.checks.events import check_events
    from preterite.checks.findings import Finding, in_order
    from preterite.checks.partition import Partition
    from preterite.checks.sql.access import check_table_access
    from preterite.checks.sql.databases import check_databases

__all__ = ["Finding", "check"]


def check(system: System, urls: Mapping[str, str], contracts: Path | None = None) -> list[Finding]:
    """Check everything that needs no running system; opens no database.

    `urls` are the components' databases, `contracts` is the path of `contracts.lock`.
    """
    partition = Partition(system, urls)
    codebase = read_codebase(partition)
    found = [
        *check_imports(partition, codebase),
        *check_table_access(partition, codebase),
        *check_databases(partition),
        *check_events(partition),
    ]
    if contracts is not None and contracts.exists():
        found += check_contracts(partition, contracts)
    return in_order(found)
