"""`preterite recover`: after a database or the log was restored."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from preterite import envelope as envelopes
from preterite import logs, recovery
from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.output import table
from preterite.clock import SystemClock
from preterite.letters import Person
from preterite.log import Log, LogIdentity, Record

SHOWN_MAX = 50
HELP = """\
What to do once a component's database, or the log, was restored from a backup.

  preterite recover plan shop.system:system              what is not as it should be; changes nothing
  preterite recover accept shop.system:system sales      sales was restored: take over what it published and forgot
  preterite recover follow shop.system:system finance sales
                                                         sales and the log went back: finance goes on with what is there

As a subscriber a restored component catches up by itself. As a publisher it announces nothing until you have looked at
what it published and forgot, and accepted it: those events are never announced again, and new ones follow them.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "recover", "after a restore: what was forgotten", HELP)
    parser.add_argument("what", choices=("plan", "accept", "follow"), help="see above")
    parser.add_argument("words", nargs="*", metavar="[APP] COMPONENT", help="of which component")
    parser.add_argument("--reason", default="", help="why; kept in the audit")
    parser.add_argument("--as", dest="by", metavar="NAME", default=None, help="who decides; your login if left out")
    parser.set_defaults(command=recover)


def recover(options: argparse.Namespace) -> int:
    """Look, or do what was decided."""
    application, words = find(options.words)
    with _log_of(application) as log:
        if options.what == "plan":
            return _plan(application, log)
        wanted = 1 if options.what == "accept" else 2
        if len(words) != wanted:
            raise Refused(f"recover {options.what} takes {wanted} component{'s' if wanted > 1 else ''}.")
        names = [application.component(word).name for word in words]
        person = Person(options.by or getpass.getuser(), options.reason, application.now().timestamp())
        with application.opened(names[0]) as (database, connection):
            if options.what == "accept":
                wall = SystemClock().wall()
                taken = recovery.accept(database.store, connection, log, names[0], person, wall)
                print(f"{names[0]} knows {taken} more events that it had published; it goes on after them")
            else:
                streams = recovery.follow(database.store, connection, log, names[1], person)
                print(f"{names[0]} goes on in {streams} streams of {names[1]} from where they end now")
    return 0


@contextmanager
def _log_of(application: Application) -> Generator[Log]:
    identity = LogIdentity(application.system.name, UUID(int=0), application.system.partitions)
    log = logs.connect(application.log_url(), identity, SystemClock())
    try:
        yield log
    finally:
        log.close()


def _plan(application: Application, log: Log) -> int:
    """What every component has forgotten, and where a publisher went back; 1 if anything is to be decided."""
    topology = application.system.verify(application.databases())
    findings = 0
    for component in application.system.components:
        with application.opened(component.name) as (database, connection):
            store = database.store
            found = recovery.forgotten(store, connection, log, component.name)
            if found:
                findings += 1
                records = [record for one in found for record in recovery.read_forgotten(log, one)]
                print(f"{component.name} has published {len(records)} events that its database does not know:")
                print(table(["stream", "number", "event", "at", "key"], [_row(r) for r in records[:SHOWN_MAX]]))
                print(f"if it was restored: preterite recover accept {component.name}\n")
            for publisher in topology.subscriptions[component.name].publishers:
                back = recovery.gone_back(store, connection, log, publisher)
                for stream, (was, now) in back.items():
                    findings += 1
                    print(f"{component.name} has read {stream} up to {was.number}; it ends at {now.number} now")
                if back:
                    print(f"if {publisher} heals it, it moves by itself; if not: preterite recover follow", end="")
                    print(f" {component.name} {publisher}\n")
    if not findings:
        print("nothing was forgotten, and nobody went back")
    return 1 if findings else 0


def _row(record: Record) -> list[object]:
    if record.kind == "void":
        return [str(record.stream), record.number, "(void)", "", record.body.decode()]
    message = envelopes.from_bytes(record.body)
    return [str(record.stream), record.number, message.type, f"{message.time:%Y-%m-%d %H:%M:%S}", message.subject or ""]
