"""The partition as an SVG diagram: publishers with their events on the left, subscribers on the right."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from preterite.describing.flows import Flow, ObservedFlows
from preterite.system import System

WIDTH, LEFT, RIGHT, BOX_WIDTH = 900, 20, 640, 240
ROW, HEAD, GAP, TOP = 26, 34, 22, 64
COLOURS = ("#3b6ea5", "#b0572d", "#4b8b3b", "#8a4f9e", "#a08020", "#2f8f8f", "#a03c5c", "#5c6bc0")
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1d2530}.title{font-weight:600;font-size:15px}
.small{font-size:11px;fill:#5a6573}
.box{fill:#fff;stroke:#8b96a5}.line{fill:none;stroke-width:1.8}.unsubscribed{fill:#6b7685;font-style:italic}
.unseen{stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){text{fill:#e4e8ee}.small{fill:#9aa5b4}.box{fill:#1b222c;stroke:#5a6573}
.unsubscribed{fill:#98a3b2}}
"""


class _Row(NamedTuple):
    y: float
    colour: str


def svg(system: System, flows: Sequence[Flow], observed: ObservedFlows | None = None) -> str:
    """One diagram; with `observed`, lines of events that the log does not contain are dashed."""
    names = [component.name for component in system.components]
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts: list[str] = []
    rows: dict[str, _Row] = {}
    y = float(TOP)
    for name in names:
        published = [flow for flow in flows if flow.publisher == name]
        height = HEAD + max(len(published), 1) * ROW
        parts += _box(LEFT, y, height, name, colours[name])
        if not published:
            parts.append(f'<text class="unsubscribed" x="{LEFT + 14}" y="{y + HEAD + 15:.0f}">publishes nothing</text>')
        for place, flow in enumerate(published):
            row = y + HEAD + place * ROW + 10
            rows[flow.shape.name] = _Row(row, colours[name])
            parts.append(_event(flow, row, observed))
        y += height + GAP
    bottom = y
    centres = _centres(names, bottom)
    lines = [
        _line(rows[flow.shape.name], centres[subscriber], flow, subscriber, observed)
        for flow in flows
        for subscriber in flow.subscribers
    ]
    for name in names:
        count = sum(1 for flow in flows if name in flow.subscribers)
        text = f"subscribes to {count} {'event' if count == 1 else 'events'}"
        parts += _box(RIGHT, centres[name] - 22, 44, name, colours[name], text if count else "subscribes to nothing")
    title = f"{system.name}: events between components"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom:.0f}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE.strip()}</style>'
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>'
        f'<text class="small" x="{LEFT}" y="48">{_legend(observed)}</text>'
    )
    return "\n".join([head, *lines, *parts, "</svg>"]) + "\n"


def _legend(observed: ObservedFlows | None) -> str:
    text = "each component has its own database; events are the only connection; italics: no subscriber"
    if observed is None:
        return text
    return f"{text}; dashed: not in the log of {observed.events:,} {'event' if observed.events == 1 else 'events'}"


def _centres(names: Sequence[str], bottom: float) -> dict[str, float]:
    """The vertical centre of each subscriber: evenly spaced, in the order of the components."""
    step = (bottom - TOP) / max(len(names), 1)
    return {name: TOP + step * (place + 0.5) for place, name in enumerate(names)}


def _box(x: float, y: float, height: float, name: str, colour: str, text: str = "") -> list[str]:
    found = [
        f'<rect class="box" x="{x}" y="{y:.0f}" width="{BOX_WIDTH}" height="{height:.0f}" rx="8"/>',
        f'<rect x="{x}" y="{y:.0f}" width="6" height="{height:.0f}" rx="3" fill="{colour}"/>',
        f'<text class="title" x="{x + 16}" y="{y + 22:.0f}">{escape(name)}</text>',
    ]
    if text:
        found.append(f'<text class="small" x="{x + 16}" y="{y + 38:.0f}">{escape(text)}</text>')
    return found


def _event(flow: Flow, y: float, observed: ObservedFlows | None) -> str:
    count = "" if observed is None else f" · {observed.counts.get(flow.shape.name, 0):,}"
    unsubscribed = "" if flow.subscribers else ' class="unsubscribed"'
    title = f"<title>{escape(flow.summary)}</title>"
    return f'<text{unsubscribed} x="{LEFT + 16}" y="{y + 5:.0f}">{escape(flow.name)}{count}{title}</text>'


def _line(start: _Row, end: float, flow: Flow, subscriber: str, observed: ObservedFlows | None) -> str:
    x1, x2 = LEFT + BOX_WIDTH, RIGHT
    middle = (x1 + x2) / 2
    unseen = " unseen" if observed is not None and not observed.counts.get(flow.shape.name) else ""
    return (
        f'<path class="line{unseen}" stroke="{start.colour}" '
        f'd="M{x1} {start.y:.0f}C{middle:.0f} {start.y:.0f} {middle:.0f} {end:.0f} {x2} {end:.0f}">'
        f"<title>{escape(flow.publisher)} publishes {escape(flow.name)} to {escape(subscriber)}</title></path>"
    )
