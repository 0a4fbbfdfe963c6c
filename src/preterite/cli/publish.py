"""`preterite publish`: events from a document, as one unit of work of their owner."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from preterite import codecs
from preterite.cli.application import Refused, add_command, find

HELP = """\
Publish the events in FILE (JSON or XML; - reads standard input) from COMPONENT, all of them or none.
It announces them only: the component's own tables are not touched.

  preterite publish shop.system:system sales purchases.xml
  echo '{"type": "sales.ItemPurchased", "data": {…}}' | preterite publish sales -
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "publish", "publish events from a document", HELP)
    parser.add_argument("words", nargs="+", metavar="[APP] COMPONENT FILE", help="the owner, and the document")
    parser.set_defaults(command=publish)


def publish(options: argparse.Namespace) -> int:
    """Read the document, publish what it holds, and say how many events that were."""
    application, words = find(options.words)
    if len(words) != 2:
        raise Refused("publish takes a component and a file: preterite publish [APP] COMPONENT FILE.")
    component = application.component(words[0])
    document = _read(words[1])
    with application.system.open(only=[component]) as opened:
        event_types = {published.wire_name: event_type for event_type, published in component.published.items()}
        read = codecs.read_xml if document.lstrip().startswith(b"<") else codecs.read_json
        events = read(document, event_types, opened.randomness.uuid)
        with opened.connection(component) as connection, component.unit_of_work(connection) as unit_of_work:
            for event in events:
                unit_of_work.publish(event)
    print(f"published {len(events):,} {'event' if len(events) == 1 else 'events'} of {component.name}")
    return 0


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(codecs.DOCUMENT_BYTES_MAX + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(codecs.DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}. Nothing was published.") from error
