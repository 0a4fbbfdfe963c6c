"""`preterite describe`: what is declared and where it runs. Opens nothing."""

from __future__ import annotations

import argparse
from typing import Any, get_args, get_type_hints

from preterite.cli.application import Application, add_command, find, shown
from preterite.cli.output import document
from preterite.component import Component
from preterite.contracts import Event, wire_name
from preterite.recoverability import Recoverability

HELP = """\
Who publishes what, who listens, where the databases are, and which settings are in force. Opens nothing.

  preterite describe shop.system:system
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "describe", "who tells whom what, and where", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(command=describe)


def describe(options: argparse.Namespace) -> int:
    """Verify the declaration and print it."""
    application, _ = find([options.app] if options.app else [])
    application.system.verify(application.databases())
    system = application.system
    if options.json:
        components = [_as_json(application, component) for component in system.components]
        print(document({"system": system.name, "log": shown(application.log_url()), "components": components}))
        return 0
    print(f"{system.name}: {len(system.components)} components, {system.partitions} partitions")
    print(f"log {shown(application.log_url())}")
    for component in system.components:
        print(f"\n{component.name}  {shown(application.urls()[component.name])}")
        for event_type in component.publishes:
            listeners = ", ".join(_listeners(application, event_type)) or "nobody"
            print(f"  publishes {wire_name(event_type, component.name)} ({_fields(event_type)})")
            print(f"            key {event_type.__contract__.key or '(none)'}; heard by {listeners}")
        for handler in component.handlers:
            apart = f", apart: {handler.lane_group}" if handler.lane_group else ""
            what = f"every {handler.schedule}" if handler.schedule else handler.message_type.__name__
            print(f"  handles   {what} with {handler.name}{apart}")
        print(f"  retries   {_retries(application, component)}; time limit {component.time_limit_seconds:.0f} s")
    return 0


def _listeners(application: Application, event_type: type[Event]) -> list[str]:
    return [
        component.name
        for component in application.system.components
        if any(handler.message_type is event_type for handler in component.handlers)
    ]


def _fields(event_type: type[Event]) -> str:
    hints = get_type_hints(event_type)
    return ", ".join(f"{field}: {_type_text(hints[field])}" for field in event_type.__struct_fields__)


def _type_text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _retries(application: Application, component: Component) -> str:
    policy = component.recoverability or application.system.recoverability or Recoverability()
    return f"{policy.immediate_retries} at once, {policy.delayed_retries} later, then dead"


def _as_json(application: Application, component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "database": shown(application.urls()[component.name]),
        "publishes": [
            {
                "type": wire_name(event_type, component.name),
                "version": event_type.__contract__.version,
                "key": event_type.__contract__.key,
                "fields": list(event_type.__struct_encode_fields__),
                "heard_by": _listeners(application, event_type),
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
