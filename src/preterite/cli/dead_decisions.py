"""What a person does about dead letters: plan, redrive, edit, discard, note."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from preterite import letters
from preterite.cli.application import Application, Refused, find
from preterite.cli.letter import Letter, letter_named
from preterite.clock import SystemClock
from preterite.letters import LETTERS_MAX, Person, Plan, Step
from preterite.rows import DbConnection, Fingerprint
from preterite.store import Store

LOOK_SECONDS = 0.05
STEP_SECONDS = 60.0


def add_to(verbs: Any) -> None:
    """Declare the verbs."""
    plan = verbs.add_parser("plan", help="what a redrive would do; does nothing")
    redrive = verbs.add_parser("redrive", help="run dead letters again, in growing steps")
    discard = verbs.add_parser("discard", help="decide not to apply dead letters, with a reason")
    for verb in (plan, redrive, discard):
        verb.add_argument("words", nargs="*", metavar="[APP] LETTER", help="as in finance/12")
        verb.add_argument("--all", action="store_true", help="every dead letter there is now")
        verb.add_argument("--group", metavar="GROUP", help="those that failed in this way; see dead groups")
        verb.add_argument("--oldest", type=int, metavar="N", help="the N oldest, of --group or --component if given")
        verb.add_argument("--component", help="only of this component")
    plan.set_defaults(command=show_plan)
    redrive.add_argument(
        "--at-once", action="store_true", help="all together, and without waiting to see what becomes of them"
    )
    redrive.set_defaults(command=redrive_letters)
    discard.set_defaults(command=discard_letters)
    edit = verbs.add_parser("edit", help="change fields of a dead letter's event; what came is kept beside it")
    edit.add_argument("words", nargs="+", metavar="[APP] LETTER FIELD=VALUE", help="as in finance/12 quantity=2")
    edit.set_defaults(command=edit_letter)
    note = verbs.add_parser("note", help="write down what is known of a group; it comes back when the group does")
    note.add_argument("words", nargs="+", metavar="[APP] GROUP TEXT", help="as in g3fa21c 'add the price'")
    note.set_defaults(command=note_group)
    for verb, required in ((redrive, False), (discard, True), (edit, True), (note, False)):
        verb.add_argument("--reason", required=required, default="", help="why; kept in the audit")
        verb.add_argument("--as", dest="by", metavar="NAME", default=None, help="who decides; your login if left out")


def show_plan(options: argparse.Namespace) -> int:
    """Say what a redrive of these letters would do, and what it would not."""
    application, words = find(options.words)
    for component, numbers in _chosen(application, words, options).items():
        with application.opened(component) as (database, connection):
            _print_plan(component, letters.plan(database.store, connection, numbers))
    return 0


def redrive_letters(options: argparse.Namespace) -> int:
    """Send dead letters through again, step by step, and say what became of them."""
    application, words = find(options.words)
    person = _person(application, options)
    code = 0
    for component, numbers in _chosen(application, words, options).items():
        with application.opened(component) as (database, connection):
            chosen = letters.plan(database.store, connection, numbers)
            if options.at_once:
                done = letters.redrive(database.store, connection, chosen.letters, person)
                print(f"{component}: {len(done)} redriven{_not_dead(component, chosen)}")
                code = 6 if chosen.gone else code
            else:
                code = max(code, _redrive(component, database.store, connection, chosen, person))
    return code


def discard_letters(options: argparse.Namespace) -> int:
    """Leave dead letters out for good; they are kept with the reason."""
    application, words = find(options.words)
    person = _person(application, options)
    code = 0
    for component, numbers in _chosen(application, words, options).items():
        with application.opened(component) as (database, connection):
            chosen = letters.plan(database.store, connection, numbers)
            done = letters.discard(database.store, connection, chosen.letters, person)
            print(f"{component}: {len(done)} discarded{_not_dead(component, chosen)}")
            code = 6 if chosen.gone else code
    return code


def edit_letter(options: argparse.Namespace) -> int:
    """Change fields of one letter's event."""
    application, words = find(options.words)
    if len(words) < 2:
        raise Refused("dead edit takes a letter and what to change: finance/12 quantity=2.")
    letter = letter_named(application, words[0])
    changes = dict(_change(word) for word in words[1:])
    known = application.system.verify(application.databases()).subscriptions[letter.component]
    with application.opened(letter.component) as (database, connection):
        row = database.store.get_parked(connection, letter.number)
        subscription = None if row is None else known.find(row.record.kind, row.type)
        if subscription is None:
            raise Refused(f"There is no letter {letter} whose event is declared here; preterite dead list shows all.")
        person = _person(application, options)
        letters.edit(database.store, connection, letter.number, changes, subscription.checked, person)
    print(f"{letter} is changed; run it again  preterite dead redrive {letter}")
    return 0


def note_group(options: argparse.Namespace) -> int:
    """Keep what is known of a group."""
    application, words = find(options.words)
    if len(words) < 2:
        raise Refused("dead note takes a group and a text: g3fa21c 'add the price, then redrive'.")
    component, fingerprint = _group(application, words[0])
    with application.opened(component) as (database, connection):
        text = " ".join(words[1:])
        letters.note(database.store, connection, fingerprint, text, _person(application, options))
    print(f"noted; it is shown whenever {words[0]} comes back")
    return 0


def _redrive(component: str, store: Store, connection: DbConnection, chosen: Plan, person: Person) -> int:
    clock = SystemClock()
    until = clock.monotonic() + STEP_SECONDS

    def wait() -> bool:
        clock.sleep(LOOK_SECONDS)
        return clock.monotonic() < until

    total = 0
    last: Step | None = None
    for last in letters.redrive_in_steps(store, connection, chosen, person, wait):
        until = clock.monotonic() + STEP_SECONDS
        total += last.handled
        print(
            f"{component}: {total} of {len(chosen.letters)} handled, {last.failed_again} failed again", file=sys.stderr
        )
    stopped = "" if last is None or not (last.left or last.unfinished) else _why_stopped(last)
    print(f"{component}: {total} redriven and handled{_not_dead(component, chosen)}{stopped}")
    failed = last is not None and (last.failed_again > 0 or last.unfinished > 0 or last.left > 0)
    return 6 if failed or chosen.gone else 0


def _why_stopped(step: Step) -> str:
    if step.unfinished:
        return f"; stopped: nobody has run {step.unfinished} of them in {STEP_SECONDS:.0f} s. Is the component running?"
    return f"; stopped, because more than 5 % failed again; {step.left} left as they were"


def _print_plan(component: str, plan: Plan) -> None:
    handlers = ", ".join(f"{name or '(none)'} {count}" for name, count in sorted(plan.handlers.items()))
    print(f"{component}: {len(plan.letters)} letters would run again, oldest first")
    print(f"  will run      {handlers or 'nothing'}")
    print(f"  then          {plan.followers} that wait behind them, in order")
    print("  will not run  any other handler, any other component")
    if plan.gone:
        print(f"  not dead      {', '.join(str(Letter(component, number)) for number in plan.gone)}")
    print(
        f"  steps         {' → '.join(str(size) for size in plan.steps) or '-'}   stops when more than 5 % fail again"
    )
    print("  undo          no")


def _not_dead(component: str, plan: Plan) -> str:
    if not plan.gone:
        return ""
    return f"; {len(plan.gone)} not, because not dead: {', '.join(str(Letter(component, n)) for n in plan.gone)}"


def _chosen(application: Application, words: Sequence[str], options: argparse.Namespace) -> Mapping[str, list[int]]:
    """The letters that are meant, by component."""
    limit = LETTERS_MAX if options.oldest is None else options.oldest
    if words:
        if options.group or options.all or options.oldest is not None:
            raise Refused("Name letters, or choose them with --group, --oldest or --all; not both.")
        named = [letter_named(application, word) for word in words]
        by_component: dict[str, list[int]] = {}
        for letter in dict.fromkeys(named):
            by_component.setdefault(letter.component, []).append(letter.number)
        return by_component
    if options.group:
        component, fingerprint = _group(application, options.group)
        return _of(application, [component], lambda store, connection: store.letters_of(connection, fingerprint, limit))
    if not options.all and options.oldest is None:
        raise Refused("Say which letters: by name, as in finance/12, or with --group, --oldest or --all.")
    wanted = [application.component(options.component)] if options.component else application.system.components
    names = [component.name for component in wanted]
    if options.oldest is not None and len(names) > 1:
        raise Refused("--oldest needs --component or --group: letters of several components have no one order.")
    return _of(application, names, lambda store, connection: store.letters_of(connection, None, limit))


def _of(
    application: Application, components: Sequence[str], select: Callable[[Store, DbConnection], Sequence[int]]
) -> dict[str, list[int]]:
    databases = application.databases()
    found: dict[str, list[int]] = {}
    for name in components:
        if databases[name].exists():
            with application.opened(name) as (database, connection):
                found[name] = list(select(database.store, connection))
    return {name: numbers for name, numbers in found.items() if numbers}


def _group(application: Application, name: str) -> tuple[str, Fingerprint]:
    databases = application.databases()
    for component in application.system.components:
        if not databases[component.name].exists():
            continue
        with application.opened(component.name) as (database, connection):
            for group in letters.groups(database.store, connection):
                if letters.group_name(component.name, group.fingerprint) == name:
                    return component.name, group.fingerprint
    raise Refused(f"There is no group {name!r}; preterite dead groups shows those there are.")


def _change(word: str) -> tuple[str, Any]:
    field, separator, value = word.partition("=")
    if not separator or not field:
        raise Refused(f"{word!r} changes nothing; write FIELD=VALUE, as in quantity=2.")
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def _person(application: Application, options: argparse.Namespace) -> Person:
    return Person(options.by or getpass.getuser(), options.reason, application.now().timestamp())
