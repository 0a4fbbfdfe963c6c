"""`preterite recover`: after a database or the log was restored."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from preterite import envelope as envelopes
from preterite import log as logs
from preterite.cli.application import Application, add_command, find
from preterite.cli.output import number_of, print_block, print_line, table
from preterite.clock import SystemClock
from preterite.log.contract import Log, LogIdentity, Record
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator

SHOWN_MAX = 50
"""Records that `recover plan` prints for a component."""
HELP = """\
Recover after a component's database, or the log, was restored from a backup.

  preterite recover plan                    print what differs from the log; changes nothing
  preterite recover accept sales            sales was restored: take over its events in the log
  preterite recover reset finance sales     sales and the log went back: finance continues at their end

As a subscriber, a restored component catches up automatically. As a publisher, it publishes nothing until an operator
accepts the events that are in the log and not in its database: they are not published again, and new ones follow them.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "recover", "recover after a database or the log was restored", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    plan = add_command(verbs, "plan", "print what differs from the log; changes nothing", HELP)
    plan.set_defaults(command=show_plan)
    accept = add_command(verbs, "accept", "take over the events that a restored publisher lacks", HELP)
    accept.add_argument("component", metavar="COMPONENT", help="the component that was restored")
    accept.set_defaults(command=accept_restored)
    reset = add_command(verbs, "reset", "move a subscriber to the end of its publisher's streams", HELP)
    reset.add_argument("component", metavar="COMPONENT", help="the component that subscribes")
    reset.add_argument("publisher", metavar="PUBLISHER", help="the component whose streams went back")
    reset.set_defaults(command=reset_subscriber)
    for verb in (accept, reset):
        verb.add_argument("--reason", default="", help="why; kept in the audit; default: no reason")
        verb.add_argument("--as", dest="by", metavar="NAME", help="the operator; default: your login")


def show_plan(options: argparse.Namespace) -> int:
    """Print what differs from the log; 1 if there is anything to decide."""
    application = find(options)
    with _log_of(application) as log:
        return _plan(application, log)


def accept_restored(options: argparse.Namespace) -> int:
    """Take over the events that a restored publisher lacks."""
    application = find(options)
    name = application.component(options.component).name
    with _log_of(application) as log, application.opened(name) as (database, connection):
        wall = SystemClock().wall()
        taken = recovery.accept(database.store, connection, log, name, _operator(application, options), wall)
        print_line(f"{name} took over {number_of(taken, 'event')} from the log; new events follow them")
    return 0


def reset_subscriber(options: argparse.Namespace) -> int:
    """Move a subscriber to the end of its publisher's streams."""
    application = find(options)
    name, publisher = (application.component(word).name for word in (options.component, options.publisher))
    with _log_of(application) as log, application.opened(name) as (database, connection):
        streams = recovery.reset(database.store, connection, log, publisher, _operator(application, options))
        print_line(f"{name} continues at the end of {streams} streams of {publisher}")
    return 0


def _operator(application: Application, options: argparse.Namespace) -> Operator:
    return Operator(options.by or getpass.getuser(), options.reason, application.now().timestamp())


@contextmanager
def _log_of(application: Application) -> Generator[Log]:
    identity = LogIdentity(application.system.name, UUID(int=0), application.system.partitions)
    log = logs.connect(application.log_url(), identity, SystemClock())
    try:
        yield log
    finally:
        log.close()


def _plan(application: Application, log: Log) -> int:
    """Print what every component forgot, and where a publisher went back; 1 if there is anything to decide."""
    topology = application.system.verify(application.databases())
    findings = 0
    for component in application.system.components:
        with application.opened(component.name) as (database, connection):
            store = database.store
            found = recovery.forgotten(store, connection, log, component.name)
            if found:
                findings += 1
                records = [record for one in found for record in recovery.read_forgotten(log, one)]
                published = number_of(len(records), "event")
                print_line(f"{component.name} has published {published} that its database does not contain:")
                rows = [_row(record) for record in records[:SHOWN_MAX]]
                print_block(table(["stream", "number", "event", "at", "key"], rows, right=(1,)))
                print_line(f"if it was restored: preterite recover accept {component.name}")
                print_line()
            for publisher in topology.subscriptions[component.name].publishers:
                back = recovery.gone_back(store, connection, log, publisher)
                for stream, (was, now) in back.items():
                    findings += 1
                    print_line(f"{component.name} has read {stream} up to {was.number}; it ends at {now.number} now")
                if back:
                    target = f"{component.name} {publisher}"
                    print_line(
                        f"if {publisher} publishes them again, it recovers; if not: preterite recover reset {target}"
                    )
                    print_line()
    if not findings:
        print_line("no component lacks events, and no stream went back")
    return 1 if findings else 0


def _row(record: Record) -> list[object]:
    if record.kind == "void":
        return [str(record.stream), record.number, "(void)", "", record.body.decode()]
    message = envelopes.from_bytes(record.body)
    return [str(record.stream), record.number, message.type, f"{message.time:%Y-%m-%d %H:%M:%S}", message.subject or ""]
