"""`docs/reference/cli.md` is every command with its arguments, and every exit code, as the parsers declare them.

`PYTHONPATH=tests python tests/docs/test_reference_cli.py` writes it anew.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from preterite.cli import command_line as cli
from preterite.cli.exit_codes import EXIT_CODES

FILE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
INTRODUCTION = """\
# Command line reference

Generated from the code. Results go to stdout, progress and errors to stderr.

Every command and subcommand takes `-h/--help`, `-A/--app MODULE:ATTR`, `-C/--project DIR` and `--debug`, too.
"""
COUNTS = {"?": "[{0}]", "*": "[{0} ...]", "+": "{0} [{0} ...]"}
EVERYWHERE = ("help", "app", "project", "debug")


class Command:
    """A command or subcommand: its parser, with what it takes and the commands below it."""

    def __init__(
        self, name: str, parser: argparse.ArgumentParser, purpose: str = "", above: Command | None = None
    ) -> None:
        self.name = name
        self.parser = parser
        self.purpose = purpose
        self.above = above

    @property
    def actions(self) -> list[argparse.Action]:
        actions: list[argparse.Action] = vars(self.parser)["_actions"]
        return actions

    @property
    def arguments(self) -> list[argparse.Action]:
        """What the command takes itself; what every command takes is described once, at the top."""
        return [
            action
            for action in self.actions
            if not isinstance(action.choices, dict) and (self.above is None or action.dest not in EVERYWHERE)
        ]

    @property
    def commands(self) -> Iterator[Command]:
        for action in self.actions:
            if isinstance(action.choices, dict):
                parsers: dict[str, argparse.ArgumentParser] = vars(action)["choices"]
                purposes = {one.dest: one.help or "" for one in vars(action)["_choices_actions"]}
                for name, parser in parsers.items():
                    yield Command(f"{self.name} {name}", parser, purposes[name], self)

    @property
    def description(self) -> str:
        """What its help says, without the purpose, which stands before it."""
        text = self.parser.description or ""
        return text.removeprefix(f"{self.purpose[:1].upper()}{self.purpose[1:]}.\n").lstrip("\n")


def top() -> Command:
    return Command("preterite", vars(cli)["_parser"]())


def every(command: Command) -> Iterator[Command]:
    for one in command.commands:
        yield one
        yield from every(one)


def page() -> str:
    """The whole document."""
    whole = top()
    parts = [
        INTRODUCTION,
        "## Exit codes\n",
        _table(["code", "meaning"], [[str(code), meaning] for code, meaning in EXIT_CODES.items()]),
        *_section("##", whole),
    ]
    for command in whole.commands:
        parts += _section("##", command)
        for one in every(command):
            parts += _section("###", one)
    return "\n".join(parts)


def _section(mark: str, command: Command) -> Iterator[str]:
    yield f"{mark} `{command.name}`\n"
    if command.purpose:
        yield f"{command.purpose[0].upper()}{command.purpose[1:]}.\n"
    yield from _prose(command.description)
    if command.arguments:
        yield _table(["argument", "meaning"], [[f"`{_form(one)}`", _meaning(one)] for one in command.arguments])


def _prose(text: str) -> Iterator[str]:
    """Paragraphs as they are; indented lines as a block."""
    for indented, lines in groupby(text.splitlines(), lambda line: line.startswith("  ")):
        words = "\n".join(lines).strip("\n")
        if words:
            yield f"```text\n{words}\n```\n" if indented else f"{words}\n"


def _form(action: argparse.Action) -> str:
    """What the user writes, as in `-A/--app MODULE:ATTR`."""
    value = _value(action)
    return " ".join(one for one in ("/".join(action.option_strings), value) if one)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else ""
    metavar = action.metavar if isinstance(action.metavar, str) else None
    name = metavar or choices or (action.dest.upper() if action.option_strings else action.dest)
    return COUNTS.get(str(action.nargs), "{0}").format(name)


def _meaning(action: argparse.Action) -> str:
    """Its help; whether it is required, and its default, where the help does not say it."""
    text = _help(action)
    if action.option_strings and action.required:
        text += "; required"
    default: Any = action.default
    if action.nargs != 0 and "default" not in text and default not in (None, argparse.SUPPRESS, "", []):
        text += f"; default: {default}"
    return text


def _help(action: argparse.Action) -> str:
    # Python words the help of these two itself, differently from version to version.
    return {"help": "print the help", "version": "print the version"}.get(action.dest, action.help or "")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


@pytest.mark.parametrize("command", [*every(top())], ids=lambda command: command.name)
def test_every_command_and_every_argument_has_its_help(command: Command) -> None:
    assert command.purpose
    assert [action.dest for action in command.arguments if not action.help] == []


@pytest.mark.parametrize("command", [top(), *every(top())], ids=lambda command: command.name)
def test_every_option_that_takes_a_value_and_may_be_left_out_says_its_default(command: Command) -> None:
    optional = [one for one in command.arguments if one.option_strings and one.nargs != 0 and not one.required]

    assert [one.dest for one in optional if "default: " not in (one.help or "")] == []


INSIDE = "void claim head epoch cursor fence fenced lease lane upcast settle tenure relay receiver demux standstill"
"""Words of the inside of the package, which nobody needs who runs a command."""
EXPLAINED = {
    "journal": "in its own database, in its journal",
    "journals": "in its own database, in its journal",
    "parked": "events that wait for a retry",
    "redrive": "To redrive one is to run it again",
    "baseline": "The baseline is a file of accepted violations",
    "waves": "waves: parts that are called together",
    "failure group": "failed in the same way",
}
"""Words of the glossary, each with the words that explain it in the help of the command that uses it."""


@pytest.mark.parametrize("command", [top(), *top().commands], ids=lambda command: command.name)
def test_no_help_needs_the_glossary(command: Command) -> None:
    texts = [one.parser.format_help() + one.purpose for one in (command, *every(command)) if one.name != "preterite"]
    whole = " ".join(" ".join([*texts, command.parser.description or ""]).split())
    words = {word.removesuffix("s") for word in re.findall(r"[a-z-]+", whole.lower())}

    assert words & set(INSIDE.split()) == set()
    if command.above is not None:
        used = [word for word in EXPLAINED if re.search(rf"\b{word}\b", whole)]
        assert [word for word in used if EXPLAINED[word] not in whole] == []


def test_the_reference_of_the_command_line_is_what_the_parsers_say() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), (
        "the reference differs from the code: PYTHONPATH=tests python tests/docs/test_reference_cli.py"
    )


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
