"""Every command that a document shows is one that there is, and is run by a test, or named here with the reason."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from preterite.cli import command_line as cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?:\$ )?(?:\.venv/bin/)?((?:preterite|make) .*)")
INLINE = re.compile(r"`(?:\.venv/bin/)?(preterite [^`]*)`")
EXPLAINED = re.compile(r"  +|\s#|\s>")
"""Where a command ends and what it does begins."""
LEFT_OUT = re.compile(r"…|<|\[|[A-Z]{3,}\b")
"""A form of many commands, and not one to be typed."""
RUN = {
    "README.md": "test_documents.py, as far as its example and the commands on it",
    "docs/tutorial.md": "test_tutorial.py",
    "docs/how-to/handle-failures.md": "test_printed.py",
    "docs/how-to/recover.md": "test_printed.py",
    "docs/how-to/replay-history.md": "test_printed.py",
    "docs/how-to/schedule-commands.md": "test_printed.py",
    "docs/how-to/migrate-your-tables.md": "test_migrations.py",
    "docs/how-to/use-postgresql.md": "test_postgres_page.py, up to what needs several hosts",
}
NOT_RUN = {
    "docs/how-to/keep-boundaries.md": "commands on a system of the reader; tests/unit/cli/test_boundaries.py runs them",
    "CONTRIBUTING.md": "targets of the Makefile; CI runs those that check",
    "docs/how-to/change-contracts.md": "two commands; tests/unit/cli/test_boundaries.py runs them on a project",
    "docs/how-to/test-a-system.md": "a thousand worlds take minutes; tests/simulation/test_own_systems.py runs a few",
    "examples/coupled/README.md": "tests/checks/test_coupled.py checks the same system",
    "examples/retail/README.md": "the demo and the shop run for minutes; examples/retail/tests run their parts",
    "docs/reference/cli.md": "generated from the help",
}


def shown(text: str) -> Iterator[str]:
    """The commands in the blocks of a page, without what is said about them."""
    for block in FENCE.findall(text):
        for line in block.splitlines():
            found = COMMAND.fullmatch(line.strip())
            if found is not None:
                yield EXPLAINED.split(found[1])[0].strip()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_command_that_is_shown_can_be_typed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text(encoding="utf-8")
    commands = [*shown(text), *(EXPLAINED.split(line)[0] for line in INLINE.findall(text))]
    refused: dict[str, str] = {}
    for command in commands:
        words = shlex.split(command) if command.startswith("preterite") and not LEFT_OUT.search(command) else []
        # A command without its arguments is only named.
        if not words or command.split()[-1] in {"provision", "retire", "publish", "owner", "explain", *_groups()}:
            continue
        try:
            _parser().parse_args(words[1:])
        except SystemExit as left:
            if left.code:
                refused[command] = capsys.readouterr().err

    assert {command: why for command, why in refused.items() if "required" not in why} == {}


def _parser() -> argparse.ArgumentParser:
    return vars(cli)["_parser"]()


def _groups() -> set[str]:
    return {"dead-letters", "replay", "migrate", "contracts", "pages", "clock", "recover"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_target_of_make_that_is_shown_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {word for command in shown(path.read_text(encoding="utf-8")) for word in _targets(command)}

    assert used <= targets


def _targets(command: str) -> list[str]:
    return [word for word in command.split()[1:] if "=" not in word] if command.startswith("make ") else []


def test_every_page_with_commands_is_followed_by_a_test_or_named() -> None:
    pages = {named(path) for path in DOCUMENTS if [*shown(path.read_text(encoding="utf-8"))]}

    assert pages - NOT_RUN.keys() == set(RUN)
    assert not RUN.keys() & NOT_RUN.keys()
    for test in RUN.values():
        assert (ROOT / "tests" / "docs" / test.split(",")[0]).is_file()
