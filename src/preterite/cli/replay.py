"""`preterite replay`: history for handlers that came late, or that are to handle it again."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from preterite import history, logs
from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.output import ago, document, table
from preterite.clock import SystemClock, SystemRandomness
from preterite.history import RATE_DEFAULT, Wanted
from preterite.letters import Person
from preterite.log import Log, LogIdentity
from preterite.rehearsal import Rehearsed, Stage, rehearse
from preterite.rows import DbConnection, Replay
from preterite.shared_clock import SharedClock
from preterite.store import Database
from preterite.topology import Subscriptions

HELP = """\
Feed history to a component, or to one of its handlers, beside live events: each event once, in order per key.

  preterite replay plan --to finance.mail               what would be fed; does nothing
  preterite replay rehearse --to finance.mail           runs it, twice, on copies of the database
  preterite replay start --to finance.mail --rate 200/s whoever runs the component feeds it, 200 events a second
  preterite replay status                               how far each has come
  preterite replay pause finance/1                      and resume, and cancel

What a handler has handled is left out, unless you say --again; then it publishes nothing, unless you say --publish.
While it is being fed a handler gets no live events; what comes in meanwhile comes after its history. A handler that
calls other systems calls them in a rehearsal and in a replay, too.
"""
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """A component's database and the log, opened to look at history."""

    application: Application
    component: str
    database: Database
    connection: DbConnection
    log: Log
    subscriptions: Subscriptions


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "replay", "history for late handlers", HELP)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, says, command in (
        ("plan", "what a replay would feed; does nothing", show_plan),
        ("rehearse", "run it on copies, and say what would change", show_rehearsal),
        ("start", "let whoever runs the component feed it", start),
    ):
        verb = verbs.add_parser(name, help=says)
        verb.add_argument("words", nargs="*", metavar="APP", help="module:attribute")
        verb.add_argument("--to", required=True, metavar="COMPONENT[.HANDLER]", help="who is to be fed")
        verb.add_argument(
            "--from",
            dest="since",
            default="start",
            metavar="start|TIME|NUMBER",
            help="where to begin; start if left out",
        )
        verb.add_argument("--again", action="store_true", help="also what was handled before")
        verb.add_argument("--publish", action="store_true", help="with --again: publish, under new identifiers")
        verb.add_argument(
            "--rate", default=f"{RATE_DEFAULT:g}/s", metavar="N/s", help="at most so many events a second; 0: no limit"
        )
        verb.add_argument("--reason", default="", help="why; kept in the audit")
        verb.set_defaults(command=command)
    status = verbs.add_parser("status", help="how far each replay has come")
    status.add_argument("words", nargs="*", metavar="APP", help="module:attribute")
    status.add_argument("--json", action="store_true", help="one JSON document")
    status.set_defaults(command=show_status)
    for name, says in (
        ("pause", "feed nothing for now"),
        ("resume", "feed on"),
        ("cancel", "leave the rest of the history out"),
    ):
        verb = verbs.add_parser(name, help=says)
        verb.add_argument("words", nargs="+", metavar="[APP] REPLAY", help="as in finance/1")
        verb.add_argument("--reason", default="", help="why; kept in the audit")
        verb.set_defaults(command=change, what=name)


def show_plan(options: argparse.Namespace) -> int:
    """Say what would be fed."""
    with _place(options) as (place, wanted), _progress("read") as progress:
        plan = history.plan(place.database.store, place.connection, place.log, place.subscriptions, wanted, progress)
    rows = [[f"{place.component}.{name}", count, plan.handled[name]] for name, count in plan.events.items()]
    print(table(["handler", "would be fed", "handled before"], rows, right=(1, 2)))
    print(f"\n{plan.total:,} events{_how_long(plan.total, wanted.rate)}")
    if wanted.again and not wanted.publishes:
        print("what they publish, or ask for later, is dropped; --publish lets it go, under new identifiers")
    print(f"try it on a copy  preterite replay rehearse --to {options.to}")
    return 0


def show_rehearsal(options: argparse.Namespace) -> int:
    """Run it on copies, and say what would change."""
    with _place(options) as (place, wanted), _progress("fed") as progress:
        identity = place.database.store.identity(place.connection)
        assert identity is not None, "a component that was started has an identity"
        clock = SharedClock(place.log) if place.application.system.demo else SystemClock()
        stage = Stage(place.database, place.log, identity, place.subscriptions, clock, SystemRandomness())
        told = rehearse(stage, wanted, progress)
    _print_rehearsal(told)
    return 0 if told.same_twice and not told.failures else 1


def start(options: argparse.Namespace) -> int:
    """Begin a replay."""
    with _place(options) as (place, wanted):
        person = _person(place.application, options)
        store = place.database.store
        number = history.start(store, place.connection, place.log, place.subscriptions, wanted, person)
    print(f"replay {place.component}/{number} runs wherever {place.component} does; preterite replay status shows it")
    return 0


def show_status(options: argparse.Namespace) -> int:
    """Show every replay, newest first."""
    application, _ = find(options.words)
    found: list[tuple[str, Replay, int]] = []
    databases = application.databases()
    for component in application.system.components:
        if databases[component.name].exists():
            with application.opened(component.name) as (database, connection):
                left: dict[int, int] = {}
                live = {stream: state.cursor.number for stream, state in database.store.cursors(connection).items()}
                for one in database.store.replay_cursors(connection):
                    left[one.replay_id] = left.get(one.replay_id, 0) + live[one.stream] - one.cursor.number
                replays = database.store.replays(connection, active=False)
                found += [(component.name, replay, left.get(replay.id, 0)) for replay in replays]
    if options.json:
        print(document([{"component": name, **replay._asdict(), "left": left} for name, replay, left in found]))
    elif not found:
        print("no replays")
    else:
        now = application.now().timestamp()
        rows = [
            [
                f"{name}/{replay.id}",
                replay.state,
                ", ".join(replay.handlers),
                replay.fed,
                left,
                f"{replay.rate:g}/s" if replay.rate else "-",
                f"{ago(now - replay.started_at)} ago",
                replay.reason or "-",
            ]
            for name, replay, left in found
        ]
        print(table(["replay", "state", "handlers", "fed", "left", "rate", "began", "why"], rows, right=(3, 4)))
    return 0


def change(options: argparse.Namespace) -> int:
    """Pause, resume or cancel a replay."""
    application, words = find(options.words)
    component, _, number = words[0].rpartition("/") if len(words) == 1 else ("", "", "")
    if not component or not number.isdigit():
        raise Refused(f"replay {options.what} takes one replay, as in finance/1; preterite replay status shows them.")
    with application.opened(application.component(component).name) as (database, connection):
        history.change(database.store, connection, int(number), options.what, _person(application, options))
    said = {"pause": "is paused", "resume": "runs on", "cancel": "is cancelled; what came in meanwhile is still fed"}
    print(f"replay {words[0]} {said[options.what]}")
    return 0


@contextmanager
def _place(options: argparse.Namespace) -> Generator[tuple[Place, Wanted]]:
    application, words = find(options.words)
    if words:
        raise Refused(f"{words[0]!r} is not understood; say to whom with --to COMPONENT or --to COMPONENT.HANDLER.")
    name, _, handler = options.to.partition(".")
    component = application.component(name).name
    subscriptions = application.system.verify(application.databases()).subscriptions[component]
    wanted = _wanted(options, history.chosen(subscriptions, handler or None))
    with application.opened(component) as (database, connection):
        identity = LogIdentity(application.system.name, UUID(int=0), application.system.partitions)
        log = logs.connect(application.log_url(), identity, SystemClock())
        try:
            yield Place(application, component, database, connection, log, subscriptions), wanted
        finally:
            log.close()


def _wanted(options: argparse.Namespace, handlers: tuple[str, ...]) -> Wanted:
    number, since = 1, None
    if options.since.isdigit():
        number = max(int(options.since), 1)
    elif options.since != "start":
        try:
            since = datetime.fromisoformat(options.since)
        except ValueError:
            raise Refused(
                f"{options.since!r} is no place to begin: start, a time as in 2011-04-01, or a number."
            ) from None
        since = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    return Wanted(handlers, number, since, options.again, options.publish, _rate(options.rate))


def _rate(word: str) -> float | None:
    try:
        rate = float(word.removesuffix("/s"))
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise Refused(f"--rate {word!r} is no rate; write so many events a second, as in 500/s; 0 means no limit.")
    return rate or None


def _print_rehearsal(told: Rehearsed) -> None:
    print(f"{told.fed:,} events fed in {told.seconds:.1f} s; nothing was touched")
    if told.tables:
        rows = [[name, change.added, change.removed] for name, change in sorted(told.tables.items())]
        print(table(["table", "rows come", "rows gone"], rows, right=(1, 2)))
    else:
        print("no table would change")
    for kind, count in sorted(told.published.items()):
        print(f"would publish {count:,} {kind}")
    for (handler, error), count in sorted(told.failures.items()):
        why = f"would fail with {error}" if error else "would wait behind what fails"
        print(f"{handler}: {count:,} {why}")
    print(f"the same result twice: {'yes' if told.same_twice else 'NO'}")


def _how_long(events: int, rate: float | None) -> str:
    return "" if rate is None else f", about {events / rate:,.0f} s at {rate:g} a second"


@contextmanager
def _progress(what: str) -> Generator[Callable[[int], None]]:
    """A line now and then while it takes long."""
    clock = SystemClock()
    shown = [clock.monotonic(), 0.0]

    def show(count: int) -> None:
        if clock.monotonic() - shown[0] >= PROGRESS_SECONDS:
            shown[0] = clock.monotonic()
            print(f"  {count:,} {what} …", file=sys.stderr)

    yield show


def _person(application: Application, options: argparse.Namespace) -> Person:
    return Person(getpass.getuser(), options.reason, application.now().timestamp())
