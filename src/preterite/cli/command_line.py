"""The command line as a whole: its parser, its commands, and what becomes of errors."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
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
from preterite.cli.exit_codes import EXIT_CODES, exit_code_of
from preterite.cli.output import print_block, printable_output, refusal
from preterite.drivers.extras import missing
from preterite.errors import PreteriteError, StoreUnavailable
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


class _Version(argparse.Action):
    """Prints the version. What reads it is imported only here: that takes a fifth of the time of a command's start."""

    def __call__(self, *_: object) -> NoReturn:
        from importlib import metadata

        print_block(f"preterite {metadata.version('preterite')}")
        raise SystemExit(0)


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
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    add_general(parser, is_top=True)
    parser.set_defaults(command=None, refuse=parser.error)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
