"""Rules about contracts: what has changed since it was locked, where somebody could not read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from preterite.checks.findings import Finding, Place, place_of
from preterite.checks.partition import Partition
from preterite.evolution.lock import Change, changes, load


def check_contracts(partition: Partition, file: Path) -> Iterator[Finding]:
    """A finding for each fault of each change."""
    locked = load(file)
    if locked.system != partition.system.name:
        return
    for change in changes(partition.system, locked):
        component, place = _owner(partition, change, file)
        faults = [*change.faults, *(fault for verdict in change.verdicts for _, fault in verdict.faults)]
        for fault in faults:
            what = f"{change.name}.{fault.field}" if fault.field else change.name
            yield Finding(fault.rule, component, what, "change", f"{change.name}: {fault.sentence}", place)


def _owner(partition: Partition, change: Change, file: Path) -> tuple[str, Place]:
    for component in partition.system.components:
        for event, published in component.published.items():
            if published.wire_name == change.name:
                return component.name, place_of(event)
    return change.name.partition(".")[0], Place(file)
