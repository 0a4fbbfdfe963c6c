"""What a SELECT certainly reads: its tables, or nothing certain."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnClause, CompoundSelect, FromClause, Select, Table, TextClause
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors

SHAPES_MAX = 1_000
"""Shapes of statements whose tables are remembered; beyond that all are forgotten."""
_shapes: dict[Any, frozenset[str] | None] = {}
_SELECTS: Any = (Select, CompoundSelect)
_UNKNOWN: Any = object()
_NOT_EAGER = frozenset({"select", True, "noload", None, "raise", "raise_on_sql", "write_only", "dynamic"})


def tables_read(statement: Any) -> frozenset[str] | None:
    """The tables that a statement reads; None where it may read anything, or writes. Each shape is read once."""
    if not isinstance(statement, _SELECTS):
        return None
    # A loader option may load anything. Where the attribute is gone, every statement is one with options.
    if getattr(statement, "_with_options", None) != ():
        return None
    key = statement._generate_cache_key()
    if key is None:
        return _read_tables(statement)
    known = _shapes.get(key.key, _UNKNOWN)
    if known is not _UNKNOWN:
        return known
    found = _read_tables(statement)
    # Another thread may do the same meanwhile; it finds the same.
    if len(_shapes) >= SHAPES_MAX:
        _shapes.clear()
    _shapes[key.key] = found
    return found


def _read_tables(statement: Any) -> frozenset[str] | None:
    tables: set[str] = set()
    for part in visitors.iterate(statement):
        if isinstance(part, FromClause):
            entity = entity_of(part)
            if not isinstance(part, Table) or (entity is not None and not _is_plain(entity.mapper)):
                return None
            tables.add(part.name.casefold())
        elif isinstance(part, TextClause) or (isinstance(part, ColumnClause) and part.is_literal):
            return None
    return frozenset(tables)


def entity_of(part: Any) -> Any:
    """The mapped class that a part of a statement stands for, as SQLAlchemy notes it there."""
    return getattr(part, "_annotations", {}).get("parententity")


def _is_plain(mapper: Mapper[Any]) -> bool:
    """Whether rows of this mapper are loaded from its own table alone."""
    return (
        mapper.polymorphic_on is None
        and all(relation.lazy in _NOT_EAGER for relation in mapper.relationships)
        and all(isinstance(part, Column) for attribute in mapper.column_attrs for part in attribute.columns)
    )
