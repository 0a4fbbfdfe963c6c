"""What statements access: tables, and what they declare around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Dialect = Literal["sqlite", "postgres"]
Kind = Literal["", "table", "view", "trigger", "grant"]


_PARTS = re.compile(r'"(?:[^"]|"")*"|[^."\s]+')


class NotUnderstood(Exception):
    """A statement that cannot be analysed, so that the tables it accesses are unknown."""


class NotAccepted(NotUnderstood):
    """A text that a grammar does not accept."""


class TableName(NamedTuple):
    """A table as a statement names it, with the case folding of its database."""

    table: str
    schema: str | None = None

    def __str__(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class TableAccess:
    """The tables that one or more statements read and write, and what they set for those that follow."""

    reads: frozenset[TableName] = frozenset()
    writes: frozenset[TableName] = frozenset()
    search_path: tuple[str, ...] | None = None
    attached: frozenset[str] = frozenset()
    """Files that ATTACH opens."""
    role: str | None = None
    """The role that SET ROLE or SET SESSION AUTHORIZATION assumes."""
    depends_on_literals: bool = False
    """Whether a literal names what is accessed, so that statements with other literals access something else."""

    def __or__(self, other: TableAccess) -> TableAccess:
        return TableAccess(
            self.reads | other.reads,
            self.writes | other.writes,
            other.search_path or self.search_path,
            self.attached | other.attached,
            other.role or self.role,
            self.depends_on_literals or other.depends_on_literals,
        )


@dataclass(frozen=True)
class Statement:
    """One statement: what it accesses, and what it declares."""

    access: TableAccess
    declares: Kind = ""
    name: str = ""
    """The declared table, view, trigger or function, or the table on which rights are granted."""
    references: tuple[tuple[TableName, TableName], ...] = ()
    """Foreign keys: table and referenced table."""
    grantees: tuple[str, ...] = ()


def named(parts: Sequence[str]) -> TableName:
    """The table of a name with its qualifiers."""
    return TableName(parts[-1], parts[-2] if len(parts) > 1 else None)


def name_in_text(text: str, dialect: Dialect) -> TableName:
    """The table of a name in plain text, as in nextval('finance.ids'); empty if there is none."""
    parts: list[str] = _PARTS.findall(text.strip())
    return named([_folded(part, dialect) for part in parts] or [""])


def path_in_text(text: str) -> tuple[str, ...]:
    """The schemas of a search path in plain text."""
    return tuple(part.strip().strip("'\"") for part in text.rstrip(";").split(",") if part.strip())


def _folded(part: str, dialect: Dialect) -> str:
    bare = part[1:-1].replace('""', '"') if part.startswith('"') else part
    return bare if part.startswith('"') and dialect == "postgres" else bare.casefold()
