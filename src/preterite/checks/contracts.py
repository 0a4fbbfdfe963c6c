"""Rules about contracts: incompatible changes since `contracts.lock` was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from preterite.checks.findings import Finding, Place, place_of
from preterite.checks.partition import Partition
from preterite.evolution.lock import Change, changes, load


def check_contracts(partition: Partition, file: Path) -> Iterator[Finding]:
    """A finding for each incompatibility of each change."""
    locked = load(file)
    if locked.system != partition.system.name:
        return
    for change in changes(partition.system, locked):
        component, place = _owner(partition, change, file)
        for one in change.all_problems:
            what = f"{change.name}.{one.field}" if one.field else change.name
            yield Finding(one.rule, component, what, "change", f"{change.name}: {one.message}", place)


def _owner(partition: Partition, change: Change, file: Path) -> tuple[str, Place]:
    for component in partition.system.components:
        for event, published in component.published.items():
            if published.wire_name == change.name:
                return component.name, place_of(event)
    return change.name.partition(".")[0], Place(file)
