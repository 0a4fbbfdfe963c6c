"""`preterite dead-letters`: events that failed and need an operator; deciding is in `dead_letter_decisions`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from preterite.cli import dead_letter_decisions as decisions
from preterite.cli.application import Application, Readings, Refused, add_command, add_verb, find
from preterite.cli.dead_letter import NAMED, DeadLetterName, dead_letter_named
from preterite.cli.output import ago, document, indented, number_of, print_block, print_line, table
from preterite.envelope import from_bytes
from preterite.errors import Undecodable
from preterite.operations import dead_letters
from preterite.printing.text import clause
from preterite.store.rows import AuditLine, FailureGroup, Parked

DEAD_LETTERS_SHOWN = 1000
"""Dead letters of a component that `dead-letters list` prints, oldest first."""
AUDIT_SHOWN = 100
"""Lines that `dead-letters audit` prints, newest first."""
HELP = """\
Dead letters: events and commands whose retries are used up, or that cannot be retried; they need an operator. Each is
named COMPONENT/NUMBER. Those that failed in the same way are a failure group. To redrive one is to run it again.

  preterite dead-letters groups                         what failed, how often, and the notes on it
  preterite dead-letters list                           every dead letter
  preterite dead-letters show finance/12                one, with its event and traceback
  preterite dead-letters plan --group g3fa21c           what a redrive would do; changes nothing
  preterite dead-letters redrive finance/12 --reason "price added"
  preterite dead-letters redrive --group g3fa21c        in growing steps; stops when more than 5 % fail again
  preterite dead-letters redrive --oldest 20 --component finance
  preterite dead-letters edit finance/12 quantity=2 --reason "typing error"
  preterite dead-letters discard finance/12 --reason "test purchase"
  preterite dead-letters note g3fa21c "price list row missing; add it, then redrive"
  preterite dead-letters audit                          what operators did

Later events of the same key wait behind a dead letter. Redriving handles the dead letter again, and then the events
that wait, in order. Discarding keeps it with the reason, unhandled; the events that wait are handled.
"""


class Found(NamedTuple):
    """A group of dead letters of one component."""

    name: str
    component: str
    group: FailureGroup


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "dead-letters", "show events that need an operator, and decide about them", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, says, command in (
        ("list", "print every dead letter, oldest first", list_dead_letters),
        ("groups", "print which dead letters failed in the same way, how often, and the notes on them", list_groups),
        ("audit", "print what operators did, newest first", show_audit),
    ):
        verb = add_verb(verbs, "dead-letters", name, says, HELP)
        verb.add_argument("--component", help="only of this component; default: of every component")
        verb.add_argument("--json", action="store_true", help="print one JSON document")
        verb.set_defaults(command=command)
    show = add_verb(verbs, "dead-letters", "show", "print one dead letter with its event and traceback", HELP)
    show.add_argument("dead_letter", metavar="DEAD_LETTER", help=NAMED)
    show.add_argument("--json", action="store_true", help="print one JSON document")
    show.set_defaults(command=show_dead_letter)
    decisions.add_to(verbs)


def list_dead_letters(options: argparse.Namespace) -> int:
    """Show every dead letter, oldest first."""
    application = find(options)
    readings = Readings(asked_for=options.component)
    found = _found(application, options.component, readings)
    if options.json:
        print_block(document([_as_json(name, row) for name, row in found.items()]))
    elif not found:
        print_line(readings.none_of("dead letters"))
    else:
        rows = _rows(found, application.now().timestamp())
        print_block(table(["dead letter", "handler", "event", "error", "at", "failed", "attempts"], rows, right=(5, 6)))
        print_line()
        print_line(f"show one  preterite dead-letters show {next(iter(found))}")
    return readings.exit_code()


def list_groups(options: argparse.Namespace) -> int:
    """Show the failure groups with their notes."""
    application = find(options)
    readings = Readings(asked_for=options.component)
    found = _groups(application, options.component, readings)
    if options.json:
        print_block(document([_group_as_json(one) for one in found]))
    elif not found:
        print_line(readings.none_of("dead letters"))
    else:
        now = application.now().timestamp()
        rows = [
            [
                one.name,
                f"{one.component}.{one.group.fingerprint.handler or '-'}",
                one.group.fingerprint.error or "-",
                one.group.fingerprint.place or "-",
                one.group.dead_letters,
                ago(now - one.group.first_at),
                ago(now - one.group.last_at),
            ]
            for one in found
        ]
        print_block(table(["group", "handler", "error", "at", "dead letters", "first", "last"], rows, right=(4, 5, 6)))
        for one in found:
            print_line()
            print_line(f"{one.name}  {one.group.text or '(no text)'}")
            if one.group.note is not None:
                print_line(f"  note of {one.group.note.by}, {ago(now - one.group.note.at)} ago: {one.group.note.text}")
        print_line()
        print_line(f"plan a redrive  preterite dead-letters plan --group {found[0].name}")
    return readings.exit_code()


def show_audit(options: argparse.Namespace) -> int:
    """Show what operators did, newest first."""
    application = find(options)
    readings = Readings(asked_for=options.component)
    lines: list[tuple[str, AuditLine]] = []
    for name in _started(application, options.component):
        with readings.of(name), application.opened(name) as (database, connection):
            lines += [(name, line) for line in database.store.audit(connection, AUDIT_SHOWN)]
    lines = sorted(lines, key=lambda one: one[1].at, reverse=True)[:AUDIT_SHOWN]
    if options.json:
        print_block(document([{"component": name, **line._asdict()} for name, line in lines]))
    elif not lines:
        print_line("no operator has done anything" if not readings.unread else readings.none_of("decisions"))
    else:
        now = application.now().timestamp()
        rows = [
            [ago(now - line.at), line.operator, name, line.action, _short(line.target), line.reason or "-"]
            for name, line in lines
        ]
        print_block(table(["ago", "operator", "component", "action", "of", "reason"], rows, right=(0,)))
    return readings.exit_code()


def show_dead_letter(options: argparse.Namespace) -> int:
    """Show one dead letter with its event and failure."""
    application = find(options)
    name = dead_letter_named(application, options.dead_letter)
    with application.opened(name.component) as (database, connection):
        row = database.store.get_parked(connection, name.number)
        waiting = database.store.followers(connection, name.number)
    if row is None:
        raise Refused(f"There is no dead letter {name}; preterite dead-letters list shows those there are.")
    if options.json:
        print_block(document(_as_json(name, row)))
        return 0
    waits = "dead letter, needs an operator," if row.state != "parked" else "runs again automatically,"
    print_line(
        f"{name}  {row.type} for handler {row.handler or '(none)'}; {waits} after {number_of(row.attempts, 'attempt')}"
    )
    print_line(f"stream    {row.record.stream} number {row.record.number}, key {row.key or '(none)'}")
    print_line(f"waiting   {number_of(waiting, 'event')} behind it")
    print_line(f"event     {_event_text(row.record.body)}")
    if row.original is not None:
        print_line(f"original  {_event_text(row.original)}")
    if row.failure is not None:
        place = f" at {row.failure.place}" if row.failure.place else ""
        text = clause(row.failure.text) if place else row.failure.text
        print_line(f"error     {row.failure.error}: {text}{place}")
        if row.failure.trace:
            print_line()
            print_block(indented(row.failure.trace))
    print_line()
    print_line(f"run it again  preterite dead-letters redrive {name}")
    print_line(f'discard it    preterite dead-letters discard {name} --reason "…"')
    return 0


def _started(application: Application, only: str | None) -> list[str]:
    """The components that have a database, or the one asked for."""
    wanted = [application.component(only)] if only else application.system.components
    databases = application.databases()
    return [component.name for component in wanted if databases[component.name].exists()]


def _found(application: Application, only: str | None, readings: Readings) -> dict[DeadLetterName, Parked]:
    found: dict[DeadLetterName, Parked] = {}
    for name in _started(application, only):
        with readings.of(name), application.opened(name) as (database, connection):
            rows = dead_letters.dead_letters(database.store, connection, DEAD_LETTERS_SHOWN)
            found |= {DeadLetterName(name, row.id): row for row in rows}
            if len(rows) == DEAD_LETTERS_SHOWN:
                print_line(f"{name}: only the oldest {DEAD_LETTERS_SHOWN:,} are shown", error=True)
    return found


def _groups(application: Application, only: str | None, readings: Readings) -> list[Found]:
    found: list[Found] = []
    for name in _started(application, only):
        with readings.of(name), application.opened(name) as (database, connection):
            for group in dead_letters.failure_groups(database.store, connection):
                found.append(Found(dead_letters.group_name(name, group.fingerprint), name, group))
    return found


def _rows(found: Mapping[DeadLetterName, Parked], now: float) -> Sequence[Sequence[object]]:
    return [
        [
            name,
            row.handler or "-",
            row.type,
            row.failure.error if row.failure else "-",
            (row.failure.place if row.failure else "") or "-",
            ago(now - row.failed_at) if row.failed_at is not None else "-",
            row.attempts,
        ]
        for name, row in found.items()
    ]


def _short(text: str, characters: int = 40) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _event_text(body: bytes) -> str:
    try:
        return bytes(from_bytes(body).data).decode()
    except Undecodable:
        return repr(body[:200])


def _group_as_json(found: Found) -> dict[str, Any]:
    group = found.group
    return {
        "group": found.name,
        "component": found.component,
        **group.fingerprint._asdict(),
        "dead_letters": group.dead_letters,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "text": group.text,
        "note": None if group.note is None else group.note._asdict(),
    }


def _as_json(name: DeadLetterName, row: Parked) -> dict[str, Any]:
    failure = row.failure
    return {
        "dead_letter": str(name),
        "state": row.state,
        "handler": row.handler,
        "type": row.type,
        "key": row.key,
        "stream": str(row.record.stream),
        "number": row.record.number,
        "attempts": row.attempts,
        "failed_at": row.failed_at,
        "error": None if failure is None else failure.error,
        "text": None if failure is None else failure.text,
        "place": None if failure is None else failure.place,
        "trace": None if failure is None else failure.trace,
        "event": _event_text(row.record.body),
        "original": None if row.original is None else _event_text(row.original),
    }
