"""The schema that a component declares: tables, foreign keys, views, triggers, functions and grants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import sqlglot
from sqlglot import exp

from preterite.checks.sql.lexing import statements
from preterite.checks.sql.statements import analysed
from preterite.checks.sql.tables import Dialect, NotUnderstood, Statement, TableAccess, TableName

Kind = Literal["view", "trigger", "grant"]


@dataclass(frozen=True)
class Reference:
    """A foreign key: from one table to another."""

    table: TableName
    target: TableName


@dataclass(frozen=True)
class SchemaObject:
    """A view, a trigger or a function, or a grant, and the tables that it accesses."""

    kind: Kind
    name: str
    access: TableAccess
    grantees: tuple[str, ...] = ()


@dataclass
class Schema:
    """What a declaration creates in the component's database."""

    tables: set[TableName] = field(default_factory=set[TableName])
    references: list[Reference] = field(default_factory=list[Reference])
    objects: list[SchemaObject] = field(default_factory=list[SchemaObject])
    not_understood: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Statements that cannot be analysed, and why."""


def declared(tables: Any, dialect: Dialect) -> Schema:
    """Read a component's `tables`: SQL text or SQLAlchemy metadata; without them the schema is empty."""
    if tables is None:
        return Schema()
    return _from_text(tables, dialect) if isinstance(tables, str) else _from_metadata(tables, dialect)


def _from_metadata(metadata: Any, dialect: Dialect) -> Schema:
    schema = Schema()
    for table in metadata.tables.values():
        name = TableName(_folded(table.name, dialect), table.schema)
        schema.tables.add(name)
        for key in table.foreign_keys:
            *before, target, _ = key.target_fullname.split(".")
            schema.references.append(
                Reference(name, TableName(_folded(target, dialect), before[-1] if before else None))
            )
    return schema


def _folded(name: str, dialect: Dialect) -> str:
    return name.casefold() if dialect == "sqlite" else name


def _from_text(text: str, dialect: Dialect) -> Schema:
    schema = Schema()
    for written, statement in analysed(text, dialect):
        if isinstance(statement, NotUnderstood):
            schema.not_understood.append((" ".join(written.split())[:60], str(statement)))
        else:
            _add(schema, statement)
    return schema


def _add(schema: Schema, statement: Statement) -> None:
    access, kind = statement.access, statement.declares
    schema.references += [Reference(table, target) for table, target in statement.references]
    if kind in ("table", "view"):
        schema.tables |= access.writes
    if kind in ("view", "trigger", "grant"):
        schema.objects.append(SchemaObject(kind, statement.name, access, statement.grantees))


def columns(text: str) -> dict[str, list[str]]:
    """The tables that SQL text creates, and their columns; without those that the parser cannot read."""
    found: dict[str, list[str]] = {}
    for statement in statements(text, "postgres"):
        try:
            tree = sqlglot.parse_one(statement, read="postgres")
        except Exception:  # Whatever the parser does with a text that it cannot read.
            continue
        if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema):
            made = [column.name for column in tree.this.expressions if isinstance(column, exp.ColumnDef)]
            found[tree.this.this.name] = made
    return found
