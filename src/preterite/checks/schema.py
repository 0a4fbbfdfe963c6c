"""What a component has declared to own: its tables, what they refer to, and what stands around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from preterite.checks.sql import Dialect, Name, Touched, Unread, statements, touched, without_comments

Kind = Literal["view", "trigger", "grant"]


@dataclass(frozen=True)
class Reference:
    """A foreign key: from one table to another."""

    of: Name
    to: Name


@dataclass(frozen=True)
class Around:
    """A view, a trigger or a function, or a grant: what it is called, and what it touches."""

    kind: Kind
    name: str
    touched: Touched
    grantees: tuple[str, ...] = ()


@dataclass
class Schema:
    """What a declaration makes in the component's database."""

    tables: set[Name] = field(default_factory=set[Name])
    references: list[Reference] = field(default_factory=list[Reference])
    around: list[Around] = field(default_factory=list[Around])
    unread: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Statements that are not understood, and why."""


def declared(tables: Any, dialect: Dialect) -> Schema:
    """Read a component's `tables`: SQL text, or SQLAlchemy metadata; nothing where there are none."""
    if tables is None:
        return Schema()
    return _by_text(tables, dialect) if isinstance(tables, str) else _by_metadata(tables, dialect)


def _by_metadata(metadata: Any, dialect: Dialect) -> Schema:
    schema = Schema()
    for table in metadata.tables.values():
        name = Name(_folded(table.name, dialect), table.schema)
        schema.tables.add(name)
        for key in table.foreign_keys:
            *before, target, _ = key.target_fullname.split(".")
            schema.references.append(Reference(name, Name(_folded(target, dialect), before[-1] if before else None)))
    return schema


def _folded(name: str, dialect: Dialect) -> str:
    return name.casefold() if dialect == "sqlite" else name


def _by_text(text: str, dialect: Dialect) -> Schema:
    schema = Schema()
    for statement in statements(text):
        try:
            _add(schema, statement, dialect)
        except Unread as error:
            schema.unread.append((" ".join(statement.split())[:60], str(error)))
    return schema


def _add(schema: Schema, statement: str, dialect: Dialect) -> None:
    words = without_comments(statement).split()
    first = [word.casefold() for word in words[:6]]
    if "trigger" in first or "function" in first or "procedure" in first:
        schema.around.append(
            Around("trigger", _name_after(words, ("trigger", "function", "procedure")), touched(statement, dialect))
        )
        return
    found = touched(statement, dialect)
    if first[:1] == ["grant"]:
        schema.around.append(
            Around("grant", str(next(iter(found.writes), "")), found, tuple(_grantees(statement, dialect)))
        )
    elif "view" in first:
        schema.tables |= found.writes
        schema.around.append(Around("view", str(next(iter(found.writes), "")), found))
    elif first[:1] == ["create"] and ("table" in first or "sequence" in first):
        schema.tables |= found.writes
        for table in found.writes:
            schema.references += [Reference(table, target) for target in found.reads]
    elif first[:1] == ["alter"]:
        for table in found.writes:
            schema.references += [Reference(table, target) for target in _referred(statement, dialect)]


def _name_after(words: list[str], kinds: tuple[str, ...]) -> str:
    places = [place for place, word in enumerate(words) if word.casefold() in kinds]
    return words[places[0] + 1].partition("(")[0] if places and places[0] + 1 < len(words) else ""


def _referred(statement: str, dialect: Dialect) -> Iterator[Name]:
    """The tables that an ALTER TABLE refers to."""
    try:
        tree = sqlglot.parse_one(statement, read=dialect)
    except SqlglotError:
        return
    for reference in tree.find_all(exp.Reference):
        for table in reference.find_all(exp.Table):
            yield Name(table.name, table.db or None)


def _grantees(statement: str, dialect: Dialect) -> Iterator[str]:
    try:
        tree = sqlglot.parse_one(statement, read=dialect)
    except SqlglotError:
        return
    for principal in tree.find_all(exp.GrantPrincipal):
        yield principal.name


def columns(text: str) -> dict[str, list[str]]:
    """The tables that SQL text makes, and their columns."""
    found: dict[str, list[str]] = {}
    for statement in statements(text):
        try:
            tree = sqlglot.parse_one(statement, read="postgres")
        except SqlglotError:
            continue
        if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema):
            made = [column.name for column in tree.this.expressions if isinstance(column, exp.ColumnDef)]
            found[tree.this.this.name] = made
    return found
