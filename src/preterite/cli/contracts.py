"""`preterite contracts`: what events look like, what has changed since it was locked, and whether it may."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.check import root
from preterite.cli.output import table
from preterite.evolution import compatibility, lock
from preterite.evolution.changes import rows
from preterite.evolution.compatibility import Fault
from preterite.evolution.lock import Change, Locked
from preterite.evolution.shapes import Shape, shown

HELP = """\
Keeps contracts readable for everybody: for programs that are older, and for what is stored. contracts.lock beside
pyproject.toml holds every shape in which an event was ever published; put it under version control.

  preterite contracts show                 every event as it travels
  preterite contracts diff                 what has changed since it was locked; fails if somebody could not read it
  preterite contracts lock                 add the present shapes; refused if somebody could not read them
  preterite contracts lock --retire NAME   it is published no more, and no log holds it
  preterite contracts table                what is compatible with what
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "contracts", "what of the events may change", HELP)
    parser.add_argument("action", choices=("show", "diff", "lock", "table"), help="what to do")
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="the file (contracts.lock)")
    parser.add_argument(
        "--retire", action="append", default=[], metavar="NAME", help="an event that no log holds any more"
    )
    parser.set_defaults(command=contracts)


def contracts(options: argparse.Namespace) -> int:
    """Show, compare or lock; 1 if somebody could not read what has changed."""
    if options.action == "table":
        print(table(["change of a field", "older readers", "stored events", "verdict"], [*rows()]))
        return 0
    application, _ = find([options.app] if options.app else [])
    file: Path = options.lock or root() / lock.FILE
    locked = lock.load(file)
    if locked.system not in ("", application.system.name):
        raise Refused(f"{file} is of system {locked.system!r}; for {application.system.name!r} give another --lock.")
    if options.action == "show":
        _show(application)
        return 0
    for name in options.retire:
        if name not in locked.events or name in lock.declared(application.system):
            raise Refused(f"{name} is not an event that was locked and is published no more.")
    found = [one for one in lock.changes(application.system, locked) if one.name not in options.retire]
    for line in _lines(found):
        print(line)
    refused = [one for one in found if not one.is_allowed]
    if options.action == "lock" and not refused:
        _keep(application, file, locked, options.retire)
    said = f"{len(found)} of the contracts have changed, {len(refused)} so that somebody could not read them"
    print(said if found else "no contract has changed", file=sys.stderr)
    return 1 if refused else 0


def _keep(application: Application, file: Path, locked: Locked, retire: list[str]) -> None:
    lock.save(file, lock.grown(application.system, locked, retire))
    print(f"{file.name} holds {len(lock.declared(application.system))} events", file=sys.stderr)


def _show(application: Application) -> None:
    for shape in lock.declared(application.system).values():
        print(f"{shape.name} version {shape.version}, key {shape.key or '(none)'}")
        print(_indented(_fields(shape)))
        print()


def _fields(shape: Shape) -> str:
    rows = [[name, shown(one.type), "may be missing" if one.optional else ""] for name, one in shape.fields.items()]
    return table(["field", "type", ""], rows)


def _lines(found: list[Change]) -> Iterator[str]:
    for one in found:
        yield f"{one.name} version {one.version}: {one.what}{'' if one.is_allowed else ', refused'}"
        for fault in one.faults:
            yield from _fault(fault, "everybody")
        told: set[tuple[str, str]] = set()
        for verdict in one.verdicts:
            for whom, fault in verdict.faults:
                if (whom, fault.sentence) not in told:
                    told.add((whom, fault.sentence))
                    yield from _fault(fault, whom)
        for note in one.verdicts[-1].notes if one.verdicts and one.is_allowed else ():
            yield f"    {note}"


def _fault(fault: Fault, whom: str) -> Iterator[str]:
    yield f"    [{fault.rule}] breaks {whom}: {fault.sentence}"
    yield f"        {compatibility.WAYS[fault.rule]}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
