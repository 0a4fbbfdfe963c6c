"""The documents about boundaries and contracts match the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from preterite.checks.report import rules_page
from preterite.cli.output import table
from preterite.describing.flows import ObservedFlows, flows_of
from preterite.describing.svg import svg
from preterite.evolution import lock
from preterite.evolution.compatibility_table import HEADER, rows
from retail.system import system

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_page_of_rules_is_generated_from_the_rules() -> None:
    assert (DOCS / "reference" / "rules.md").read_text(encoding="utf-8") == rules_page()


def test_the_table_of_changes_is_current() -> None:
    text = table([*HEADER], [*rows()])

    assert text in (DOCS / "how-to" / "change-contracts.md").read_text(encoding="utf-8")


def test_the_diagram_of_the_partition_is_current() -> None:
    assert (DOCS / "pictures" / "partition.svg").read_text(encoding="utf-8") == svg(system, flows_of(system))


@pytest.mark.parametrize(("count", "legend"), [(0, "log of 0 events"), (1, "log of 1 event<"), (2, "log of 2 events")])
def test_a_diagram_says_of_how_many_events_it_was_drawn(count: int, legend: str) -> None:
    assert legend in svg(system, flows_of(system), ObservedFlows({}, count, is_complete=True))


def test_the_contracts_of_the_shop_are_locked() -> None:
    assert lock.changes(system, lock.load(ROOT / lock.FILE)) == []
