"""`preterite dead`: what waits for a person. What a person can do about it is in `dead_decisions.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from preterite import letters
from preterite.cli import dead_decisions as decisions
from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.letter import Letter, letter_named
from preterite.cli.output import ago, document, table
from preterite.envelope import from_bytes
from preterite.errors import Undecodable
from preterite.rows import AuditLine, LetterGroup, Parked

LETTERS_SHOWN = 1000
AUDIT_SHOWN = 100
HELP = """\
Dead letters: events and commands that were set aside for a person. Each is named COMPONENT/NUMBER; those that failed
in the same way are a group, with a name that stays the same.

  preterite dead groups                         what failed, how often, and what is known of it
  preterite dead list                           every letter
  preterite dead show finance/12
  preterite dead plan --group g3fa21c           what a redrive would do; does nothing
  preterite dead redrive finance/12 --reason "price added"
  preterite dead redrive --group g3fa21c        in growing steps; stops when more than 5 % fail again
  preterite dead redrive --oldest 20 --component finance
  preterite dead edit finance/12 quantity=2 --reason "typing error"
  preterite dead discard finance/12 --reason "test purchase"
  preterite dead note g3fa21c "price list row missing; add it, then redrive"
  preterite dead audit                          who did what

A letter that is redriven runs again, and what waits behind it follows in order. One that is discarded is kept with
the reason, and what waits behind it goes on without it.
"""


class Found(NamedTuple):
    """A group of dead letters of one component."""

    name: str
    component: str
    group: LetterGroup


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "dead", "what waits for a person", HELP)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, says, command in (
        ("list", "every dead letter", list_letters),
        ("groups", "dead letters that failed in the same way", list_groups),
        ("audit", "who did what, newest first", show_audit),
    ):
        verb = verbs.add_parser(name, help=says)
        verb.add_argument("words", nargs="*", metavar="APP", help="module:attribute")
        verb.add_argument("--component", help="only of this component")
        verb.add_argument("--json", action="store_true", help="one JSON document")
        verb.set_defaults(command=command)
    show = verbs.add_parser("show", help="one dead letter with its event and traceback")
    show.add_argument("words", nargs="+", metavar="[APP] LETTER", help="as in finance/12")
    show.add_argument("--json", action="store_true", help="one JSON document")
    show.set_defaults(command=show_letter)
    decisions.add_to(verbs)


def list_letters(options: argparse.Namespace) -> int:
    """Show every dead letter, oldest first."""
    application, _ = find(options.words)
    found = _letters(application, options.component)
    if options.json:
        print(document([_as_json(letter, row) for letter, row in found.items()]))
    elif not found:
        print("no dead letters")
    else:
        rows = _rows(found, application.now().timestamp())
        print(table(["letter", "handler", "event", "error", "at", "failed", "attempts"], rows, right=(5, 6)))
        print("\nshow one  preterite dead show", next(iter(found)))
    return 0


def list_groups(options: argparse.Namespace) -> int:
    """Show what failed in the same way, with what is known of it."""
    application, _ = find(options.words)
    found = _groups(application, options.component)
    if options.json:
        print(document([_group_as_json(one) for one in found]))
    elif not found:
        print("no dead letters")
    else:
        now = application.now().timestamp()
        rows = [
            [
                one.name,
                f"{one.component}.{one.group.fingerprint.handler or '-'}",
                one.group.fingerprint.error or "-",
                one.group.fingerprint.place or "-",
                one.group.letters,
                ago(now - one.group.first_at),
                ago(now - one.group.last_at),
            ]
            for one in found
        ]
        print(table(["group", "handler", "error", "at", "letters", "first", "last"], rows, right=(4, 5, 6)))
        for one in found:
            print(f"\n{one.name}  {one.group.text or '(no text)'}")
            if one.group.note is not None:
                print(f"  note of {one.group.note.by}, {ago(now - one.group.note.at)} ago: {one.group.note.text}")
        print(f"\nwhat a redrive would do  preterite dead plan --group {found[0].name}")
    return 0


def show_audit(options: argparse.Namespace) -> int:
    """Show who did what, newest first."""
    application, _ = find(options.words)
    lines: list[tuple[str, AuditLine]] = []
    for name in _started(application, options.component):
        with application.opened(name) as (database, connection):
            lines += [(name, line) for line in database.store.audit(connection, AUDIT_SHOWN)]
    lines = sorted(lines, key=lambda one: one[1].at, reverse=True)[:AUDIT_SHOWN]
    if options.json:
        print(document([{"component": name, **line._asdict()} for name, line in lines]))
    elif not lines:
        print("nobody has done anything")
    else:
        now = application.now().timestamp()
        rows = [
            [ago(now - line.at), line.by, name, line.did, _short(line.to), line.reason or "-"] for name, line in lines
        ]
        print(table(["ago", "who", "component", "did", "to", "reason"], rows, right=(0,)))
    return 0


def show_letter(options: argparse.Namespace) -> int:
    """Show one dead letter with everything that is known of it."""
    application, words = find(options.words)
    if len(words) != 1:
        raise Refused("dead show takes one letter, as in finance/12.")
    letter = letter_named(application, words[0])
    with application.opened(letter.component) as (database, connection):
        row = database.store.get_parked(connection, letter.number)
        behind = database.store.followers(connection, letter.number)
    if row is None:
        raise Refused(f"There is no letter {letter}; preterite dead list shows those there are.")
    if options.json:
        print(document(_as_json(letter, row)))
        return 0
    waits = "waits for a person" if row.state != "parked" else "runs again by itself"
    print(f"{letter}  {row.type} for handler {row.handler or '(none)'}; {waits} after {row.attempts} attempts")
    print(f"stream    {row.record.stream} number {row.record.number}, key {row.key or '(none)'}")
    print(f"behind it {behind} wait")
    print(f"event     {_event_text(row.record.body)}")
    if row.original is not None:
        print(f"it came as {_event_text(row.original)}")
    if row.failure is not None:
        place = f" at {row.failure.place}" if row.failure.place else ""
        print(f"error     {row.failure.error}: {row.failure.text}{place}")
        if row.failure.trace:
            print(f"\n{row.failure.trace.rstrip()}")
    print(
        f'\nrun it again  preterite dead redrive {letter}\nleave it out  preterite dead discard {letter} --reason "…"'
    )
    return 0


def _started(application: Application, only: str | None) -> list[str]:
    """The components that were started once, or the one asked for."""
    wanted = [application.component(only)] if only else application.system.components
    databases = application.databases()
    return [component.name for component in wanted if databases[component.name].exists()]


def _letters(application: Application, only: str | None) -> dict[Letter, Parked]:
    found: dict[Letter, Parked] = {}
    for name in _started(application, only):
        with application.opened(name) as (database, connection):
            rows = letters.dead_letters(database.store, connection, LETTERS_SHOWN)
            found |= {Letter(name, row.id): row for row in rows}
            if len(rows) == LETTERS_SHOWN:
                print(f"{name}: only the oldest {LETTERS_SHOWN:,} are shown", file=sys.stderr)
    return found


def _groups(application: Application, only: str | None) -> list[Found]:
    found: list[Found] = []
    for name in _started(application, only):
        with application.opened(name) as (database, connection):
            for group in letters.groups(database.store, connection):
                found.append(Found(letters.group_name(name, group.fingerprint), name, group))
    return found


def _rows(found: Mapping[Letter, Parked], now: float) -> Sequence[Sequence[object]]:
    return [
        [
            letter,
            row.handler or "-",
            row.type,
            row.failure.error if row.failure else "-",
            (row.failure.place if row.failure else "") or "-",
            ago(now - row.failed_at) if row.failed_at is not None else "-",
            row.attempts,
        ]
        for letter, row in found.items()
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
        "letters": group.letters,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "text": group.text,
        "note": None if group.note is None else group.note._asdict(),
    }


def _as_json(letter: Letter, row: Parked) -> dict[str, Any]:
    failure = row.failure
    return {
        "letter": str(letter),
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
        "as_it_came": None if row.original is None else _event_text(row.original),
    }
