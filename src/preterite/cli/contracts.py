"""`preterite contracts`: the shapes of events, how they have changed, and whether the changes are compatible."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, Refused, add_command, add_verb, find
from preterite.cli.check import root
from preterite.cli.output import number_of, print_block, print_line, table
from preterite.evolution import lock
from preterite.evolution.compatibility import Problem
from preterite.evolution.compatibility_table import HEADER, rows
from preterite.evolution.lock import Change, Lock
from preterite.evolution.shapes import Shape, type_text

HELP = """\
Compare the schemas of the events with contracts.lock beside pyproject.toml, which holds every schema with which an
event was ever published. Put the file under version control. A change is compatible if old programs can read new
events, and new programs can read stored events.

  preterite contracts show                 print the schema of every event
  preterite contracts diff                 print the changes since contracts.lock; exits with 1 if one is incompatible
  preterite contracts lock                 add the current schemas; refused if a change is incompatible
  preterite contracts lock --retire NAME   remove an event that is no longer published and that no log contains
  preterite contracts table                print which changes are compatible
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "contracts", "compare the schemas of events with those published before", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    show = add_verb(verbs, "contracts", "show", "print the schema of every event", HELP)
    diff = add_verb(verbs, "contracts", "diff", "print the changes since contracts.lock was written", HELP)
    keep = add_verb(verbs, "contracts", "lock", "add the current schemas to contracts.lock", HELP)
    add_verb(verbs, "contracts", "table", "print which changes are compatible", HELP)
    for verb in (show, diff, keep):
        verb.add_argument(
            "--lock", type=Path, metavar="FILE", help="the file; default: contracts.lock beside pyproject.toml"
        )
    keep.add_argument(
        "--retire", action="append", default=[], metavar="NAME", help="remove this event; default: remove none"
    )
    parser.set_defaults(command=contracts, retire=[])


def contracts(options: argparse.Namespace) -> int:
    """Print, compare or lock; 1 if a change is incompatible."""
    if options.action == "table":
        print_block(table([*HEADER], [*rows()]))
        return 0
    application = find(options)
    file: Path = options.lock or root() / lock.FILE
    locked = lock.load(file)
    if options.action == "diff" and not locked.system:
        print_line(f"There is no {file} yet; preterite contracts lock writes it.", error=True)
    if locked.system not in ("", application.system.name):
        raise Refused(
            f"{file} belongs to the system {locked.system!r}; give another --lock for {application.system.name!r}."
        )
    if options.action == "show":
        _show(application)
        return 0
    for name in options.retire:
        if name not in locked.events:
            raise Refused(f"{name} is not in {file.name}.")
        if name in lock.declared(application.system):
            raise Refused(f"{name} is still published; only events that are no longer published can be retired.")
    found = [one for one in lock.changes(application.system, locked) if one.name not in options.retire]
    for line in _lines(found):
        print_line(line)
    incompatible = [one for one in found if not one.is_compatible]
    if options.action == "lock" and not incompatible:
        _keep(application, file, locked, options.retire)
    new = sum(one.is_new for one in found)
    print_line(_summary(new, len(found) - new, len(incompatible)), error=True)
    return 1 if incompatible else 0


def _summary(new: int, changed: int, incompatible: int) -> str:
    added = f"{number_of(new, 'contract is', 'contracts are')} new" if new else ""
    if not changed:
        return added or "no contract changed"
    text = f"{added}{', ' if added else ''}{number_of(changed, 'contract')} changed"
    if incompatible == changed:
        return f"{text}, incompatibly"
    return f"{text}, {incompatible} of them incompatibly" if incompatible else f"{text}, compatibly"


def _keep(application: Application, file: Path, locked: Lock, retire: list[str]) -> None:
    lock.save(file, lock.extended(application.system, locked, retire))
    print_line(f"{file.name}: {number_of(len(lock.declared(application.system)), 'event')} locked", error=True)


def _show(application: Application) -> None:
    for shape in lock.declared(application.system).values():
        print_line(f"{shape.name} version {shape.version}, key {shape.key or '(none)'}")
        print_block(_indented(_fields(shape)))
        print_line()


def _fields(shape: Shape) -> str:
    rows = [[name, type_text(one.type), "optional" if one.optional else ""] for name, one in shape.fields.items()]
    return table(["field", "type", ""], rows)


def _lines(found: list[Change]) -> Iterator[str]:
    for change in found:
        yield f"{change.name} version {change.version}: {change.what}{'' if change.is_compatible else ', incompatible'}"
        for problem in change.problems:
            yield from _problem(problem, "all readers")
        printed: set[tuple[str, str]] = set()
        for verdict in change.verdicts:
            for affected, problem in verdict.problems:
                if (affected, problem.message) not in printed:
                    printed.add((affected, problem.message))
                    yield from _problem(problem, affected)
        for note in change.verdicts[-1].notes if change.verdicts and change.is_compatible else ():
            yield f"    {note}"


def _problem(problem: Problem, affected: str) -> Iterator[str]:
    yield f"    [{problem.rule}] breaks {affected}: {problem.message}"
    yield f"        {problem.remedy}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
