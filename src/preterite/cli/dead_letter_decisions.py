"""What operators do with dead letters: plan, redrive, edit, discard, note."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from preterite.cli.application import Application, Readings, Refused, add_command, find
from preterite.cli.dead_letter import NAMED, DeadLetterName, dead_letter_named
from preterite.cli.output import number_of, print_line
from preterite.cli.words import number_from
from preterite.clock import SystemClock
from preterite.operations import dead_letters
from preterite.operations.dead_letters import DEAD_LETTERS_MAX, Operator, Plan, Step
from preterite.store.contract import Store
from preterite.store.rows import DbConnection, Fingerprint

GROUP_NAMED = "the failure group, as dead-letters groups names it: g3fa21c"
PLAN = """\
Print what a redrive of these dead letters would do. Changes nothing.

  preterite dead-letters plan --group g3fa21c
"""
REDRIVE = """\
Run dead letters again. What waits behind each follows in order. Many are redriven in growing steps: a step starts when
the one before it is finished, and redriving stops when more than 5 % of a step fail again.

  preterite dead-letters redrive finance/12 --reason "price added"
  preterite dead-letters redrive --group g3fa21c
  preterite dead-letters redrive --oldest 20 --component finance
"""
DISCARD = """\
Decide that dead letters are never applied. They are kept with the reason; what waits behind them runs without them.

  preterite dead-letters discard finance/12 --reason "test purchase"
"""
EDIT = """\
Change fields of a dead letter's event, before it is redriven. The original event is kept beside it.

  preterite dead-letters edit finance/12 quantity=2 --reason "typing error"
"""
NOTE = """\
Write down what is known of a failure group. The note is shown again whenever an event fails in the same way.

  preterite dead-letters note g3fa21c "price list row missing; add it, then redrive"
"""
LOOK_SECONDS = 0.05
"""How often a redrive looks whether its step is done."""
STEP_SECONDS = 60.0
"""How long a step of a redrive waits for its events to be handled before it stops."""


def add_to(verbs: Any) -> None:
    """Declare the verbs."""
    plan = add_command(verbs, "plan", "print what a redrive would run; changes nothing", PLAN)
    redrive = add_command(verbs, "redrive", "run dead letters again, in growing steps", REDRIVE)
    discard = add_command(verbs, "discard", "discard dead letters, with a reason", DISCARD)
    for verb in (plan, redrive, discard):
        verb.add_argument("dead_letters", nargs="*", metavar="DEAD_LETTER", help=NAMED)
        verb.add_argument("--all", action="store_true", help="every dead letter")
        verb.add_argument(
            "--group",
            metavar="GROUP",
            help="those of this failure group, as dead-letters groups names it; default: any group",
        )
        verb.add_argument(
            "--oldest", type=number_from(1), metavar="N", help="the N oldest of --group or --component; default: all"
        )
        verb.add_argument("--component", help="those of this component; default: every component")
    plan.set_defaults(command=show_plan)
    redrive.add_argument("--at-once", action="store_true", help="all in one step, without waiting for the result")
    redrive.set_defaults(command=redrive_dead_letters)
    discard.set_defaults(command=discard_dead_letters)
    edit = add_command(verbs, "edit", "change fields of a dead letter's event", EDIT)
    edit.add_argument("dead_letter", metavar="DEAD_LETTER", help=NAMED)
    edit.add_argument(
        "changes",
        nargs="+",
        metavar="FIELD=VALUE",
        help="a field and its new value, as in quantity=2: JSON, or else a text",
    )
    edit.set_defaults(command=edit_dead_letter)
    note = add_command(verbs, "note", "write down what is known of a failure group", NOTE)
    note.add_argument("group", metavar="GROUP", help=GROUP_NAMED)
    note.add_argument("text", nargs="+", metavar="TEXT", help="the note, as in 'add the price, then redrive'")
    note.set_defaults(command=note_group)
    for verb, required in ((redrive, False), (discard, True), (edit, True), (note, False)):
        needed = f"why; shown by dead-letters audit{'' if required else '; default: no reason'}"
        verb.add_argument("--reason", required=required, default="", help=needed)
        verb.add_argument("--as", dest="by", metavar="NAME", default=None, help="the operator; default: your login")


def show_plan(options: argparse.Namespace) -> int:
    """Print what a redrive of these dead letters would run."""
    application = find(options)
    readings = Readings(asked_for=options.component)
    for component, numbers in _some(application, options, readings).items():
        with application.opened(component) as (database, connection):
            _print_plan(component, dead_letters.plan(database.store, connection, numbers))
    return readings.exit_code()


def redrive_dead_letters(options: argparse.Namespace) -> int:
    """Run dead letters again, step by step, and print the result."""
    application = find(options)
    operator = _operator(application, options)
    code, readings = 0, Readings(asked_for=options.component)
    for component, numbers in _some(application, options, readings).items():
        with application.opened(component) as (database, connection):
            chosen = dead_letters.plan(database.store, connection, numbers)
            if options.at_once:
                done = dead_letters.redrive(database.store, connection, chosen.dead_letters, operator)
                print_line(f"{component}: {len(done)} redriven{_not_run(component, chosen)}")
                code = 6 if chosen.not_dead or chosen.retired else code
            else:
                code = max(code, _redrive(component, database.store, connection, chosen, operator))
    return readings.exit_code(code)


def discard_dead_letters(options: argparse.Namespace) -> int:
    """Discard dead letters; they are kept with the reason."""
    application = find(options)
    operator = _operator(application, options)
    code, readings = 0, Readings(asked_for=options.component)
    for component, numbers in _some(application, options, readings).items():
        with application.opened(component) as (database, connection):
            chosen = dead_letters.plan(database.store, connection, numbers)
            dead = [*chosen.dead_letters, *chosen.retired]
            done = dead_letters.discard(database.store, connection, dead, operator)
            print_line(f"{component}: {len(done)} discarded{_not_dead(component, chosen)}")
            code = 6 if chosen.not_dead else code
    return readings.exit_code(code)


def edit_dead_letter(options: argparse.Namespace) -> int:
    """Change fields of a dead letter's event."""
    application = find(options)
    name = dead_letter_named(application, options.dead_letter)
    changes = dict(_change(word) for word in options.changes)
    known = application.system.verify(application.databases()).subscriptions[name.component]
    with application.opened(name.component) as (database, connection):
        row = database.store.get_parked(connection, name.number)
        subscription = None if row is None else known.find(row.record.kind, row.type)
        if subscription is None:
            raise Refused(
                f"There is no dead letter {name}, or its event is not declared any more; nothing was changed. "
                "preterite dead-letters list shows those there are."
            )
        operator = _operator(application, options)
        dead_letters.edit(database.store, connection, name.number, changes, subscription.checked, operator)
    print_line(f"{name} is changed; run it again  preterite dead-letters redrive {name}")
    return 0


def note_group(options: argparse.Namespace) -> int:
    """Keep a note on a failure group."""
    application = find(options)
    component, fingerprint = _group(application, options.group, Readings())
    with application.opened(component) as (database, connection):
        text = " ".join(options.text)
        dead_letters.note(database.store, connection, fingerprint, text, _operator(application, options))
    print_line(f"noted; the note is shown whenever {options.group} comes back")
    return 0


def _redrive(component: str, store: Store, connection: DbConnection, chosen: Plan, operator: Operator) -> int:
    clock = SystemClock()
    until = clock.monotonic() + STEP_SECONDS

    def wait() -> bool:
        clock.sleep(LOOK_SECONDS)
        return clock.monotonic() < until

    if not _runs(store, connection, clock):
        limit = f"{STEP_SECONDS:.0f} s"
        print_line(f"{component} does not run; start it: preterite run. The redrive waits for it, {limit}", error=True)
    total = 0
    last: Step | None = None
    for last in dead_letters.redrive_in_steps(store, connection, chosen, operator, wait):
        until = clock.monotonic() + STEP_SECONDS
        total += last.handled
        print_line(
            f"{component}: {total} of {len(chosen.dead_letters)} handled, {last.failed_again} failed again", error=True
        )
    stopped = "" if last is None or not (last.left or last.unfinished) else _why_stopped(last)
    again = f", {last.failed_again} failed again" if last is not None and last.failed_again else ""
    print_line(f"{component}: {total} redriven and handled{again}{_not_run(component, chosen)}{stopped}")
    failed = last is not None and (last.failed_again > 0 or last.unfinished > 0 or last.left > 0)
    return 6 if failed or chosen.not_dead or chosen.retired else 0


def _runs(store: Store, connection: DbConnection, clock: SystemClock) -> bool:
    now = store.server_time(connection, clock.wall())
    return any(lease.owner is not None and lease.expires_at > now for lease in store.leases(connection))


def _why_stopped(step: Step) -> str:
    if step.unfinished:
        late = f"; stopped: {number_of(step.unfinished, 'was', 'were')} not run within {STEP_SECONDS:.0f} s"
        return f"{late}; see whether the component runs: preterite status"
    return f"; stopped, because more than 5 % failed again; {number_of(step.left, 'was', 'were')} not redriven"


def _print_plan(component: str, plan: Plan) -> None:
    handlers = ", ".join(f"{count} with {name or '(no handler)'}" for name, count in sorted(plan.handlers.items()))
    print_line(f"{component}: {number_of(len(plan.dead_letters), 'dead letter')} would run again, oldest first")
    print_line(f"  will run      {handlers or 'nothing'}")
    print_line(
        f"  then          {number_of(plan.followers, 'event that waits', 'events that wait')} behind them, in order"
    )
    print_line("  will not run  any other handler, any other component")
    if plan.not_dead:
        print_line(f"  not dead      {_named(component, plan.not_dead)}")
    if plan.retired:
        print_line(f"  retired       {_named(component, plan.retired)}: the handler is retired; discard what it left")
    print_line(
        f"  steps         {' → '.join(str(size) for size in plan.steps) or '-'}   stops when more than 5 % fail again"
    )
    print_line("  undo          not possible")


def _not_dead(component: str, plan: Plan) -> str:
    if not plan.not_dead:
        return ""
    are = "is not a dead letter" if len(plan.not_dead) == 1 else "are not dead letters"
    return f"; {_named(component, plan.not_dead)} {are}"


def _not_run(component: str, plan: Plan) -> str:
    if not plan.retired:
        return _not_dead(component, plan)
    names = _named(component, plan.retired)
    retired = f"; the handler of {names} is retired: discard {'it' if len(plan.retired) == 1 else 'them'}"
    return _not_dead(component, plan) + retired


def _named(component: str, numbers: Sequence[int]) -> str:
    return ", ".join(str(DeadLetterName(component, number)) for number in numbers)


def _some(application: Application, options: argparse.Namespace, readings: Readings) -> Mapping[str, list[int]]:
    """What was chosen; that it is nothing is printed. Raises `Refused` where none of the names is a dead letter's."""
    chosen = _chosen(application, options.dead_letters, options, readings)
    if not chosen:
        print_line(readings.none_of("dead letters"))
    elif options.dead_letters and not any(_has_dead(application, *one) for one in chosen.items()):
        names = ", ".join(_named(*one) for one in chosen.items())
        raise Refused(
            f"There is no dead letter {names}; nothing was changed. preterite dead-letters list shows those there are."
        )
    return chosen


def _has_dead(application: Application, component: str, numbers: Sequence[int]) -> bool:
    with application.opened(component) as (database, connection):
        found = dead_letters.plan(database.store, connection, numbers)
    return bool(found.dead_letters or found.retired)


def _chosen(
    application: Application, words: Sequence[str], options: argparse.Namespace, readings: Readings
) -> Mapping[str, list[int]]:
    """The numbers of the chosen dead letters, by component."""
    limit = DEAD_LETTERS_MAX if options.oldest is None else options.oldest
    if words:
        if options.group or options.all or options.oldest is not None:
            raise Refused("Name dead letters, or choose them with --group, --oldest or --all; not both.")
        named = [dead_letter_named(application, word) for word in words]
        by_component: dict[str, list[int]] = {}
        for name in dict.fromkeys(named):
            by_component.setdefault(name.component, []).append(name.number)
        return by_component
    if options.group:
        component, fingerprint = _group(application, options.group, readings)
        return _of(
            application,
            [component],
            lambda store, connection: store.dead_letters_of(connection, fingerprint, limit),
            readings,
        )
    if not options.all and options.oldest is None:
        raise Refused("Choose dead letters: by name, as in finance/12, or with --group, --oldest or --all.")
    wanted = [application.component(options.component)] if options.component else application.system.components
    names = [component.name for component in wanted]
    if options.oldest is not None and len(names) > 1:
        raise Refused(
            "--oldest needs --component or --group: dead letters of different components have no common order."
        )
    return _of(application, names, lambda store, connection: store.dead_letters_of(connection, None, limit), readings)


def _of(
    application: Application,
    components: Sequence[str],
    select: Callable[[Store, DbConnection], Sequence[int]],
    readings: Readings,
) -> dict[str, list[int]]:
    databases = application.databases()
    found: dict[str, list[int]] = {}
    for name in components:
        if databases[name].exists():
            with readings.of(name), application.opened(name) as (database, connection):
                found[name] = list(select(database.store, connection))
    return {name: numbers for name, numbers in found.items() if numbers}


def _group(application: Application, name: str, readings: Readings) -> tuple[str, Fingerprint]:
    databases = application.databases()
    for component in application.system.components:
        if not databases[component.name].exists():
            continue
        with readings.of(component.name), application.opened(component.name) as (database, connection):
            for group in dead_letters.failure_groups(database.store, connection):
                if dead_letters.group_name(component.name, group.fingerprint) == name:
                    return component.name, group.fingerprint
    raise Refused(f"There is no failure group {name!r}; preterite dead-letters groups shows them.")


def _change(word: str) -> tuple[str, Any]:
    field, separator, value = word.partition("=")
    if not separator or not field:
        raise Refused(f"{word!r} changes nothing; write FIELD=VALUE, as in quantity=2.")
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):
        return field, value


def _operator(application: Application, options: argparse.Namespace) -> Operator:
    return Operator(options.by or getpass.getuser(), options.reason, application.now().timestamp())
