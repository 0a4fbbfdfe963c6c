"""The command line: `preterite COMMAND [APP] …`, one file per command.

Results go to stdout, talk to stderr. Exit codes: 0 done, 1 done and the answer is no, 2 not understood,
3 project or configuration cannot be read, 4 a database or the log cannot be reached, 6 partly done, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from preterite.cli import (
    check,
    clock,
    contracts,
    dead,
    describe,
    migrate,
    pages,
    provision,
    publish,
    recover,
    replay,
    retire,
    run,
    simulate,
    status,
    who,
)
from preterite.cli.application import Refused
from preterite.errors import (
    ConfigurationError,
    LogError,
    PreteriteError,
    StoreError,
    StoreUnavailable,
    SystemRefused,
    WrongLog,
)

ABOUT = """\
Partition a business system through events: each component owns its database and tells the others what has happened.

  preterite describe shop.system:system    what is declared: who publishes, who listens, where the databases are
  preterite check shop.system:system       whether any boundary between them is crossed
  preterite run shop.system:system         run every component, each in a process of its own
  preterite status shop.system:system      is everything moving?
  preterite dead list shop.system:system   what waits for a person

APP is module:attribute; it may be left out where [tool.preterite] in pyproject.toml names it.
"""
COMMANDS = (
    run,
    status,
    dead,
    replay,
    publish,
    describe,
    check,
    contracts,
    pages,
    who,
    recover,
    retire,
    migrate,
    provision,
    clock,
    simulate,
)


class _Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what it did not understand."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help shows how it is called.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        print(ABOUT)
        return 0
    try:
        if options.project is not None:
            _work_in(options.project)
        return options.command(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PreteriteError as error:
        if options.debug:
            traceback.print_exc()
        print(f"preterite: {error}", file=sys.stderr)
        return exit_code_of(error)


def exit_code_of(error: PreteriteError) -> int:
    """The exit code that tells a script what kind of trouble it was."""
    if isinstance(error, StoreUnavailable):
        return 4
    if isinstance(error, (ConfigurationError, SystemRefused, StoreError, WrongLog)):
        return 3
    if isinstance(error, LogError):
        return 4
    return 2 if isinstance(error, Refused) else 1


def _work_in(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise Refused(f"{folder} is no folder to work in: {error.strerror}.") from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="preterite", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=True
    )
    parser.add_argument("--version", action="version", version=f"preterite {metadata.version('preterite')}")
    parser.add_argument("-C", "--project", metavar="DIR", help="work as if started in this folder")
    parser.add_argument("--debug", action="store_true", help="show the traceback of what went wrong")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
