"""`preterite publish`: events from a document, as one unit of work of their component."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from preterite import codecs
from preterite.cli.application import Refused, add_command, find
from preterite.cli.output import print_line
from preterite.printing.text import clause
from preterite.store.contract import translating_errors

HELP = """\
Publish the events of FILE (JSON or XML; - reads standard input) as COMPONENT, all of them or none.
Only events are published: the component's own tables are not changed.

  preterite publish sales purchases.xml
  echo '{"type": "sales.ItemPurchased", "data": {…}}' | preterite publish sales -
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "publish", "publish events from a JSON or XML document", HELP)
    parser.add_argument("component", metavar="COMPONENT", help="the component that publishes")
    parser.add_argument("file", metavar="FILE", help="a JSON or XML document; - reads standard input")
    parser.set_defaults(command=publish)


def publish(options: argparse.Namespace) -> int:
    """Publish the events of the document, and print how many they are."""
    application = find(options)
    component = application.component(options.component)
    document = _read(options.file)
    with application.system.open(only=[component]) as opened:
        if not component.published and document.strip() not in (b"", b"[]"):
            raise Refused(f"{component.name} publishes no events. Nothing was published.")
        event_types = {published.wire_name: event_type for event_type, published in component.published.items()}
        read = codecs.read_xml if document.lstrip().startswith(b"<") else codecs.read_json
        events = read(document, event_types, opened.randomness.uuid)
        store = opened.databases[component.name].store
        with opened.connection(component) as connection, translating_errors(store, component.name):
            store.bound_waits(connection)
            with component.unit_of_work(connection) as unit_of_work:
                for event in events:
                    unit_of_work.publish(event)
    print_line(f"published {len(events):,} {'event' if len(events) == 1 else 'events'} of {component.name}")
    return 0


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(codecs.DOCUMENT_BYTES_MAX + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(codecs.DOCUMENT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a file"
        raise Refused(f"{name} cannot be read: {clause(why)}. Nothing was published.") from None
