"""The partition as a picture: on the left who tells what, on the right who hears it, and nothing else between them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from preterite.describing.telling import Observed, Told
from preterite.system import System

WIDTH, LEFT, RIGHT, BOX_WIDTH = 900, 20, 640, 240
ROW, HEAD, GAP, TOP = 26, 34, 22, 64
COLOURS = ("#3b6ea5", "#b0572d", "#4b8b3b", "#8a4f9e", "#a08020", "#2f8f8f", "#a03c5c", "#5c6bc0")
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1d2530}.title{font-weight:600;font-size:15px}
.small{font-size:11px;fill:#5a6573}
.box{fill:#fff;stroke:#8b96a5}.line{fill:none;stroke-width:1.8}.unheard{fill:#6b7685;font-style:italic}
.unseen{stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){text{fill:#e4e8ee}.small{fill:#9aa5b4}.box{fill:#1b222c;stroke:#5a6573}
.unheard{fill:#98a3b2}}
"""


class _Row(NamedTuple):
    y: float
    colour: str


def svg(system: System, told: Sequence[Told], observed: Observed | None = None) -> str:
    """One picture. Where something was observed, lines that nothing has flowed along are dashed."""
    names = [component.name for component in system.components]
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts: list[str] = []
    rows: dict[str, _Row] = {}
    y = float(TOP)
    for name in names:
        mine = [one for one in told if one.publisher == name]
        height = HEAD + max(len(mine), 1) * ROW
        parts += _box(LEFT, y, height, name, colours[name])
        if not mine:
            parts.append(f'<text class="unheard" x="{LEFT + 14}" y="{y + HEAD + 15:.0f}">tells nothing</text>')
        for place, one in enumerate(mine):
            row = y + HEAD + place * ROW + 10
            rows[one.shape.name] = _Row(row, colours[name])
            parts.append(_event(one, row, observed))
        y += height + GAP
    bottom = y
    ears = _ears(names, told, bottom)
    lines = [_line(rows[one.shape.name], ears[heard], one, heard, observed) for one in told for heard in one.heard_by]
    for name in names:
        heard = sum(1 for one in told if name in one.heard_by)
        parts += _box(RIGHT, ears[name] - 22, 44, name, colours[name], f"hears {heard}" if heard else "hears nothing")
    title = f"{system.name}: who tells whom what"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom:.0f}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE.strip()}</style>'
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>'
        f'<text class="small" x="{LEFT}" y="48">{_says(observed)}</text>'
    )
    return "\n".join([head, *lines, *parts, "</svg>"]) + "\n"


def _says(observed: Observed | None) -> str:
    says = "each component has a database of its own; only events cross; in italics: heard by nobody"
    return says if observed is None else f"{says}; dashed: never seen in {observed.events:,} events"


def _ears(names: Sequence[str], told: Sequence[Told], bottom: float) -> dict[str, float]:
    """Where each hearing component stands: evenly, in the order of the components."""
    step = (bottom - TOP) / max(len(names), 1)
    return {name: TOP + step * (place + 0.5) for place, name in enumerate(names)}


def _box(x: float, y: float, height: float, name: str, colour: str, says: str = "") -> list[str]:
    found = [
        f'<rect class="box" x="{x}" y="{y:.0f}" width="{BOX_WIDTH}" height="{height:.0f}" rx="8"/>',
        f'<rect x="{x}" y="{y:.0f}" width="6" height="{height:.0f}" rx="3" fill="{colour}"/>',
        f'<text class="title" x="{x + 16}" y="{y + 22:.0f}">{escape(name)}</text>',
    ]
    if says:
        found.append(f'<text class="small" x="{x + 16}" y="{y + 38:.0f}">{escape(says)}</text>')
    return found


def _event(one: Told, y: float, observed: Observed | None) -> str:
    seen = "" if observed is None else f" · {observed.counts.get(one.shape.name, 0):,}"
    unheard = "" if one.heard_by else ' class="unheard"'
    says = f"<title>{escape(one.says)}</title>"
    return f'<text{unheard} x="{LEFT + 16}" y="{y + 5:.0f}">{escape(one.name)}{seen}{says}</text>'


def _line(start: _Row, end: float, one: Told, heard: str, observed: Observed | None) -> str:
    x1, x2 = LEFT + BOX_WIDTH, RIGHT
    middle = (x1 + x2) / 2
    unseen = " unseen" if observed is not None and not observed.counts.get(one.shape.name) else ""
    return (
        f'<path class="line{unseen}" stroke="{start.colour}" '
        f'd="M{x1} {start.y:.0f}C{middle:.0f} {start.y:.0f} {middle:.0f} {end:.0f} {x2} {end:.0f}">'
        f"<title>{escape(one.publisher)} tells {escape(heard)}: {escape(one.name)}</title></path>"
    )
