"""Checks of the whole partition: code, SQL, declarations, rights, events, and what ran. Needs `preterite[check]`."""

from __future__ import annotations

from collections.abc import Mapping

from preterite.checks.code import check_code, read_code
from preterite.checks.data import check_data
from preterite.checks.events import check_events
from preterite.checks.findings import Finding, in_order
from preterite.checks.partition import Partition
from preterite.system import System

__all__ = ["Finding", "check"]


def check(system: System, urls: Mapping[str, str]) -> list[Finding]:
    """Everything that can be seen without running anything; opens nothing. `urls` say where databases are."""
    partition = Partition(system, urls)
    code = read_code(partition)
    return in_order([*check_code(partition, code), *check_data(partition, code), *check_events(partition)])
