"""`docs/reference/configuration.md` is every setting and every bound that the code declares.

`PYTHONPATH=tests python tests/docs/test_reference_configuration.py` writes it anew.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from preterite.component import Component
from preterite.recoverability import Recoverability
from preterite.settings import ProjectSettings, owner_variable, url_variable
from preterite.system import System

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILE = ROOT / "docs" / "reference" / "configuration.md"

INTRODUCTION = """\
# Configuration reference

Generated from the code. An argument in code goes before an environment variable, that before `[tool.preterite]` in the
nearest `pyproject.toml`, and that before the default. Options of commands: [command line](cli.md).
"""

VARIABLES = {
    url_variable("<component>"): (
        "The URL of a component's database. The name is in capitals, with `_` for `-`.",
        "`sqlite:///.preterite/SYSTEM/COMPONENT.sqlite`",
    ),
    owner_variable("<component>"): (
        "The URL for the owner of the tables: `preterite migrate` and `--create-tables` use it.",
        "the component's URL",
    ),
    "PRETERITE_<COMPONENT>_LOG_URL": (
        "The log's URL for the component's worker, with rights to its own streams only.",
        "`PRETERITE_LOG_URL`",
    ),
    "PRETERITE_ADMIN_URL": ("The PostgreSQL server, for `preterite provision`.", "none"),
    "PRETERITE_TEST_URL": ("The PostgreSQL server on which tests run that use `preterite.testing`.", "SQLite files"),
    "PRETERITE_LOG_URL": ("The URL of the log.", "`sqlite:///.preterite/SYSTEM/log.sqlite`"),
}

SETTINGS: Mapping[str, tuple[Callable[..., Any], Mapping[str, str]]] = {
    "Component": (
        Component,
        {
            "publishes": "The events that the component publishes.",
            "tables": "The tables that it owns: SQL text or SQLAlchemy metadata.",
            "recoverability": "How often a failed handler is run again, where the handler does not set it.",
            "time_limit_seconds": "How long a handler may run; then `preterite run` ends its process.",
            "start_from": "Where a new component starts to read the log.",
            "isolation": "The isolation of a batch's transaction, on a database that has levels.",
        },
    ),
    "System": (
        System,
        {
            "partitions": "Partitions of each component's events; fixed when the log is made.",
            "recoverability": "How often a failed handler is run again, where component and handler do not set it.",
            "demo": "Whether the business clock is kept beside the log and can be moved by `preterite clock`.",
        },
    ),
    "System.open": (
        System.open,
        {
            "databases": "The URLs of the databases, by component.",
            "log": "The URL of the log.",
            "only": "The components that run here; default: all.",
            "create_tables": "Whether missing tables of the components are created.",
            "clock": "The clock; default: the machine's, or a demo's.",
            "randomness": "The source of identifiers and random waits; default: the machine's.",
            "retention": "How long the log keeps events; default: for ever.",
        },
    ),
}

UNITS = {
    "SECONDS": "s",
    "MS": "ms",
    "MINUTES": "min",
    "BYTES": "bytes",
    "KIB": "KiB",
    "PAGES": "pages",
    "EVENTS": "events",
    "RECORDS": "records",
    "ROWS": "rows",
    "CHARACTERS": "characters",
    "CONNECTIONS": "connections",
    "PARTITIONS": "partitions",
    "RETRIES": "retries",
    "WORKERS": "workers",
    "COMMANDS": "commands",
}


class Bound(NamedTuple):
    """A named number of the code."""

    module: str
    name: str
    value: float
    text: str

    @property
    def unit(self) -> str:
        return next((UNITS[word] for word in self.name.split("_") if word in UNITS), "")


def bounds() -> Iterator[Bound]:
    """Every public number that a module outside `testing` names, with the docstring below it."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if "testing" in path.parts or path.stem == "__main__":
            continue
        for name, text in documented(ast.parse(path.read_text(encoding="utf-8")).body):
            value = getattr(importlib.import_module(module), name, None) if name.isupper() else None
            if isinstance(value, (int, float)) and not isinstance(value, bool) and not name.startswith("_"):
                yield Bound(module, name, value, text)


def documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that a module or class assigns, each with the docstring below it."""
    for statement, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield name, " ".join(text.split())
                    case _:
                        yield name, ""
            case _:
                pass


def page() -> str:
    """The whole document."""
    parts = [
        INTRODUCTION,
        "## Environment variables\n",
        table(["variable", "meaning", "default"], [[f"`{name}`", *words] for name, words in VARIABLES.items()]),
        "## `[tool.preterite]`\n",
        table(["key", "meaning"], [[f"`{name}`", text] for name, text in field_texts(ProjectSettings).items()]),
    ]
    for title, (function, texts) in SETTINGS.items():
        parts += [f"## `{title}`\n", table(["setting", "meaning", "default"], [*_settings(function, texts)])]
    texts = field_texts(Recoverability)
    parts += ["## `Recoverability`\n", table(["setting", "meaning", "default"], [*_settings(Recoverability, texts)])]
    parts.append("## Bounds\n\nConstants of the modules; they are not settings. A change is a change of the code.\n")
    by_module: dict[str, list[list[str]]] = {}
    for bound in bounds():
        value = f"{bound.value:,} {bound.unit}".rstrip() if isinstance(bound.value, int) else _float(bound)
        by_module.setdefault(bound.module, []).append([f"`{bound.name}`", value, bound.text])
    for module, rows in by_module.items():
        parts += [f"### `{module}`\n", table(["bound", "value", "meaning"], rows)]
    return "\n".join(parts)


def field_texts(kind: type) -> dict[str, str]:
    """The fields of a dataclass, each with the docstring below it."""
    declared = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(declared, ast.ClassDef)
    return dict(documented(declared.body))


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _settings(function: Callable[..., Any], texts: Mapping[str, str]) -> Iterator[list[str]]:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty:
            yield [f"`{parameter.name}`", texts[parameter.name], f"`{parameter.default!r}`"]


def _float(bound: Bound) -> str:
    return f"{bound.value:,.10g} {bound.unit}".rstrip()


@pytest.mark.parametrize("bound", [*bounds()], ids=lambda bound: f"{bound.module}.{bound.name}")
def test_every_bound_says_what_it_bounds(bound: Bound) -> None:
    assert bound.text.endswith(".")


@pytest.mark.parametrize("kind", [ProjectSettings, Recoverability])
def test_every_field_of_the_settings_says_what_it_means(kind: type) -> None:
    texts = field_texts(kind)

    assert [field.name for field in fields(kind) if not texts[field.name].endswith(".")] == []


@pytest.mark.parametrize("title", SETTINGS)
def test_every_keyword_setting_is_documented_and_no_other(title: str) -> None:
    function, texts = SETTINGS[title]

    assert [*texts] == [
        one.name for one in inspect.signature(function).parameters.values() if one.default is not one.empty
    ]


def test_every_environment_variable_of_the_package_is_documented() -> None:
    named = re.compile(r'f?"(PRETERITE_(?:\{[^}]*\}|[A-Z_])+)"')
    used = {
        re.sub(r"\{[^}]*\}", "<COMPONENT>", found)
        for path in SOURCE.rglob("*.py")
        for found in named.findall(path.read_text(encoding="utf-8"))
    }

    assert used == {*VARIABLES}


def test_the_reference_of_the_configuration_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), (
        "the reference differs from the code: PYTHONPATH=tests python tests/docs/test_reference_configuration.py"
    )


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
