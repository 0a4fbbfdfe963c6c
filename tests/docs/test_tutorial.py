"""The tutorial as it stands: its files are written, and its commands run, in the order of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.documents import Reader

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.slow("processes")
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    _, project = page.split("## 1.")
    before, after = project.split("## 7.")
    try:
        reader.follow(before, compares=True)
        reader.stop()
        reader.follow(after, compares=True)
    finally:
        reader.stop()

    assert "NoPrice" in reader.printed[reader.ran.index("preterite dead-letters list")]
    assert reader.printed[-1] == "3 shipments\n"
