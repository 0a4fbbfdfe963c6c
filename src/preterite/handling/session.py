"""Flush on demand: the sessions of a batch write what handlers have added once a query could notice, not before.

SQLAlchemy flushes before every query. In a batch that is a flush per event, of rows that the next query mostly does
not look at. Here a SELECT that certainly reads no table in which rows wait does not flush; every other statement does,
SQL text too. So a handler sees all that earlier handlers of its batch wrote, and rows go to the
database many at a time. Where views, triggers or hooks make one table depend on another, every SELECT flushes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnClause, CompoundSelect, FromClause, Select, Table, TextClause, event, inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.sql import visitors

from preterite.errors import HandlerEndedTransaction

SHAPES_MAX = 1_000
"""Shapes of statements whose tables are remembered; beyond that all are forgotten."""
_shapes: dict[Any, frozenset[str] | None] = {}
_UNKNOWN: Any = object()
_NOT_EAGER = frozenset({"select", True, "noload", None, "raise", "raise_on_sql", "write_only", "dynamic"})


class BatchSession(Session):
    """The session that handlers of a batch share.

    `on_demand` is set where no table depends on another unseen, `guard` to the connection that refuses to end the
    transaction: a flush that fails must be able to roll it back, as SQLAlchemy does, or its own error is lost.
    After a flush that did not come to its end, `flush_failed`, it is unknown whose rows were at fault.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_demand = False
        self.guard: Any = None
        self.flush_failed = False
        self._waiting: set[str] = set()
        self._seen: set[type] = set()
        """Classes of which something was added, and which have been looked at."""

    def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """Run a statement, after a flush if it may read what waits."""
        return self._run(super().execute, statement, arguments, options)

    def scalars(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """The same for its scalars."""
        return self._run(super().scalars, statement, arguments, options)

    def scalar(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """The same for one scalar."""
        return self._run(super().scalar, statement, arguments, options)

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what waits, as every session does."""
        self._note_flushing(True)
        super().flush(objects)
        self._note_flushing(False)
        self._waiting.clear()
        self._seen.clear()

    def close(self) -> None:
        """Close it, after the batch; a handler is refused, also `with session:`."""
        self._refuse("close its session")
        super().close()

    def reset(self) -> None:
        """Reset it, after the batch; a handler is refused."""
        self._refuse("reset its session")
        super().reset()

    def invalidate(self) -> None:
        """Give up its connection, after the batch; a handler is refused."""
        self._refuse("invalidate its session")
        super().invalidate()

    def _refuse(self, what: str) -> None:
        """Raise `HandlerEndedTransaction` while handlers run: what others of the batch have added would be lost."""
        if self.guard is not None and self.guard.guarded:
            raise HandlerEndedTransaction.refused(what)

    def _run(self, run: Callable[..., Any], statement: Any, arguments: Any, options: Any) -> Any:
        if not self.needs_no_flush(statement):
            if not _is_of_mapper(statement):
                self.flush()
            return run(statement, *arguments, **options)
        before, self.autoflush = self.autoflush, False
        try:
            return run(statement, *arguments, **options)
        finally:
            self.autoflush = before

    def _note_flushing(self, flushing: bool) -> None:
        self.flush_failed = flushing
        if self.guard is not None:
            self.guard.flushing = flushing

    def note_added(self, added: object) -> None:
        """Remember in which tables rows wait now."""
        if type(added) in self._seen:
            return
        self._seen.add(type(added))
        mapper: Mapper[Any] = inspect(added).mapper  # pyright: ignore[reportOptionalMemberAccess] - it is mapped
        self._waiting.update(table.name.casefold() for table in mapper.tables if isinstance(table, Table))
        hooked = mapper.dispatch.before_insert or mapper.dispatch.after_insert
        if hooked or _entity(mapper.__clause_element__()) is None:
            self.on_demand = False

    def needs_no_flush(self, statement: Any) -> bool:
        """Whether a statement certainly reads nothing that waits to be written."""
        if not self.on_demand or self.dirty or self.deleted or self.dispatch.before_flush or self.dispatch.after_flush:
            return False
        if not isinstance(statement, Select | CompoundSelect):
            return False
        if not self._waiting:
            return True
        reads = _tables_read(statement)
        return reads is not None and reads.isdisjoint(self._waiting)


def _is_of_mapper(statement: Any) -> bool:
    """Whether SQLAlchemy flushes before it by itself."""
    return getattr(statement, "_propagate_attrs", {}).get("compile_state_plugin") == "orm"


def _tables_read(statement: Any) -> frozenset[str] | None:
    """The tables that a SELECT reads; nothing where it may read anything. Each shape of statement is read once."""
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
            entity = _entity(part)
            if not isinstance(part, Table) or (entity is not None and not _is_plain(entity.mapper)):
                return None
            tables.add(part.name.casefold())
        elif isinstance(part, TextClause) or (isinstance(part, ColumnClause) and part.is_literal):
            return None
    return frozenset(tables)


def _entity(part: Any) -> Any:
    """The mapped class that a part of a statement stands for, as SQLAlchemy notes it there."""
    return getattr(part, "_annotations", {}).get("parententity")


def _is_plain(mapper: Mapper[Any]) -> bool:
    """Whether rows of this mapper are loaded from its own table alone."""
    return (
        mapper.polymorphic_on is None
        and all(relation.lazy in _NOT_EAGER for relation in mapper.relationships)
        and all(isinstance(part, Column) for attribute in mapper.column_attrs for part in attribute.columns)
    )


def _note_added(session: BatchSession, added: object) -> None:
    session.note_added(added)


event.listen(BatchSession, "transient_to_pending", _note_added, propagate=True)
