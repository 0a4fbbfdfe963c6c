"""What the documents show of boundaries and contracts is what the code says."""

from __future__ import annotations

from pathlib import Path

from preterite.checks.report import rules_page
from preterite.cli.output import table
from preterite.describing.picture import svg
from preterite.describing.telling import tellings
from preterite.evolution import lock
from preterite.evolution.changes import rows
from retail.system import system

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_page_of_rules_is_made_from_the_rules() -> None:
    assert (DOCS / "reference" / "rules.md").read_text(encoding="utf-8") == rules_page()


def test_the_table_of_compatible_changes_is_what_is_judged() -> None:
    shown = table(["change of a field", "older readers", "stored events", "verdict"], [*rows()])

    assert shown in (DOCS / "how-to" / "change-contracts.md").read_text(encoding="utf-8")


def test_the_picture_of_the_partition_is_as_declared() -> None:
    assert (DOCS / "pictures" / "partition.svg").read_text(encoding="utf-8") == svg(system, tellings(system))


def test_the_contracts_of_the_shop_are_locked_as_they_are() -> None:
    assert lock.changes(system, lock.load(ROOT / lock.FILE)) == []
