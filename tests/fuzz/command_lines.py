"""Every command with hostile arguments, settings, files and databases, in this process."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from random import Random
from typing import Any

from support.canary_urls import CANARY, SHAPES

from fuzz import hostile_shop
from fuzz.judging import Case, wrong_in
from fuzz.values import NUMBERS, TEXTS, changed, text
from preterite.cli import command_line as cli
from preterite.cli import dead_letter_decisions
from preterite.cli.exit_codes import EXIT_CODES

APP = "fuzz.hostile_shop:system"
LEFT_OUT = ("run", "simulate")
"""They start processes, and end when they are stopped."""
CREATED = ("alpha.sqlite", "beta.sqlite", "log.sqlite")
OUTPUT_CHARACTERS_MAX = 4_000_000
PYPROJECT = """\
[tool.preterite]
app = "fuzz.hostile_shop:system"
log = "sqlite:///log.sqlite"

[tool.preterite.databases]
alpha = "sqlite:///alpha.sqlite"
beta = "sqlite:///beta.sqlite"
"""
BASELINE = """\
[[violation]]
key = "cross-component-sql:alpha:m:read"
reason = "before we started"
since = 2026-11-25
"""
RECORDED = {
    "is_whole": True,
    "findings": [
        {
            "rule": "cross-component-sql-at-runtime",
            "component": "alpha",
            "object": "m",
            "operation": "read",
            "message": "alpha reads m",
            "places": [{"file": "a.py", "line": 1}],
        }
    ],
}
DOCUMENT = b'{"type": "alpha.NoteTaken", "data": {"who": "w", "text": "t", "at": "2024-01-01T00:00:00Z"}}'
XML = b"<m><notetaken><who>w</who><text>t</text><at>2024-01-01T00:00:00</at></notetaken></m>"
SETTINGS = ("ALPHA", "BETA", "LOG", "ALPHA_OWNER", "LOG_OWNER", "ADMIN")


@contextmanager
def ready() -> Generator[Case]:
    """What runs one command in a folder of its own, in which something is not as it should be."""
    here, environment, wait = Path.cwd(), os.environ.copy(), dead_letter_decisions.STEP_SECONDS
    # A redrive waits for workers, and there are none.
    dead_letter_decisions.STEP_SECONDS = 0.0
    with tempfile.TemporaryDirectory(prefix="preterite-fuzz-") as folder:
        whole = Path(folder, "whole")
        whole.mkdir()
        make_project(whole)
        try:
            yield Commands(whole, Path(folder, "case"))
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(environment)
            dead_letter_decisions.STEP_SECONDS = wait


class Commands:
    """One command for a case."""

    def __init__(self, whole: Path, folder: Path) -> None:
        self._whole = whole
        self._folder = folder
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
        self.commands = [one for one in commands() if one[0][0] not in LEFT_OUT]

    def __call__(self, chance: Random) -> list[str]:
        os.chdir("/")
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._whole, self._folder, symlinks=True)
        os.chdir(self._folder)
        os.environ.clear()
        os.environ.update(self._environment)
        names, parser = chance.choice(self.commands)
        words = [*names, *_arguments(parser, chance)]
        # Often only one thing is wrong, so that a command comes far with it.
        for spoil in chance.sample(SPOILS, chance.choice((0, 1, 1, 1, 2))):
            words = spoil(chance, self._folder, words)
        if next((word for word in words if not word.startswith("-")), "") in LEFT_OUT:
            return []
        code, printed = _run(words, chance)
        found = wrong_in(printed)
        if code not in EXIT_CODES:
            found.append(f"exit code {code!r}")
        if code != 0 and not printed.strip():
            found.append(f"exit code {code!r} without a word")
        if CANARY in printed:
            line = next(line for line in printed.splitlines() if CANARY in line)
            found.append(f"a password: {line:.300}")
        if len(printed) > OUTPUT_CHARACTERS_MAX:
            found.append(f"printed {len(printed):,} characters")
        return [f"{one}\n        preterite {words!r:.400}" for one in found]


def _run(words: Sequence[str], chance: Random) -> tuple[object, str]:
    """Run a command; its exit code, and what it has printed."""
    printed = io.StringIO()
    given = io.TextIOWrapper(io.BytesIO(changed(chance.choice((DOCUMENT, XML)), chance)))
    stdin, sys.stdin = sys.stdin, given
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                code: object = cli.main(words)
            except SystemExit as left:
                code = left.code
    finally:
        sys.stdin = stdin
    return code, printed.getvalue()


def commands() -> list[tuple[list[str], argparse.ArgumentParser]]:
    """Every command that has no commands below it, with its parser."""
    return list(_leaves([], vars(cli)["_parser"]()))


def _leaves(names: list[str], parser: argparse.ArgumentParser) -> Generator[tuple[list[str], argparse.ArgumentParser]]:
    below: dict[str, argparse.ArgumentParser] = {}
    for action in arguments_of(parser):
        if isinstance(action.choices, dict):
            below = vars(action)["choices"]
    if not below:
        yield names, parser
    for name, one in below.items():
        yield from _leaves([*names, name], one)


def _arguments(parser: argparse.ArgumentParser, chance: Random) -> list[str]:
    """A value for each argument that is required, and for some of the others."""
    words: list[str] = []
    for action in arguments_of(parser):
        if action.dest in ("help", "app", "project", "debug") or (not action.required and chance.random() < 0.6):
            continue
        count = COUNTS.get(str(action.nargs), (1,))
        values = [_value(action, chance) for _ in range(chance.choice(count))]
        if action.option_strings and len(values) == 1:
            # Written so, a value that begins with a dash is a value.
            words.append(f"{action.option_strings[-1]}={values[0]}")
        else:
            words += [*action.option_strings[-1:], *values]
    return words


def _value(action: argparse.Action, chance: Random) -> str:
    if action.choices is not None and chance.random() < 0.95:
        return str(chance.choice(list(action.choices)))
    if chance.random() < 0.25:
        return text(chance).replace("\x00", "")
    fitting = FITTING.get(str(action.metavar or action.dest.upper()))
    return str(chance.choice(fitting or ANY))


COUNTS = {"*": (0, 1, 2), "+": (1, 2), "0": (0,)}
ANY = ("alpha", "beta", "nothing", "1", "0", "-1", "x", "note", "NoteTaken", "n", "id")
NUMBERED = ("1", "0", "2", "-1", "²", "99999999999999999999")
FILES = (
    "document.json",
    "document.xml",
    "recorded.json",
    "baseline.toml",
    "contracts.lock",
    "beta.sqlite",
    ".",
    "loop",
    "zeros",
    "full",
    "nowhere/x",
    "pyproject.toml/x",
    "denied",
    "x\udcffy",
    "-",
)
FITTING: dict[str, Sequence[str]] = {
    "COMPONENT": ("alpha", "beta"),
    "PUBLISHER": ("alpha", "beta"),
    "HANDLER": ("take", "gone"),
    "COMPONENT[.HANDLER]": ("beta.take", "beta", "alpha", "beta.x", "beta."),
    "DEAD_LETTER": tuple(f"beta/{number}" for number in (*NUMBERED, *range(1, 9))),
    "REPLAY": tuple(f"beta/{number}" for number in NUMBERED),
    "N": NUMBERED,
    "N/s": ("1/s", "0", "²/s", "1e308", "-1/s", "1e-308/s"),
    "TIME": ("1d", "2h", "9" * 9 + "d", "9" * 20 + "s", "²d"),
    "INSTANT": ("2011-04-01", "0001-01-01T00:00+23:59", "9999-12-31T23:59:59-23:59"),
    "start|TIME|NUMBER": (
        "start",
        "1",
        "²",
        "9" * 30,
        "0001-01-01T00:00+23:59",
        "9999-12-31T23:59-23:59",
        "2011-04-01",
    ),
    "FILE": FILES,
    "URL": (*SHAPES.values(), "sqlite:///x.sqlite", "memory:"),
    "DIR": (".", "nowhere", "loop", "beta.sqlite", ""),
    "FIELD=VALUE": (
        "text=x",
        "who=" + "k" * 2_000,
        'at="x"',
        "text=" + "[" * 5_000,
        "=",
        "who=null",
        "text=\x1b[2J",
        "x=NaN",
    ),
    "MODULE:ATTR": (
        APP,
        "fuzz.hostile_shop:x",
        "x:y",
        ":",
        "a:b:c",
        "..:x",
        "fuzz:system",
        "json:dumps",
        "antigravity.x:y",
    ),
    "NAME": ("alpha.NoteTaken", "x", "operator\x1b[2J"),
    "GROUP": ("g000000", "x"),
}


def _spoil_file(chance: Random, folder: Path, words: list[str]) -> list[str]:
    """A file that is read has changed, or is a folder, or no file at all."""
    file = folder / chance.choice(
        (
            "pyproject.toml",
            "contracts.lock",
            "baseline.toml",
            "recorded.json",
            "document.json",
            "document.xml",
            *CREATED,
        )
    )
    content = file.read_bytes()
    file.unlink()
    kind = chance.random()
    if kind < 0.7:
        file.write_bytes(changed(content, chance))
    elif kind < 0.8:
        file.mkdir()
    elif kind < 0.9:
        file.symlink_to(chance.choice(("loop", "zeros", "nowhere", "/dev/null")))
    return words


def _spoil_json(chance: Random, folder: Path, words: list[str]) -> list[str]:
    """A value in a document is of another kind."""
    file = folder / chance.choice(("contracts.lock", "recorded.json", "document.json"))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # It was changed before.
        return words
    if not content or not isinstance(content, (dict, list)):
        return words
    place, name = _place_in(content, chance)
    place[name] = _json(chance)
    if isinstance(place, dict) and chance.random() < 0.3:
        place[text(chance)] = _json(chance)
    file.write_text(json.dumps(content), encoding="utf-8")
    return words


def _json(chance: Random) -> Any:
    odd: tuple[Any, ...] = (None, True, [], {}, [[]], [{}], {"": 1}, {"0": {}}, text(chance), chance.choice(NUMBERS))
    return chance.choice(odd)


def _place_in(content: Any, chance: Random) -> tuple[Any, Any]:
    """A place in a document: what contains it, and under which name or number."""
    place: Any = content
    while True:
        names: list[Any] = list(place) if hasattr(place, "keys") else list(range(len(place)))
        name = chance.choice(names)
        if not isinstance(place[name], (dict, list)) or not place[name] or chance.random() < 0.2:
            return place, name
        place = place[name]


def _spoil_rows(chance: Random, folder: Path, words: list[str]) -> list[str]:
    """A database holds what nobody has written there in earnest, or lacks a table."""
    connection = sqlite3.connect(folder / chance.choice(CREATED), isolation_level=None)
    # What a database refuses is not written; a file that was changed before is no database.
    with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
        connection.execute("pragma ignore_check_constraints = 1")
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        table = chance.choice([name for name in tables if not name.startswith("sqlite_")])
        column = chance.choice([row[1] for row in connection.execute(f'pragma table_info("{table}")')])
        value = chance.choice((None, text(chance), chance.choice(NUMBERS), chance.randbytes(9), *TEXTS[-3:]))
        if chance.random() < 0.2 and isinstance(value, str):
            value = value.encode()
        kind = chance.random()
        if kind < 0.1:
            connection.execute(f'drop table "{table}"' if kind < 0.05 else f'delete from "{table}"')
        else:
            connection.execute(f'update "{table}" set "{column}" = ?', (value,))
    connection.close()
    return words


def _spoil_settings(chance: Random, folder: Path, words: list[str]) -> list[str]:
    """A setting is a URL of an odd shape, or no URL."""
    for _ in range(chance.choice((1, 1, 3))):
        kind = chance.random()
        url = chance.choice(list(SHAPES.values())) if kind < 0.5 else text(chance)
        if kind > 0.8:
            file = chance.choice((*CREATED, *FILES))
            url = f"sqlite:///{file}"
        with suppress(ValueError, UnicodeEncodeError):
            os.environ[f"PRETERITE_{chance.choice(SETTINGS)}_URL"] = url
    return words


def _spoil_words(chance: Random, folder: Path, words: list[str]) -> list[str]:
    """A word too many, too few, or in another place."""
    place = chance.randrange(len(words) + 1)
    odd = text(chance).replace("\x00", "")
    return chance.choice(
        (
            [*words[:place], odd, *words[place:]],
            [*words[:place], *words[place + 1 :]],
            [f"-C={odd}", *words],
            [f"--app={chance.choice(FITTING['MODULE:ATTR'])}", *words],
            [*words, f"-A={odd}"],
            [*words, chance.choice(list(SHAPES.values()))],
        )
    )


SPOILS = (_spoil_file, _spoil_json, _spoil_rows, _spoil_settings, _spoil_words)


def make_project(folder: Path, texts: Sequence[str] = TEXTS) -> None:
    """A project with everything that a command reads."""
    hostile_shop.fill(folder, texts)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "baseline.toml").write_text(BASELINE, encoding="utf-8")
    (folder / "recorded.json").write_text(json.dumps(RECORDED), encoding="utf-8")
    (folder / "document.json").write_bytes(DOCUMENT)
    (folder / "document.xml").write_bytes(XML)
    (folder / "loop").symlink_to("loop")
    (folder / "zeros").symlink_to("/dev/zero")
    (folder / "full").symlink_to("/dev/full")
    (folder / "denied").write_bytes(b"")
    (folder / "denied").chmod(0)
    with chdir(Path.cwd()), redirect_stderr(io.StringIO()):
        cli.main(["-C", str(folder), "contracts", "lock"])
        cli.main(["-C", str(folder), "replay", "start", "--to", "beta.take", "--again"])


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What the command takes."""
    return vars(parser)["_actions"]
