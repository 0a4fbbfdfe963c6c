"""Strings in Python code: whether they are SQL or name models, and texts that are put together from several."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import NamedTuple

SQL_CALLS = frozenset(
    {
        "execute",
        "executemany",
        "executescript",
        "exec_driver_sql",
        "text",
        "raw",
        "mogrify",
        "read_sql",
        "fetch",
        "fetchrow",
        "fetchval",
        "copy",
        "SQL",
        "RawSQL",
        "RunSQL",
    }
)
RELATION_CALLS = frozenset(
    {"relationship", "ForeignKey", "OneToOneField", "ManyToManyField", "get_model", "get_class", "backref"}
)
RELATION_FIELDS = ("ForeignKey", "OneToOneField", "ManyToManyField", "ParentalKey", "GenericRelation")
"""How fields of Django that name a model are called at the end: `TreeForeignKey` of another package, too."""
PLACEHOLDER = "placeholder"
"""What stands for a value that is put into a text."""
_SQL = re.compile(
    r"\s*(--[^\n]*\s*|/\*.*?\*/\s*)*(select\b.+\bfrom\b|insert\s+(or\s+\w+\s+)?into\b|update\s+[\w.\"]+\s+(as\s+\w+\s+)?set\b|"
    r"delete\s+from\b|with\s+(recursive\s+)?[\w\"]+\s*(\([^)]*\)\s*)?as\s+(materialized\s+|not\s+materialized\s+)?\(|"
    r"create\s+(or\s+replace\s+)?(temp\s+|temporary\s+|unique\s+|materialized\s+)?(table|view|index|trigger|function)\b|"
    r"alter\s+table\b|drop\s+(table|view)\b|truncate\b\s+\w|merge\s+into\b|copy\s+\S+\s.*\b(from|to)\b|lock\s+table\b|"
    r"declare\s+\w+\s.*\bcursor\b|grant\s+\w+.*\bon\b|refresh\s+materialized\b|replace\s+into\b)",
    re.IGNORECASE | re.DOTALL,
)
_EXECUTED = re.compile(
    r"\s*(--[^\n]*\s*|/\*.*?\*/\s*|\(\s*)*(select|insert|update|delete|with|values|create|alter|drop|truncate|merge|copy|lock|declare|"
    r"grant|revoke|refresh|replace|do|call|execute|explain|set|table)\b\s*\S",
    re.IGNORECASE | re.DOTALL,
)


class StringLiteral(NamedTuple):
    """A string in the source, its line, and the function that it is passed to."""

    value: str
    line: int
    call: str | None
    is_complete: bool
    """Whether its whole value is known; that of an f-string is not."""

    @property
    def is_executed(self) -> bool:
        """Whether it is passed to a function that runs SQL."""
        return self.call in SQL_CALLS

    @property
    def is_relation(self) -> bool:
        """Whether it is passed to a function that relates models or mapped classes."""
        return self.call is not None and (self.call in RELATION_CALLS or self.call.endswith(RELATION_FIELDS))

    @property
    def looks_like_sql(self) -> bool:
        """Whether it starts like a SQL statement."""
        return (_EXECUTED if self.is_executed else _SQL).match(self.value) is not None


_PERCENT = re.compile(r"%%|%(?:\(\w+\))?[#0 +-]*[\d.*]*[diouxXeEfFgGcrsa]")
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}")


def joined(node: ast.JoinedStr, call: str | None) -> StringLiteral:
    """An f-string with the word `placeholder` in place of each value."""
    parts = [part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values]
    return StringLiteral("".join(str(part) for part in parts), node.lineno, call, False)


def combined(
    node: ast.expr, call: str | None, constants: Mapping[str, StringLiteral]
) -> tuple[StringLiteral, list[ast.expr]] | None:
    """The text that `+`, `%` or `format` makes, with `placeholder` for each value, and the values; None for no text."""
    first = _first(node)
    if first is node or _text(first, constants) is None:
        return None
    text, values = _flat(node, constants)
    return StringLiteral(text, first.lineno, call, not values and not isinstance(first, ast.JoinedStr)), values


def _first(node: ast.expr) -> ast.expr:
    """What a text begins with that is put together."""
    while True:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            node = node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            node = node.func.value
        else:
            return node


def _text(node: ast.expr, constants: Mapping[str, StringLiteral]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return joined(node, None).value
    return constants[node.id].value if isinstance(node, ast.Name) and node.id in constants else None


def _flat(node: ast.expr, constants: Mapping[str, StringLiteral]) -> tuple[str, list[ast.expr]]:
    """The text of an expression, and the values in it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        before, values = _flat(node.left, constants)
        after, more = _flat(node.right, constants)
        return before + after, [*values, *more]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        before, values = _flat(node.left, constants)
        return _PERCENT.sub(_filled, before), [*values, node.right]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        before, values = _flat(node.func.value, constants)
        return filled(before), [*values, *node.args, *(one.value for one in node.keywords)]
    text = _text(node, constants)
    if text is None:
        return PLACEHOLDER, [node]
    inside = node.values if isinstance(node, ast.JoinedStr) else []
    return text, [one.value for one in inside if isinstance(one, ast.FormattedValue)]


def filled(text: str) -> str:
    """A text with `placeholder` in place of what `format` replaces."""
    return _BRACES.sub(_filled, text)


def _filled(found: re.Match[str]) -> str:
    return found[0][0] if found[0] in ("{{", "}}", "%%") else PLACEHOLDER
