"""`preterite dead`: what waits for a person, and what a person can do about it."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from preterite import parking
from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.output import ago, document, table
from preterite.clock import SystemClock
from preterite.envelope import from_bytes
from preterite.errors import Undecodable
from preterite.rows import Parked
from preterite.store import Store

LETTERS_SHOWN = 1000
HELP = """\
Dead letters: events that were set aside for a person. Each is named COMPONENT/NUMBER.

  preterite dead list shop.system:system
  preterite dead show finance/12
  preterite dead redrive finance/12 finance/13
  preterite dead redrive --all --component finance
  preterite dead discard finance/12 --reason "test purchase"

A letter that is redriven runs again, and what waits behind it follows in order. One that is discarded is kept
with the reason, and what waits behind it goes on without it.
"""


class Letter(NamedTuple):
    """A dead letter as it is named here."""

    component: str
    number: int

    def __str__(self) -> str:
        return f"{self.component}/{self.number}"


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "dead", "what waits for a person", HELP)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="every dead letter")
    listing.add_argument("words", nargs="*", metavar="APP", help="module:attribute")
    listing.add_argument("--component", help="only of this component")
    listing.add_argument("--json", action="store_true", help="one JSON document")
    listing.set_defaults(command=list_letters)
    show = verbs.add_parser("show", help="one dead letter with its event and traceback")
    show.add_argument("words", nargs="+", metavar="[APP] LETTER", help="as in finance/12")
    show.add_argument("--json", action="store_true", help="one JSON document")
    show.set_defaults(command=show_letter)
    redrive = verbs.add_parser("redrive", help="run dead letters again")
    discard = verbs.add_parser("discard", help="decide not to apply dead letters, with a reason")
    for verb in (redrive, discard):
        verb.add_argument("words", nargs="*", metavar="[APP] LETTER", help="as in finance/12")
        verb.add_argument("--all", action="store_true", help="every dead letter there is now")
        verb.add_argument("--component", help="with --all: only of this component")
    redrive.set_defaults(command=redrive_letters)
    discard.add_argument("--reason", required=True, help="why; kept beside the letter")
    discard.add_argument("--as", dest="by", metavar="NAME", default=None, help="who decides; your login where left out")
    discard.set_defaults(command=discard_letters)


def list_letters(options: argparse.Namespace) -> int:
    """Show every dead letter, oldest first."""
    application, _ = find(options.words)
    letters = _letters(application, options.component)
    if options.json:
        print(document([_as_json(letter, row) for letter, row in letters.items()]))
    elif not letters:
        print("no dead letters")
    else:
        print(table(["letter", "handler", "event", "error", "at", "failed", "attempts"], _rows(letters), right=(5, 6)))
        print("\nshow one  preterite dead show", next(iter(letters)))
    return 0


def show_letter(options: argparse.Namespace) -> int:
    """Show one dead letter with everything that is known of it."""
    application, words = find(options.words)
    if len(words) != 1:
        raise Refused("dead show takes one letter, as in finance/12.")
    letter = _letter(application, words[0])
    with application.opened(letter.component) as (database, connection):
        row = database.store.get_parked(connection, letter.number)
    if row is None:
        raise Refused(f"There is no letter {letter}; preterite dead list shows those there are.")
    if options.json:
        print(document(_as_json(letter, row)))
        return 0
    waits = "waits for a person" if row.state != "parked" else "runs again by itself"
    print(f"{letter}  {row.type} for handler {row.handler or '(none)'}; {waits} after {row.attempts} attempts")
    print(f"stream    {row.record.stream} number {row.record.number}, key {row.key or '(none)'}")
    print(f"event     {_event_text(row)}")
    if row.failure is not None:
        place = f" at {row.failure.place}" if row.failure.place else ""
        print(f"error     {row.failure.error}: {row.failure.text}{place}")
        if row.failure.trace:
            print(f"\n{row.failure.trace.rstrip()}")
    print(
        f'\nrun it again  preterite dead redrive {letter}\nleave it out  preterite dead discard {letter} --reason "…"'
    )
    return 0


def redrive_letters(options: argparse.Namespace) -> int:
    """Make dead letters due again."""
    return _act(options, "redriven", parking.redrive)


def discard_letters(options: argparse.Namespace) -> int:
    """Set dead letters aside for good."""
    by, now = options.by or getpass.getuser(), SystemClock().wall()
    reason: str = options.reason

    def act(store: Store, connection: Any, ids: Sequence[int]) -> list[int]:
        return parking.discard(store, connection, ids, reason, by, now)

    return _act(options, "discarded", act)


def _act(options: argparse.Namespace, done_word: str, act: Callable[[Store, Any, Sequence[int]], list[int]]) -> int:
    application, words = find(options.words)
    if options.all == bool(words):
        raise Refused("Name the letters, as in finance/12, or say --all.")
    chosen = list(_letters(application, options.component)) if options.all else [_letter(application, w) for w in words]
    done: list[Letter] = []
    for component in dict.fromkeys(letter.component for letter in chosen):
        numbers = [letter.number for letter in chosen if letter.component == component]
        with application.opened(component) as (database, connection):
            done += [Letter(component, number) for number in act(database.store, connection, numbers)]
    left = [str(letter) for letter in chosen if letter not in done]
    print(f"{len(done)} {done_word}" + (f"; {len(left)} not, because not dead: {', '.join(left)}" if left else ""))
    return 6 if left else 0


def _letters(application: Application, only: str | None) -> dict[Letter, Parked]:
    components = [application.component(only)] if only else application.system.components
    found: dict[Letter, Parked] = {}
    for name in [component.name for component in components]:
        if not application.databases()[name].exists():
            continue
        with application.opened(name) as (database, connection):
            rows = parking.dead_letters(database.store, connection, LETTERS_SHOWN)
            found |= {Letter(name, row.id): row for row in rows}
            if len(rows) == LETTERS_SHOWN:
                print(f"{name}: only the oldest {LETTERS_SHOWN:,} are shown", file=sys.stderr)
    return found


def _letter(application: Application, word: str) -> Letter:
    component, _, number = word.rpartition("/")
    if not component or not number.isdigit():
        raise Refused(f"{word!r} names no letter; write COMPONENT/NUMBER, as in finance/12.")
    return Letter(application.component(component).name, int(number))


def _rows(letters: Mapping[Letter, Parked]) -> Sequence[Sequence[object]]:
    now = SystemClock().now().timestamp()
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
        for letter, row in letters.items()
    ]


def _event_text(row: Parked) -> str:
    try:
        return bytes(from_bytes(row.record.body).data).decode()
    except Undecodable:
        return repr(row.record.body[:200])


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
        "event": _event_text(row),
    }
