"""The partition as texts: a Mermaid diagram, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from preterite.describing.picture import svg
from preterite.describing.telling import Observed, Told
from preterite.evolution.shapes import shown
from preterite.system import System

STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8b96a555}
code{font-size:.9em}svg{width:100%;height:auto}.note{opacity:.75}h2{margin-top:2.5rem}
"""


def mermaid(system: System, told: Sequence[Told], observed: Observed | None = None) -> str:
    """A flowchart; where something was observed, what never flowed is dotted."""
    lines = ["flowchart LR"]
    lines += [f'    {_node(component.name)}["{component.name}"]' for component in system.components]
    for one in told:
        seen = observed is None or observed.counts.get(one.shape.name)
        for heard in one.heard_by:
            arrow = f"-- {one.name} -->" if seen else f"-. {one.name} .->"
            lines.append(f"    {_node(one.publisher)} {arrow} {_node(heard)}")
    return "\n".join(lines) + "\n"


def html(system: System, told: Sequence[Told], observed: Observed | None = None) -> str:
    """One page: the picture, every event with its fields, and what each component hears."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(system.name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE.strip()}</style></head><body><main>',
        f"<h1>{escape(system.name)}</h1>",
        svg(system, told, observed),
    ]
    if observed is not None:
        parts.append(_seen(told, observed))
    for one in told:
        parts.append(_event(one, observed))
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _node(name: str) -> str:
    return name.replace("-", "_")


def _seen(told: Sequence[Told], observed: Observed) -> str:
    scope = "all that the log holds" if observed.whole else f"the first {observed.events:,} events of the log"
    never = [one.name for one in told if not observed.counts.get(one.shape.name)]
    strange = observed.undeclared(list(told))
    said = f"Observed in {scope}: {observed.events:,} events."
    if never:
        said += f" Never seen: {', '.join(never)}."
    if strange:
        said += f" Seen, and declared by nobody: {', '.join(strange)}."
    return f'<p class="note">{escape(said)}</p>'


def _event(one: Told, observed: Observed | None) -> str:
    heard = ", ".join(f"{name} ({', '.join(handlers)})" for name, handlers in one.heard_by.items()) or "nobody yet"
    seen = "" if observed is None else f", seen {observed.counts.get(one.shape.name, 0):,} times"
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(shown(field.type))}</td>"
        f"<td>{'key' if name == one.shape.key else ''}</td><td>{'may be missing' if field.optional else ''}</td></tr>"
        for name, field in one.shape.fields.items()
    )
    return (
        f'<section><h2 id="{escape(one.shape.name)}">{escape(one.name)}</h2><p>{escape(one.says)}</p>'
        f"<p>{escape(one.publisher)} tells it, as <code>{escape(one.shape.name)}</code> "
        f"version {one.shape.version}{seen}. Heard by {escape(heard)}.</p>"
        "<table><thead><tr><th>field</th><th>type</th><th></th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )
