"""`preterite describe`: the declarations of a system, as text, diagrams and documents."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any, get_args, get_type_hints

from preterite.cli.application import Application, add_command, find
from preterite.cli.output import document, number_of, print_block, print_line
from preterite.component import Component
from preterite.contracts import Event, wire_name
from preterite.describing import asyncapi
from preterite.describing.flows import ObservedFlows, flows_of
from preterite.describing.html import html, mermaid
from preterite.describing.svg import svg
from preterite.envelope import from_bytes
from preterite.log.contract import Stream
from preterite.printing.urls import shown
from preterite.recoverability import Recoverability

HELP = """\
Print what each component publishes and handles, its database and its settings. Opens no database. --observed reads the
log, counts the events of each type, and shows the counts beside the declarations.

  preterite describe
  preterite describe --format svg > partition.svg           a diagram of publishers, events and subscribers
  preterite describe --format html --observed > shop.html   one self-contained page, with the contents of the log
  preterite describe --format asyncapi                      an AsyncAPI 3 document; mermaid, schemas and json too
"""
FORMATS = ("text", "json", "asyncapi", "schemas", "svg", "mermaid", "html")
OBSERVED_EVENTS_MAX = 1_000_000
"""Events of the log that `describe --observed` counts."""
READ_RECORDS = 1_000
"""Records that `describe --observed` reads from the log at a time."""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "describe", "print publishers, subscribers, databases and settings", HELP)
    parser.add_argument("--format", choices=FORMATS, default="text", help="output format; default: text")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--observed", action="store_true", help="read the log and count the events of each type")
    parser.set_defaults(command=describe)


def describe(options: argparse.Namespace) -> int:
    """Verify the declaration and print it."""
    application = find(options)
    application.system.verify(application.databases())
    observed = _observe(application) if options.observed else None
    if options.format == "text":
        _print(application, observed)
    elif options.format == "json":
        print_block(document(_whole_as_json(application, observed)))
    else:
        print_block(_document(application, options.format, observed).rstrip())
    return 0


def _document(application: Application, form: str, observed: ObservedFlows | None) -> str:
    system, flows = application.system, flows_of(application.system)
    if form == "asyncapi":
        return document(asyncapi.document(system, flows))
    if form == "schemas":
        return document({one.shape.name: asyncapi.schemas_of(one.event, one.shape.name) for one in flows})
    return {"svg": svg, "mermaid": mermaid, "html": html}[form](system, flows, observed)


def _observe(application: Application) -> ObservedFlows:
    """Count the events in the log by type."""
    system = application.system
    counts: Counter[str] = Counter()
    with application.log() as log:
        starts = {
            (stream := Stream(one.name, partition)): max(log.first_number(stream) - 1, 0)
            for one in system.components
            for partition in range(system.partitions)
        }
        reader = log.reader(starts)
        while counts.total() < OBSERVED_EVENTS_MAX and (records := reader.read(READ_RECORDS)):
            counts.update(from_bytes(record.body).type for record in records if record.kind == "event")
        reader.close()
    return ObservedFlows(counts, counts.total(), counts.total() < OBSERVED_EVENTS_MAX)


def _print(application: Application, observed: ObservedFlows | None) -> None:
    system = application.system
    subscribers = {one.event: one.subscribers for one in flows_of(system)}
    print_line(
        f"{system.name}: {number_of(len(system.components), 'component')}, {number_of(system.partitions, 'partition')}"
    )
    print_line(f"log {shown(application.log_url())}")
    for component in system.components:
        print_line()
        print_line(f"{component.name}  {shown(application.urls()[component.name])}")
        for event_type in component.publishes:
            name = wire_name(event_type, component.name)
            names = ", ".join(subscribers[event_type]) or "none"
            count = "" if observed is None else f"; {observed.counts.get(name, 0):,} in the log"
            print_line(f"  publishes {name} ({_fields(event_type)})")
            print_line(f"            key {event_type.__contract__.key or '(none)'}; subscribers: {names}{count}")
        for handler in component.handlers:
            lane = f", lane {handler.lane}" if handler.lane else ""
            what = f"every {handler.schedule}" if handler.schedule else handler.message_type.__name__
            print_line(f"  handles   {what} with {handler.name}{lane}")
        print_line(f"  retries   {_retries(application, component)}; time limit {component.time_limit_seconds:.0f} s")
    for name in observed.undeclared(flows_of(system)) if observed is not None else ():
        print_line()
        print_line(f"{name} is not declared; {observed.counts[name] if observed else 0:,} in the log")


def _fields(event_type: type[Event]) -> str:
    hints = get_type_hints(event_type)
    return ", ".join(f"{field}: {_type_text(hints[field])}" for field in event_type.__struct_fields__)


def _type_text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _retries(application: Application, component: Component) -> str:
    policy = component.recoverability or application.system.recoverability or Recoverability()
    return f"{policy.immediate_retries} immediate, {policy.delayed_retries} delayed, then a dead letter"


def _whole_as_json(application: Application, observed: ObservedFlows | None) -> dict[str, Any]:
    system = application.system
    components = [_as_json(application, component) for component in system.components]
    found = {"system": system.name, "log": shown(application.log_url()), "components": components}
    return found if observed is None else {**found, "observed": dict(observed.counts)}


def _as_json(application: Application, component: Component) -> dict[str, Any]:
    subscribers = {one.event: one.subscribers for one in flows_of(application.system)}
    return {
        "name": component.name,
        "database": shown(application.urls()[component.name]),
        "publishes": [
            {
                "type": wire_name(event_type, component.name),
                "version": event_type.__contract__.version,
                "key": event_type.__contract__.key,
                "fields": list(event_type.__struct_encode_fields__),
                "subscribers": list(subscribers[event_type]),
            }
            for event_type in component.publishes
        ],
        "handlers": [
            {
                "name": handler.name,
                "handles": handler.message_type.__name__,
                "schedule": None if handler.schedule is None else str(handler.schedule),
                "saga": None if handler.saga is None else handler.saga.__saga__.name,
                "lane": handler.lane or None,
            }
            for handler in component.handlers
        ],
        "time_limit_seconds": component.time_limit_seconds,
    }
