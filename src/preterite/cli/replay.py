"""`preterite replay`: history for handlers that are new, or that handle it again."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from preterite.cli.application import Application, Readings, Refused, add_command, add_verb, find
from preterite.cli.output import ago, document, number_of, print_block, print_line, table
from preterite.cli.words import instant, whole_number
from preterite.clock import SystemClock, SystemRandomness
from preterite.demo_clock import SharedClock
from preterite.log.contract import Log
from preterite.operations import replays as history
from preterite.operations.dead_letters import Operator
from preterite.operations.rehearsal import RehearsalResult, Stage, rehearse
from preterite.operations.replays import RATE_DEFAULT, Wanted
from preterite.store.contract import Database
from preterite.store.rows import DbConnection, Replay
from preterite.topology import Subscriptions

HELP = """\
Replay stored events to a component, or to one of its handlers, beside live events: each once, in order per key.

  preterite replay plan --to finance.mail                 print what would be replayed; changes nothing
  preterite replay rehearse --to finance.mail             a dry run, twice, on copies of the database
  preterite replay start --to finance.mail --rate 200/s   the component's processes replay 200 events a second
  preterite replay status                                 the progress of every replay
  preterite replay pause finance/1                        its handlers get nothing until it is resumed
  preterite replay resume finance/1                       go on
  preterite replay cancel finance/1                       leave out the rest of the history

Events that a handler has handled before are left out. With --again they are handled once more, and what the handler
publishes meanwhile is dropped, unless --publish is given. During a replay its handlers get no live events; those follow
after the history. Handlers that call other systems do so again, except those with on_replay="skip"; a rehearsal refuses
such calls.
"""
STILL_REPLAYED = "what came in meanwhile is still replayed"
PROGRESS_SECONDS = 1.0
"""How often a rehearsal prints its progress."""


@dataclass(frozen=True)
class Place:
    """A component's database and the log, opened to read history."""

    application: Application
    component: str
    database: Database
    connection: DbConnection
    log: Log
    subscriptions: Subscriptions


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "replay", "replay stored events to handlers", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_starting(verbs)
    status = add_verb(verbs, "replay", "status", "print the progress of every replay", HELP)
    status.add_argument("--json", action="store_true", help="print one JSON document")
    status.set_defaults(command=show_status)
    for name, says in (
        ("pause", "pause a replay"),
        ("resume", "resume a paused replay"),
        ("cancel", "cancel a replay; the rest of the history is left out"),
    ):
        verb = add_verb(verbs, "replay", name, says, HELP)
        verb.add_argument("replay", metavar="REPLAY", help="the replay, as replay status names it: finance/1")
        verb.add_argument("--reason", default="", help="why; shown by dead-letters audit; default: no reason")
        verb.set_defaults(command=change, what=name)


def _add_starting(verbs: Any) -> None:
    """The commands that take what is to be replayed."""
    for name, says, command in (
        ("plan", "print what would be replayed; changes nothing", show_plan),
        ("rehearse", "replay to copies of the database, and print what would change", show_rehearsal),
        ("start", "start a replay, which the component's processes run", start),
    ):
        verb = add_verb(verbs, "replay", name, says, HELP)
        verb.add_argument(
            "--to", required=True, metavar="COMPONENT[.HANDLER]", help="the component or handler that gets the history"
        )
        verb.add_argument(
            "--from",
            dest="since",
            default="start",
            metavar="start|TIME|NUMBER",
            help="where it starts: at the first event, at a time as in 2011-04-01, or at this number "
            "of each partition; default: start",
        )
        verb.add_argument("--again", action="store_true", help="also replay what was handled before")
        verb.add_argument(
            "--publish", action="store_true", help="with --again: publish what the handlers publish, under new ids"
        )
        verb.add_argument(
            "--rate",
            default=f"{RATE_DEFAULT:g}/s",
            metavar="N/s",
            help=f"at most N events a second; 0: no limit; default: {RATE_DEFAULT:g}/s",
        )
        verb.add_argument("--reason", default="", help="why; shown by dead-letters audit; default: no reason")
        if name == "rehearse":
            verb.add_argument(
                "--allow-outside-calls",
                action="store_true",
                help="let handlers connect to other systems, start processes and write files, for real",
            )
        verb.set_defaults(command=command)


def show_plan(options: argparse.Namespace) -> int:
    """Print what would be replayed."""
    with _place(options) as (place, wanted), _progress() as progress:
        plan = history.plan(place.database.store, place.connection, place.log, place.subscriptions, wanted, progress)
    rows = [[f"{place.component}.{name}", count, plan.handled[name]] for name, count in plan.events.items()]
    print_block(table(["handler", "would be replayed", "handled before"], rows, right=(1, 2)))
    print_line()
    print_line(f"{number_of(plan.total, 'event')}{_how_long(plan.total, wanted.rate)}")
    if wanted.again and not wanted.publishes:
        print_line("events and commands that the handlers publish or schedule are dropped, unless --publish is given")
    print_line(f"try it on a copy  preterite replay rehearse --to {options.to}")
    return 0


def show_rehearsal(options: argparse.Namespace) -> int:
    """Run it on copies, and print what would change."""
    with _place(options) as (place, wanted), _progress() as progress:
        identity = place.database.store.identity(place.connection)
        if identity is None:
            raise Refused(f"Component {place.component!r} was never started. preterite run starts it.")
        clock = SharedClock(place.log) if place.application.system.demo else SystemClock()
        stage = Stage(place.database, place.log, identity, place.subscriptions, clock, SystemRandomness())
        result = rehearse(stage, wanted, progress, allow_outside_calls=options.allow_outside_calls, is_alone=True)
    _print_rehearsal(result)
    return 0 if result.same_twice and not result.failures and not result.refused else 1


def start(options: argparse.Namespace) -> int:
    """Start a replay."""
    with _place(options) as (place, wanted):
        operator = _operator(place.application, options)
        store = place.database.store
        number = history.start(store, place.connection, place.log, place.subscriptions, wanted, operator)
    name = f"{place.component}/{number}"
    print_line(f"replay {name} starts when a worker of {place.component} runs; preterite replay status shows it")
    return 0


def show_status(options: argparse.Namespace) -> int:
    """Show every replay, newest first."""
    application = find(options)
    found: list[tuple[str, Replay, int]] = []
    databases, readings = application.databases(), Readings()
    for component in application.system.components:
        if databases[component.name].exists():
            with readings.of(component.name), application.opened(component.name) as (database, connection):
                left: dict[int, int] = {}
                live = {stream: state.cursor.number for stream, state in database.store.cursors(connection).items()}
                for one in database.store.replay_cursors(connection):
                    left[one.replay_id] = left.get(one.replay_id, 0) + live[one.stream] - one.cursor.number
                replays = database.store.replays(connection, active=False)
                found += [(component.name, replay, left.get(replay.id, 0)) for replay in replays]
    if options.json:
        print_block(document([{"component": name, **replay._asdict(), "left": left} for name, replay, left in found]))
    elif not found:
        print_line(readings.none_of("replays"))
    else:
        now = application.now().timestamp()
        rows = [
            [
                f"{name}/{replay.id}",
                "cancelled" if replay.cancelled else replay.state,
                ", ".join(replay.handlers),
                replay.replayed,
                left,
                f"{replay.rate:g}/s" if replay.rate else "-",
                f"{ago(now - replay.started_at)} ago",
                replay.reason or (STILL_REPLAYED if replay.cancelled and left else "-"),
            ]
            for name, replay, left in found
        ]
        print_block(
            table(["replay", "state", "handlers", "replayed", "left", "rate", "started", "reason"], rows, right=(3, 4))
        )
    return readings.exit_code()


def change(options: argparse.Namespace) -> int:
    """Pause, resume or cancel a replay."""
    application = find(options)
    component, _, digits = options.replay.rpartition("/")
    number = whole_number(digits)
    if not component or number is None:
        raise Refused(f"{options.replay!r} names no replay; write COMPONENT/NUMBER, as in finance/1.")
    with application.opened(application.component(component).name) as (database, connection):
        if number not in {replay.id for replay in database.store.replays(connection, active=False)}:
            raise Refused(f"There is no replay {options.replay}; preterite replay status shows those there are.")
        history.change(database.store, connection, number, options.what, _operator(application, options))
    done = {
        "pause": "is paused",
        "resume": "is resumed",
        "cancel": "is cancelled; the live events that waited are handled",
    }
    print_line(f"replay {options.replay} {done[options.what]}")
    return 0


@contextmanager
def _place(options: argparse.Namespace) -> Generator[tuple[Place, Wanted]]:
    application = find(options)
    name, _, handler = options.to.partition(".")
    component = application.component(name).name
    subscriptions = application.system.verify(application.databases()).subscriptions[component]
    handlers = [bound.name for one in subscriptions.by_wire_name.values() for bound in one.handlers]
    if handler and handlers and handler not in handlers:
        raise Refused(f"{component} has no handler {handler!r} of an event; it has {', '.join(handlers)}.")
    wanted = _wanted(options, history.chosen(subscriptions, handler or None))
    with application.opened(component) as (database, connection), application.log() as log:
        yield Place(application, component, database, connection, log, subscriptions), wanted


def _wanted(options: argparse.Namespace, handlers: tuple[str, ...]) -> Wanted:
    number = 1 if options.since == "start" else whole_number(options.since)
    since = None if number is not None else instant(options.since)
    if number is None and since is None:
        raise Refused(f"{options.since!r} is not valid for --from; write start, a time as in 2011-04-01, or a number.")
    if options.publish and not options.again:
        raise Refused("--publish needs --again: what is handled for the first time is published in any case.")
    return Wanted(handlers, max(number or 1, 1), since, options.again, options.publish, _rate(options.rate))


def _rate(word: str) -> float | None:
    try:
        rate = float(word.removesuffix("/s"))
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise Refused(f"--rate {word!r} is not a rate; write events a second, as in 500/s; 0 means no limit.")
    return rate or None


def _print_rehearsal(result: RehearsalResult) -> None:
    print_line(f"{number_of(result.replayed, 'event')} replayed in {result.seconds:.1f} s; nothing was changed")
    if result.tables:
        rows = [[name, change.added, change.removed] for name, change in sorted(result.tables.items())]
        print_block(table(["table", "rows added", "rows removed"], rows, right=(1, 2)))
    else:
        print_line("no table would change")
    for kind, count in sorted(result.published.items()):
        print_line(f"would publish {count:,} {kind}")
    for (handler, error), count in sorted(result.failures.items()):
        why = f"would fail with {error}" if error else "would wait behind a failed event"
        print_line(f"{handler}: {count:,} {why}")
    for (handler, what), count in sorted(result.refused.items()):
        print_line(f"{handler}: {what} was refused, {number_of(count, 'time')}; --allow-outside-calls lets it happen")
    print_line(f"the same result twice: {'yes' if result.same_twice else 'NO'}")


def _how_long(events: int, rate: float | None) -> str:
    return "" if rate is None or not events else f", about {events / rate:,.0f} s at {rate:g} a second"


@contextmanager
def _progress() -> Generator[Callable[[int], None]]:
    """Prints the count once a second."""
    clock = SystemClock()
    shown = [clock.monotonic(), 0.0]

    def show(count: int) -> None:
        if clock.monotonic() - shown[0] >= PROGRESS_SECONDS:
            shown[0] = clock.monotonic()
            print_line(f"  {count:,} read …", error=True)

    yield show


def _operator(application: Application, options: argparse.Namespace) -> Operator:
    return Operator(getpass.getuser(), options.reason, application.now().timestamp())
