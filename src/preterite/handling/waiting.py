"""Rows that wait: what handlers of a batch have only added, written together as soon as anything could notice.

A flush per event is most of what a handler costs that adds a row. Its rows may wait for those of the next handlers
where it makes no difference: they are plain, of one table, referenced nowhere else, and no statement has run since that
could see them. Whatever is not certain makes them be written at once. A row that the database refuses is noticed late;
then all runs again and no row waits, so that each handler's failure is its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Column,
    ColumnClause,
    CompoundSelect,
    Connection,
    Dialect,
    FromClause,
    MetaData,
    Select,
    Table,
    TextClause,
    insert,
    inspect,
    types,
)
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.sql import visitors

SHAPES_MAX = 1_000
"""Shapes of statements whose tables are remembered; beyond that all are forgotten."""
_shapes: dict[Any, frozenset[str] | None] = {}
_plain_classes: WeakKeyDictionary[Mapper[Any], dict[type, Plain | None]] = WeakKeyDictionary()
"""What is known of mapped classes, by the kind of database."""
_SELECTS: Any = (Select, CompoundSelect)
_UNKNOWN: Any = object()
_NOT_EAGER = frozenset({"select", True, "noload", None, "raise", "raise_on_sql", "write_only", "dynamic"})
PLAIN_VALUES = frozenset({type(None), bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID})
"""Types of values that cannot change while they wait."""
PLAIN_TYPES = (
    types.String,
    types.Integer,
    types.Numeric,
    types.Boolean,
    types.Date,
    types.DateTime,
    types.Time,
    types.LargeBinary,
    types.Uuid,
)
"""Types of columns whose values are written alike now and later, and by no code of the application's."""
_DECORATORS_OWN = ("bind_processor", "bind_expression", "load_dialect_impl", "type_engine")
"""What a type decorator may not have of its own, so that its `process_bind_param` is all that it does to a value."""
_SESSION_HOOKS = (
    "before_attach",
    "after_attach",
    "transient_to_pending",
    "before_flush",
    "after_flush",
    "after_flush_postexec",
    "pending_to_persistent",
    "pending_to_transient",
    "persistent_to_detached",
)


class Plain(NamedTuple):
    """How rows of a class are written that may wait."""

    table: Table
    """The table as its rows are written: with the types that type decorators write as."""
    columns: tuple[tuple[str, str], ...]
    """Attributes and the columns they stand for, all but what the database numbers."""
    decorated: tuple[tuple[str, Callable[[Any], Any]], ...]
    """Columns with a type decorator, and what that makes of a value; it does so when the handler returns."""
    numbered: str | None
    """The attribute that the database numbers, if it was not given."""
    required: frozenset[str]
    """Attributes that must have a value, or the row is not plain."""


class WaitingRows:
    """The rows of a batch that wait, of one table at a time; written on the batch's own connection.

    `may_wait` says whether any may, `failed` with which error some could not be written.
    """

    def __init__(self, root: Connection, may_wait: Callable[[], bool]) -> None:
        self._root = root
        self._may_wait = may_wait
        self._rows: list[dict[str, Any]] = []
        self._table: Table | None = None
        self._plain: dict[type, Plain | None] = {}
        self.failed: BaseException | None = None

    def __bool__(self) -> bool:
        return bool(self._rows)

    def take(self, session: Session) -> bool:
        """Let the rows wait that a session would write if it was flushed; false if it has to be."""
        if session.deleted or session.dirty:
            return False
        added = list[Any](session.new)
        if not added:
            return True
        cls: Any = added[0].__class__
        plain = self._plain_of(cls)
        if plain is None or any(getattr(session.dispatch, hook) for hook in _SESSION_HOOKS) or not self._may_wait():
            return False
        rows = [_row_of(one, plain) if one.__class__ is cls else None for one in added]
        if None in rows or not _only_held_by(session, added):
            return False
        if plain.table is not self._table:
            self.write()
        self._table = plain.table
        self._rows += cast("list[dict[str, Any]]", rows)
        return True

    def are_certainly_not_read(self, statement: Any) -> bool:
        """Whether a statement does not read the table in which rows wait."""
        assert self._table is not None, "a table has rows that wait"
        reads = _tables_read(statement)
        return reads is not None and self._table.name.casefold() not in reads

    def write(self) -> None:
        """Write what waits, in its order; raises what the database says."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        assert self._table is not None, "rows that wait are of a table"
        try:
            for _, alike in groupby(rows, key=lambda row: row.keys()):
                self._root.execute(insert(self._table), list(alike))
        except BaseException as error:
            self.failed = error
            raise

    def _plain_of(self, cls: type) -> Plain | None:
        if cls not in self._plain:
            mapper: Mapper[Any] = inspect(cls)
            self._plain[cls] = None if _has_hooks(mapper) else _known(mapper, self._root.dialect)
        return self._plain[cls]


def _only_held_by(session: Session, added: Sequence[Any]) -> bool:
    """Take new objects out of their session; but if anything else holds one, and could notice, put all back."""
    _expunge(session, added)
    if _most_references(added) > _references_of_a_list():
        session.add_all(added)
        return False
    return True


def _expunge(session: Session, added: Sequence[Any]) -> None:
    # A function of its own: a loop's variable would go on holding the last object, and be counted.
    for one in added:
        session.expunge(one)


def _most_references(objects: Sequence[Any]) -> int:
    return max(sys.getrefcount(one) for one in objects)


@cache
def _references_of_a_list() -> int:
    """The count for an object that is in one list only. How many references the asking itself takes is Python's own."""
    return _most_references([object()])


def _row_of(added: Any, plain: Plain) -> dict[str, Any] | None:
    """The values of a new object; None unless they are all there is to it."""
    values = dict(added.__dict__)
    del values["_sa_instance_state"]
    row = {column: values.pop(attribute, None) for attribute, column in plain.columns}
    if plain.numbered is not None and (number := values.pop(plain.numbered, None)) is not None:
        row[plain.numbered] = number
    if values or any(row[column] is None for column in plain.required):
        return None
    try:
        for column, process in plain.decorated:
            row[column] = process(row[column])
    except Exception:
        return None  # the flush raises it again, as an error of the handler's
    return None if any(type(value) not in PLAIN_VALUES for value in row.values()) else row


def _has_hooks(mapper: Mapper[Any]) -> bool:
    """Whether code of the application's runs when rows of a class are written."""
    on_row = mapper.dispatch.before_insert or mapper.dispatch.after_insert
    return bool(on_row or mapper.class_manager.dispatch.refresh_flush)


def _known(mapper: Mapper[Any], dialect: Dialect) -> Plain | None:
    """What `_plain` says, found out once for a class and a kind of database."""
    known = _plain_classes.setdefault(mapper, {})
    if type(dialect) not in known:
        known[type(dialect)] = _plain(mapper, mapper.local_table, dialect)
    return known[type(dialect)]


def _plain(mapper: Mapper[Any], table: Any, dialect: Dialect) -> Plain | None:
    """How rows of a class are written; None where writing them does more, or depends on when it is done."""
    is_table: bool = _is_table(table)
    if (
        not is_table
        or len(mapper.tables) != 1
        or mapper.inherits is not None
        or mapper.polymorphic_on is not None
        or mapper.version_id_col is not None
        or _entity_of(mapper.__clause_element__()) is None
    ):
        return None
    columns: list[tuple[str, str]] = []
    required: set[str] = set()
    numbered: str | None = None
    decorated = {column: _decorator(column.type, dialect) for column in table.columns}
    for column, decorator in decorated.items():
        written = column.type if decorator is None else decorator.impl_instance
        if not _is_plain_column(column, written) or not mapper.columns.contains_column(column):
            return None
        attribute = mapper.get_property_by_column(column).key
        if column is table.autoincrement_column and len(table.primary_key.columns) == 1:
            if attribute != column.key:
                return None
            numbered = attribute
            continue
        columns.append((attribute, column.key))
        if column.primary_key or column.default is not None:
            required.add(column.key)
    decorators = {column: decorator for column, decorator in decorated.items() if decorator is not None}
    processes = [
        (column.key, partial(_processed, decorator, dialect))
        for column, decorator in decorators.items()
        if _is_own(decorator, "process_bind_param")
    ]
    if decorators:
        table = _as_written(table, {column: decorator.impl_instance for column, decorator in decorators.items()})
    return Plain(table, tuple(columns), tuple(processes), numbered, frozenset(required))


def _decorator(kind: Any, dialect: Dialect) -> types.TypeDecorator[Any] | None:
    """The type decorator of a column, as it is for this database, if it does nothing but `process_bind_param`."""
    known = kind.dialect_impl(dialect)
    cls: Any = known.__class__
    is_decorator: bool = issubclass(cls, types.TypeDecorator)
    if not is_decorator or known.should_evaluate_none:
        return None
    return None if any(_is_own(known, name) for name in _DECORATORS_OWN) else known


def _is_own(decorator: types.TypeDecorator[Any], method: str) -> bool:
    cls: Any = type(decorator)
    return getattr(cls, method) is not getattr(types.TypeDecorator, method)


def _processed(decorator: types.TypeDecorator[Any], dialect: Dialect, value: Any) -> Any:
    return decorator.process_bind_param(value, dialect)


def _as_written(table: Table, kinds: Mapping[Any, Any]) -> Table:
    """A table by the same name whose columns have the types that decorators write as."""
    columns = [
        Column(
            column.name,
            kinds.get(column, column.type),
            key=column.key,
            primary_key=column.primary_key,
            autoincrement=column.autoincrement,
        )
        for column in table.columns
    ]
    return Table(table.name, MetaData(), *columns, schema=table.schema)


def _is_table(given: Any) -> bool:
    return isinstance(given, Table)


def _is_plain_column(column: Any, written: Any) -> bool:
    """Whether a column has what it is given, written as this type."""
    is_given = column.server_default is None and column.computed is None
    return is_given and (column.default is None or column.default.is_scalar) and _is_plain_type(written)


def _is_plain_type(kind: Any) -> bool:
    is_sqlalchemys = kind.__class__.__module__.startswith("sqlalchemy.")
    is_plain = isinstance(kind, PLAIN_TYPES) and not isinstance(kind, types.Enum)
    return is_sqlalchemys and is_plain and not kind.should_evaluate_none


# what a statement reads


def _tables_read(statement: Any) -> frozenset[str] | None:
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
            entity = _entity_of(part)
            if not isinstance(part, Table) or (entity is not None and not _is_plain(entity.mapper)):
                return None
            tables.add(part.name.casefold())
        elif isinstance(part, TextClause) or (isinstance(part, ColumnClause) and part.is_literal):
            return None
    return frozenset(tables)


def _entity_of(part: Any) -> Any:
    """The mapped class that a part of a statement stands for, as SQLAlchemy notes it there."""
    return getattr(part, "_annotations", {}).get("parententity")


def _is_plain(mapper: Mapper[Any]) -> bool:
    """Whether rows of this mapper are loaded from its own table alone."""
    return (
        mapper.polymorphic_on is None
        and all(relation.lazy in _NOT_EAGER for relation in mapper.relationships)
        and all(isinstance(part, Column) for attribute in mapper.column_attrs for part in attribute.columns)
    )
