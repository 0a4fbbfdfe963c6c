"""The command line: `preterite COMMAND …`, one file per command.

Results go to stdout, progress and errors to stderr. `EXIT_CODES` lists the exit codes of every command.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import NoReturn

from preterite.cli import (
    check,
    clock,
    contracts,
    dead_letters,
    describe,
    migrate,
    owner,
    pages,
    provision,
    publish,
    recover,
    replay,
    retire,
    run,
    simulate,
    status,
)
from preterite.cli.application import Refused, add_general, is_of_a_database
from preterite.cli.output import print_block, printable_output, refusal
from preterite.drivers.extras import missing
from preterite.errors import (
    ConfigurationError,
    LogError,
    PreteriteError,
    StoreError,
    StoreUnavailable,
    SystemRefused,
    WrongLog,
)
from preterite.printing.text import clause

ABOUT = """\
Partition a business system into components: each owns its database and publishes durable events to the others. The
events of all components travel through one log, a SQLite file or a PostgreSQL database.

  preterite describe -A shop.system:system             print who publishes and who handles which event, and where
  preterite run -A shop.system:system                  run every component, each in its own process
  preterite status -A shop.system:system               OK, DEGRADED or DOWN, with what waits in each component
  preterite dead-letters list -A shop.system:system    events that failed and need a decision by an operator
  preterite check -A shop.system:system                find violations of the boundaries between components

-A names the system: the module, and the variable in it that holds the System. Without -A, the setting `app` of
[tool.preterite] in pyproject.toml is used.
"""
EXIT_CODES = {
    0: "The command did what it was asked.",
    1: "The answer is no: a check failed, a status is DEGRADED, or the request was refused. The message says why.",
    2: "The command line is not valid, or names something that the system does not have. Nothing was changed.",
    3: "No system is named, it cannot be imported, its declaration or configuration is not valid, or a database or log "
    "does not belong to it.",
    4: "A database or the log is unreachable, damaged, or of a newer version; for status: no component runs, or "
    "the log is unreachable.",
    6: "The command did a part of what it was asked. The message says which.",
    130: "The command was interrupted (Ctrl-C).",
}
COMMANDS = (
    run,
    status,
    dead_letters,
    replay,
    publish,
    describe,
    check,
    contracts,
    pages,
    owner,
    recover,
    retire,
    migrate,
    provision,
    clock,
    simulate,
)


class _Parser(argparse.ArgumentParser):
    """A parser that reports an invalid command line in one sentence."""

    def error(self, message: str) -> NoReturn:
        if ":/" in message or "assword" in message:
            message = "an argument that holds a URL or a password is not valid, and is not shown"
        self.exit(2, f"{self.prog}: {clause(message)}; see {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. All output is printable and without the passwords of URLs."""
    with printable_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options, unknown = parser.parse_known_args(_words(parser, arguments))
    if unknown:
        options.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command is None:
        print_block(parser.format_help().rstrip())
        return 0
    try:
        if options.project is not None:
            _work_in(options.project)
        with _as_ours():
            return options.command(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has closed the pipe; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PreteriteError as error:
        if options.debug:
            traceback.print_exc()
        refusal(error)
        return exit_code_of(error)


def _words(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> list[str]:
    words = sys.argv[1:] if arguments is None else list(arguments)
    for word in itertools.takewhile(lambda word: word != "--", words):
        # argparse takes the value away, and gives an empty list.
        if word.startswith("-") and word.endswith("=--"):
            parser.error(f"{word.removesuffix('=--')} needs a value, and -- is none")
    return words


@contextmanager
def _as_ours() -> Generator[None]:
    """Errors of databases and of missing packages, where nothing that is nearer to them has translated them."""
    try:
        yield
    except PreteriteError:
        raise
    except ImportError as error:
        found = missing("This command", error)
        if found is None:
            raise
        raise found from None
    except Exception as error:
        if not is_of_a_database(error):
            raise
        raise StoreUnavailable(
            f"A database or the log has answered {type(error).__name__}: {clause(error):.500}. The command stopped "
            "there; what it has committed before stays. If the database is damaged, restore it from a backup."
        ) from error


def exit_code_of(error: PreteriteError) -> int:
    """The exit code for this kind of error."""
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
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a folder"
        raise Refused(f"{folder} is not a directory to work in: {clause(why)}.") from None


def _parser() -> argparse.ArgumentParser:
    codes = "".join(f"\n  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())
    parser = _Parser(
        prog="preterite",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"exit codes:{codes}",
    )
    parser.add_argument("--version", action="version", version=f"preterite {metadata.version('preterite')}")
    add_general(parser, is_top=True)
    parser.set_defaults(command=None, refuse=parser.error)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
