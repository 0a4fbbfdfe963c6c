"""Writes the kept figures into two documents and their pictures: `python -m benchmarks.report`.

Between `<!-- figures: NAME -->` and `<!-- end -->` a document holds the table of `benchmarks/results/NAME.json`, and
nothing else. Two tables are made from several results: `targets` and `expectations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import tables
from benchmarks.expectations import expectations_table
from benchmarks.parts import PARTS
from benchmarks.targets import targets_table

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENTS = (Path(__file__).parent / "README.md", DOCS / "benchmarks.md")
FIGURES = Path(__file__).parent / "results"
PICTURES = DOCS / "pictures"
BAR_HEIGHT, BAR_GAP, NAMES_WIDTH, BARS_WIDTH, VALUE_WIDTH = 22, 8, 290, 420, 90
_SECTION = re.compile(r"(<!-- figures: ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def keep(name: str, figures: Mapping[str, Any]) -> None:
    """Keep the figures of one measurement, and write the documents anew."""
    (FIGURES / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write()


def write() -> None:
    """Write tables and pictures from the figures that are kept."""
    PICTURES.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


def written() -> dict[Path, str]:
    """The documents and their pictures as the kept figures have them."""
    files = {PICTURES / f"{name}.svg": bars(title, values) for name, (title, values) in pictures().items()}
    return {**{path: _SECTION.sub(_filled, path.read_text(encoding="utf-8")) for path in DOCUMENTS}, **files}


def kept(name: str) -> dict[str, Any]:
    """The figures of one measurement."""
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


def _filled(found: re.Match[str]) -> str:
    name = found[2]
    if name in ACROSS:
        return f"{found[1]}{ACROSS[name](_kept_if_any)}{found[3]}"
    figures = _kept_if_any(name)
    table = "Not measured yet.\n" if figures is None else TABLES[name](figures)
    return f"{found[1]}{table}{found[3]}"


def _kept_if_any(name: str) -> dict[str, Any] | None:
    return kept(name) if (FIGURES / f"{name}.json").exists() else None


ACROSS: Mapping[str, Callable[[Callable[[str], Any]], str]] = {
    "expectations": expectations_table,
    "targets": targets_table,
}
TABLES: Mapping[str, Callable[[Any], str]] = {
    **{name: part.table for name, part in PARTS.items()},
    "crash": tables.crash,
    "mutants": tables.mutants,
    "restores": tables.restores,
    "storm": tables.storm,
    "worlds": tables.worlds,
}


def pictures() -> dict[str, tuple[str, dict[str, float]]]:
    """Every picture: its title and its bars."""
    peers, monolith = kept("alternatives"), kept("monolith")
    return {
        "peers-drained": (
            "Backlog drained, events per second, one handler per event over SQLAlchemy",
            {name: median(one["drained"]) for name, one in peers.items() if one["drained"] and one["live"]},
        ),
        "monolith": (
            "p99 of a purchase, milliseconds",
            {name: one["p99_ms"] for name, one in monolith.items()},
        ),
    }


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar for each value, as SVG that is read on light and on dark."""
    width = NAMES_WIDTH + BARS_WIDTH + VALUE_WIDTH
    height = 40 + len(values) * (BAR_HEIGHT + BAR_GAP)
    longest = max(values.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="sans-serif" font-size="14"><title>{escape(title)}</title>',
        "<style>text{fill:#222}rect{fill:#3b6ea5}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#7fb0e6}}</style>",
        f'<text x="0" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(values.items()):
        top = 34 + place * (BAR_HEIGHT + BAR_GAP)
        length = max(BARS_WIDTH * value / longest, 1.0)
        middle = top + BAR_HEIGHT * 0.7
        parts += [
            f'<text x="{NAMES_WIDTH - 8}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{NAMES_WIDTH}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}"/>',
            f'<text x="{NAMES_WIDTH + length + 6:.0f}" y="{middle:.0f}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    write()
