"""Checks of the whole partition: code, SQL, declarations, rights, events, and what ran. Needs `preterite[check]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preterite.checks.code import check_code, read_code
from preterite.checks.contracts import check_contracts
from preterite.checks.data import check_data
from preterite.checks.events import check_events
from preterite.checks.findings import Finding, in_order
from preterite.checks.partition import Partition
from preterite.system import System

__all__ = ["Finding", "check"]


def check(system: System, urls: Mapping[str, str], contracts: Path | None = None) -> list[Finding]:
    """Everything that can be seen without running anything; opens nothing.

    `urls` say where databases are, `contracts` is the file that events are locked in, if they are.
    """
    partition = Partition(system, urls)
    code = read_code(partition)
    found = [*check_code(partition, code), *check_data(partition, code), *check_events(partition)]
    if contracts is not None and contracts.exists():
        found += check_contracts(partition, contracts)
    return in_order(found)
