"""`preterite recover`: after a database or the log was restored."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from preterite import envelope as envelopes
from preterite.cli.application import Application, Readings, Refused, add_command, add_verb, find
from preterite.cli.output import number_of, print_block, print_line, table
from preterite.clock import SystemClock, SystemRandomness
from preterite.log.contract import Cursor, Log, Record, Stream
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.store.contract import Database, translating_errors
from preterite.store.rows import StoreIdentity

SHOWN_MAX = 50
"""Records that `recover plan` prints for a component."""
HELP = """\
Recover after a component's database, or the log, was restored from a backup or lost.

  preterite recover plan                    print what differs from the log, and which command resolves it
  preterite recover accept sales            the database of sales is older than the log: take over its events from there
  preterite recover reset finance sales     sales and the log are older than finance: finance reads on at their end
  preterite recover fill sales              the log lost events that sales no longer has: readers go on without them
  preterite recover new-log                 the log was lost whole: make a new one from what the components still have
  preterite recover accept-loss finance sales   finance was away for too long: it reads on after what is gone
  preterite recover new-database finance    the database of finance was lost and has no backup: it begins anew

The log is what all components publish to and read from. Each publisher also keeps its latest events in its own
database, in its journal, and sends them again by itself where the log has lost them. An event that neither holds is
gone.

A restored subscriber catches up by itself. A restored publisher publishes nothing until an operator accepts its events
that are in the log and not in its database; they are not published again, and new ones follow them. A subscriber that
has not read an event that is gone waits for it until an operator decides; all others go on.

The log knows one database of each component. Another one is refused before it handles anything; a restored backup is
the same one. Stop the component's workers before new-database.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "recover", "recover after a database or the log was restored", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    plan = add_verb(verbs, "recover", "plan", "print what differs from the log; changes nothing", HELP)
    plan.set_defaults(command=show_plan)
    accept = add_verb(verbs, "recover", "accept", "take over the events that a restored publisher lacks", HELP)
    accept.add_argument("component", metavar="COMPONENT", help="the component that was restored")
    accept.set_defaults(command=accept_restored)
    reset = add_verb(
        verbs, "recover", "reset", "let a subscriber read on at the end of what its publisher has published", HELP
    )
    reset.add_argument("component", metavar="COMPONENT", help="the component that subscribes")
    reset.add_argument("publisher", metavar="PUBLISHER", help="the component that was restored together with the log")
    reset.set_defaults(command=reset_subscriber)
    fill = add_verb(
        verbs,
        "recover",
        "fill",
        "let readers go on without events that the log has lost and their publisher no longer has",
        HELP,
    )
    fill.add_argument("component", metavar="COMPONENT", help="the component that published them")
    fill.set_defaults(command=fill_holes)
    loss = add_verb(verbs, "recover", "accept-loss", "let a subscriber go on after events that are gone", HELP)
    loss.add_argument("component", metavar="COMPONENT", help="the component that subscribes")
    loss.add_argument("publisher", metavar="PUBLISHER", help="the component that published them")
    loss.set_defaults(command=accept_lost)
    new = add_verb(verbs, "recover", "new-log", "make a new log where the old one was lost whole", HELP)
    new.set_defaults(command=make_new_log)
    database = add_verb(verbs, "recover", "new-database", "let a component begin anew whose database was lost", HELP)
    database.add_argument("component", metavar="COMPONENT", help="the component whose database was lost")
    database.set_defaults(command=begin_anew)
    for verb in (accept, reset, fill, loss, new, database):
        verb.add_argument("--reason", default="", help="why; shown by dead-letters audit; default: no reason")
        verb.add_argument("--as", dest="by", metavar="NAME", help="the operator; default: your login")


def show_plan(options: argparse.Namespace) -> int:
    """Print what differs from the log; 1 if there is anything to decide."""
    application = find(options)
    with application.log() as log:
        return _plan(application, log)


def accept_restored(options: argparse.Namespace) -> int:
    """Take over the events that a restored publisher lacks."""
    application = find(options)
    name = application.component(options.component).name
    with application.log() as log, application.opened(name) as (database, connection):
        wall = SystemClock().wall()
        taken = recovery.accept(database.store, connection, log, name, _operator(application, options), wall)
        print_line(f"{name} took over {number_of(taken, 'event')} from the log; new events follow them")
    return 0


def reset_subscriber(options: argparse.Namespace) -> int:
    """Move a subscriber to the end of its publisher's streams."""
    application = find(options)
    name, publisher = _subscription(application, options)
    with application.log() as log, application.opened(name) as (database, connection):
        streams = recovery.reset(database.store, connection, log, publisher, _operator(application, options))
        print_line(f"{name} continues at the end of {number_of(streams, 'stream')} of {publisher}")
    return 0


def fill_holes(options: argparse.Namespace) -> int:
    """Put voids in the place of what the log has lost and its publisher cannot send again."""
    application = find(options)
    name = application.component(options.component).name
    with application.log() as log, application.opened(name) as (database, connection):
        filled = recovery.fill(database.store, connection, log, name, _operator(application, options))
        print_line(f"{name}: readers go on without {number_of(filled, 'event')} that the log had lost")
    return 0


def accept_lost(options: argparse.Namespace) -> int:
    """Let a subscriber go on after events that are gone."""
    application = find(options)
    name, publisher = _subscription(application, options)
    with application.log() as log, application.opened(name) as (database, connection):
        lost = recovery.accept_loss(database.store, connection, log, publisher, _operator(application, options))
        print_line(f"{name} continues without {number_of(lost, 'event')} of {publisher}")
    return 0


def make_new_log(options: argparse.Namespace) -> int:
    """Put a new log in the place of one that was lost whole, for all components."""
    application = find(options)
    with ExitStack() as stack:
        databases = {
            name: (database.store, stack.enter_context(application.opened(name))[1])
            for name, database in application.databases().items()
            if database.exists()
        }
        # A demo's clock was lost with the log.
        operator = Operator(options.by or getpass.getuser(), options.reason, SystemClock().now().timestamp())
        kept = recovery.new_log(databases, application.new_log, operator)
    rows = [[str(stream), numbers.start - 1, len(numbers)] for stream, numbers in kept]
    print_block(table(["stream", "gone", "in the journal"], rows[:SHOWN_MAX], right=(1, 2)))
    print_line("workers send what the journals hold to the new log; subscribers go on where they stopped")
    print_line("then: preterite recover plan")
    return 0


def begin_anew(options: argparse.Namespace) -> int:
    """Let a component's new database take the place of the one that was lost."""
    application = find(options)
    name = application.component(options.component).name
    database = application.databases()[name]
    with application.log(as_owner=True) as log, translating_errors(database.store, name):
        identity = log.identity
        ids = (SystemRandomness().uuid(), identity.system, identity.system_id, identity.partitions)
        recovery.new_database(log, database, StoreIdentity(name, *ids), _operator(application, options))
    print_line(f"{database.url} is the database of {name} from now on; any other one is refused")
    print_line("its handlers get the events that the log holds, from the first one on")
    print_line("then, for what it has published: preterite recover plan")
    return 0


def _subscription(application: Application, options: argparse.Namespace) -> tuple[str, str]:
    """A subscriber and its publisher, as they are named; raises `Refused` where the one does not subscribe."""
    name, publisher = (application.component(word).name for word in (options.component, options.publisher))
    publishers = application.system.verify(application.databases()).subscriptions[name].publishers
    if publisher not in publishers:
        raise Refused(
            f"{name} subscribes to no event of {publisher}; nothing was changed. "
            f"It subscribes to events of {', '.join(publishers) or 'no component'}."
        )
    return name, publisher


def _operator(application: Application, options: argparse.Namespace) -> Operator:
    return Operator(options.by or getpass.getuser(), options.reason, application.now().timestamp())


def _plan(application: Application, log: Log) -> int:
    """Print what differs from the log; 1 if there is anything to decide."""
    topology = application.system.verify(application.databases())
    findings, readings = 0, Readings()
    for name, subscriptions in topology.subscriptions.items():
        with readings.of(name):
            findings += _plan_component(application, name, subscriptions.publishers, log)
    if not findings and not readings.unread:
        print_line("no component lacks events, no stream went back, and nothing is gone")
    return readings.exit_code(1 if findings else 0)


def _plan_component(application: Application, name: str, publishers: Collection[str], log: Log) -> int:
    """Print what differs for one component; return how many findings that are."""
    database = application.databases()[name]
    if _plan_second_database(name, database, log):
        return 1
    if not database.exists():
        return 0  # it was never started, and has nothing to recover
    with application.opened(name) as (_, connection):
        findings = int(_plan_publisher(name, recovery.forgotten(database.store, connection, log, name), log))
        findings += _plan_holes(name, recovery.holes(database.store, connection, log, name))
        for publisher in publishers:
            back = recovery.gone_back(database.store, connection, log, publisher)
            findings += _plan_reset(name, publisher, back)
            dropped = recovery.dropped(database.store, connection, log, publisher)
            findings += _plan_loss(name, publisher, dropped)
    return findings


def _plan_second_database(name: str, database: Database, log: Log) -> bool:
    with translating_errors(database.store, name):
        is_second = recovery.is_second(log, name, database)
    if is_second:
        print_line(f"{database.url} is not the database of {name} that the log knows; it is refused")
        print_line("if the URL is wrong, correct it; if there is a backup, restore it")
        print_line(f"if it is lost, and begins anew: preterite recover new-database {name}")
        print_line()
    return is_second


def _plan_publisher(name: str, found: Sequence[recovery.Forgotten], log: Log) -> bool:
    if found:
        records = [record for one in found for record in recovery.read_forgotten(log, one)]
        published = number_of(len(records), "event")
        print_line(f"{name} has published {published} that its database does not contain:")
        rows = [_row(record) for record in records[:SHOWN_MAX]]
        print_block(table(["stream", "number", "event", "at", "key"], rows, right=(1,)))
        print_line(f"if it was restored: preterite recover accept {name}")
        print_line()
    return bool(found)


def _plan_holes(name: str, found: Sequence[recovery.Gone]) -> bool:
    if found:
        lost = number_of(sum(len(one.numbers) for one in found), "event")
        print_line(f"the log has lost {lost} of {name} that its journal no longer holds:")
        _print_gone(found)
        print_line("subscribers that have read them go on; all others are stalled there")
        print_line(f"to go on without them: preterite recover fill {name}")
        print_line()
    return bool(found)


def _plan_reset(name: str, publisher: str, back: Mapping[Stream, tuple[Cursor, Cursor]]) -> bool:
    for stream, (was, now) in back.items():
        print_line(f"{name} has read {stream} up to {was.number}; it ends at {now.number} now")
    if back:
        target = f"{name} {publisher}"
        print_line(f"if {publisher} publishes them again, it recovers; if not: preterite recover reset {target}")
        print_line()
    return bool(back)


def _plan_loss(name: str, publisher: str, found: Sequence[recovery.Gone]) -> bool:
    if found:
        lost = number_of(sum(len(one.numbers) for one in found), "event")
        print_line(f"{name} has not read {lost} of {publisher} that neither the log nor a journal holds any more:")
        _print_gone(found)
        print_line(f"to go on without them: preterite recover accept-loss {name} {publisher}")
        print_line()
    return bool(found)


def _print_gone(found: Sequence[recovery.Gone]) -> None:
    rows = [[str(stream), numbers[0], numbers[-1], len(numbers)] for stream, numbers in found[:SHOWN_MAX]]
    print_block(table(["stream", "first", "last", "events"], rows, right=(1, 2, 3)))


def _row(record: Record) -> list[object]:
    if record.kind == "void":
        return [str(record.stream), record.number, "(void)", "", record.body.decode()]
    message = envelopes.from_bytes(record.body)
    return [str(record.stream), record.number, message.type, f"{message.time:%Y-%m-%d %H:%M:%S}", message.subject or ""]
