"""The partition as a Mermaid diagram, and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from preterite.describing.flows import Flow, ObservedFlows
from preterite.describing.svg import svg
from preterite.evolution.shapes import type_text
from preterite.system import System

STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8b96a555}
code{font-size:.9em}svg{width:100%;height:auto}.note{opacity:.75}h2{margin-top:2.5rem}
"""


def mermaid(system: System, flows: Sequence[Flow], observed: ObservedFlows | None = None) -> str:
    """A flowchart; with `observed`, events that the log does not contain are dotted."""
    lines = ["flowchart LR"]
    lines += [f'    {_node(component.name)}["{component.name}"]' for component in system.components]
    for flow in flows:
        seen = observed is None or observed.counts.get(flow.shape.name)
        for subscriber in flow.subscribers:
            arrow = f"-- {flow.name} -->" if seen else f"-. {flow.name} .->"
            lines.append(f"    {_node(flow.publisher)} {arrow} {_node(subscriber)}")
    return "\n".join(lines) + "\n"


def html(system: System, flows: Sequence[Flow], observed: ObservedFlows | None = None) -> str:
    """One page: the diagram, and every event with its fields and subscribers."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(system.name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE.strip()}</style></head><body><main>',
        f"<h1>{escape(system.name)}</h1>",
        svg(system, flows, observed),
    ]
    if observed is not None:
        parts.append(_observation(flows, observed))
    for flow in flows:
        parts.append(_event(flow, observed))
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _node(name: str) -> str:
    return name.replace("-", "_")


def _observation(flows: Sequence[Flow], observed: ObservedFlows) -> str:
    scope = "the whole log" if observed.is_complete else "the first part of the log"
    never = [flow.name for flow in flows if not observed.counts.get(flow.shape.name)]
    undeclared = observed.undeclared(flows)
    text = f"Events in {scope}: {observed.events:,}."
    if never:
        text += f" Not in the log: {', '.join(never)}."
    if undeclared:
        text += f" In the log, but not declared: {', '.join(undeclared)}."
    return f'<p class="note">{escape(text)}</p>'


def _event(flow: Flow, observed: ObservedFlows | None) -> str:
    subscribers = ", ".join(f"{name} ({', '.join(handlers)})" for name, handlers in flow.subscribers.items()) or "none"
    count = "" if observed is None else f", {observed.counts.get(flow.shape.name, 0):,} in the log"
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(type_text(field.type))}</td>"
        f"<td>{'key' if name == flow.shape.key else ''}</td><td>{'optional' if field.optional else ''}</td></tr>"
        for name, field in flow.shape.fields.items()
    )
    return (
        f'<section><h2 id="{escape(flow.shape.name)}">{escape(flow.name)}</h2><p>{escape(flow.summary)}</p>'
        f"<p>Published by {escape(flow.publisher)} as <code>{escape(flow.shape.name)}</code> "
        f"version {flow.shape.version}{count}. Subscribers: {escape(subscribers)}.</p>"
        "<table><thead><tr><th>field</th><th>type</th><th></th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )
