"""`preterite describe`: what is declared and where it runs. Opens nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any, get_args, get_type_hints
from uuid import UUID

from preterite import logs
from preterite.cli.application import Application, add_command, find, shown
from preterite.cli.output import document
from preterite.clock import SystemClock
from preterite.component import Component
from preterite.contracts import Event, wire_name
from preterite.describing import asyncapi
from preterite.describing.page import html, mermaid
from preterite.describing.picture import svg
from preterite.describing.telling import Observed, tellings
from preterite.envelope import from_bytes
from preterite.log import LogIdentity, Stream
from preterite.recoverability import Recoverability

HELP = """\
Who publishes what, who listens, where the databases are, and which settings are in force. Opens nothing, but for the
log with --observed: then what really flowed is marked beside what is declared.

  preterite describe shop.system:system
  preterite describe --format svg > partition.svg        a picture of who tells whom what
  preterite describe --format html --observed > shop.html   a page of its own, with what the log holds
  preterite describe --format asyncapi                   an AsyncAPI 3 document; mermaid, schemas and json too
"""
FORMATS = ("text", "json", "asyncapi", "schemas", "svg", "mermaid", "html")
OBSERVED_EVENTS_MAX = 1_000_000
READ_RECORDS = 1_000


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "describe", "who tells whom what, and where", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--format", choices=FORMATS, default="text", help="as what (text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--observed", action="store_true", help="look into the log for what has really flowed")
    parser.set_defaults(command=describe)


def describe(options: argparse.Namespace) -> int:
    """Verify the declaration and print it."""
    application, _ = find([options.app] if options.app else [])
    application.system.verify(application.databases())
    observed = _observe(application) if options.observed else None
    if options.format == "text":
        _print(application, observed)
    elif options.format == "json":
        print(document(_whole_as_json(application, observed)))
    else:
        print(_document(application, options.format, observed).rstrip())
    return 0


def _document(application: Application, form: str, observed: Observed | None) -> str:
    system, told = application.system, tellings(application.system)
    if form == "asyncapi":
        return document(asyncapi.document(system, told))
    if form == "schemas":
        return document({one.shape.name: asyncapi.schemas_of(one.event, one.shape.name) for one in told})
    return {"svg": svg, "mermaid": mermaid, "html": html}[form](system, told, observed)


def _observe(application: Application) -> Observed:
    """Count what the log holds, by type."""
    system = application.system
    log = logs.connect(application.log_url(), LogIdentity(system.name, UUID(int=0), system.partitions), SystemClock())
    counts: Counter[str] = Counter()
    try:
        starts = {
            (stream := Stream(one.name, partition)): max(log.first_number(stream) - 1, 0)
            for one in system.components
            for partition in range(system.partitions)
        }
        reader = log.reader(starts)
        while counts.total() < OBSERVED_EVENTS_MAX and (records := reader.read(READ_RECORDS)):
            counts.update(from_bytes(record.body).type for record in records if record.kind == "event")
        reader.close()
    finally:
        log.close()
    return Observed(counts, counts.total(), counts.total() < OBSERVED_EVENTS_MAX)


def _print(application: Application, observed: Observed | None) -> None:
    system = application.system
    heard_by = {one.event: one.heard_by for one in tellings(system)}
    print(f"{system.name}: {len(system.components)} components, {system.partitions} partitions")
    print(f"log {shown(application.log_url())}")
    for component in system.components:
        print(f"\n{component.name}  {shown(application.urls()[component.name])}")
        for event_type in component.publishes:
            listeners = ", ".join(heard_by[event_type]) or "nobody"
            seen = (
                "" if observed is None else f"; seen {observed.counts.get(wire_name(event_type, component.name), 0):,}"
            )
            print(f"  publishes {wire_name(event_type, component.name)} ({_fields(event_type)})")
            print(f"            key {event_type.__contract__.key or '(none)'}; heard by {listeners}{seen}")
        for handler in component.handlers:
            apart = f", apart: {handler.lane_group}" if handler.lane_group else ""
            what = f"every {handler.schedule}" if handler.schedule else handler.message_type.__name__
            print(f"  handles   {what} with {handler.name}{apart}")
        print(f"  retries   {_retries(application, component)}; time limit {component.time_limit_seconds:.0f} s")
    for name in observed.undeclared(tellings(system)) if observed is not None else ():
        print(f"\n{name} is in the log {observed.counts[name] if observed else 0:,} times, and nobody here declares it")


def _fields(event_type: type[Event]) -> str:
    hints = get_type_hints(event_type)
    return ", ".join(f"{field}: {_type_text(hints[field])}" for field in event_type.__struct_fields__)


def _type_text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _retries(application: Application, component: Component) -> str:
    policy = component.recoverability or application.system.recoverability or Recoverability()
    return f"{policy.immediate_retries} at once, {policy.delayed_retries} later, then dead"


def _whole_as_json(application: Application, observed: Observed | None) -> dict[str, Any]:
    system = application.system
    components = [_as_json(application, component) for component in system.components]
    found = {"system": system.name, "log": shown(application.log_url()), "components": components}
    return found if observed is None else {**found, "observed": dict(observed.counts)}


def _as_json(application: Application, component: Component) -> dict[str, Any]:
    heard_by = {one.event: one.heard_by for one in tellings(application.system)}
    return {
        "name": component.name,
        "database": shown(application.urls()[component.name]),
        "publishes": [
            {
                "type": wire_name(event_type, component.name),
                "version": event_type.__contract__.version,
                "key": event_type.__contract__.key,
                "fields": list(event_type.__struct_encode_fields__),
                "heard_by": list(heard_by[event_type]),
            }
            for event_type in component.publishes
        ],
        "handlers": [
            {
                "name": handler.name,
                "handles": handler.message_type.__name__,
                "schedule": None if handler.schedule is None else str(handler.schedule),
                "saga": None if handler.saga is None else handler.saga.__saga__.name,
                "apart": handler.lane_group or None,
            }
            for handler in component.handlers
        ],
        "time_limit_seconds": component.time_limit_seconds,
    }
