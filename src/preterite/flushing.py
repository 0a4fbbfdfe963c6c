"""Flush on demand: the sessions of a batch write what handlers have added once somebody could notice, not before.

SQLAlchemy flushes before every query. In a batch that is a flush per event, of rows that the next query mostly does
not look at. Here a SELECT that certainly reads no table in which rows wait does not flush; every other statement does,
SQL text too. So a handler sees all that earlier handlers of its batch wrote, and rows go to the
database many at a time. Where views, triggers or hooks make one table depend on another, every SELECT flushes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnClause, FromClause, Select, Table, TextClause, event, inspect
from sqlalchemy.orm import Mapper, ORMExecuteState, Session
from sqlalchemy.sql import visitors

_NOT_EAGER = frozenset({"select", True, "noload", None, "raise", "raise_on_sql", "write_only", "dynamic"})


class BatchSession(Session):
    """The session that handlers of a batch share.

    `on_demand` is set where no table depends on another unseen, `guard` to the connection that refuses to end the
    transaction: a flush that fails must be able to roll it back, as SQLAlchemy does, or its own error is lost.
    After a flush that did not come to its end, `flush_failed`, nobody can tell whose rows were at fault.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_demand = False
        self.guard: Any = None
        self.flush_failed = False
        self._waiting: set[str] = set()

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what waits, as every session does."""
        self._note_flushing(True)
        super().flush(objects)
        self._note_flushing(False)
        self._waiting.clear()

    def _note_flushing(self, flushing: bool) -> None:
        self.flush_failed = flushing
        if self.guard is not None:
            self.guard.flushing = flushing

    def note_added(self, added: object) -> None:
        """Remember in which tables rows wait now."""
        mapper: Mapper[Any] = inspect(added).mapper  # pyright: ignore[reportOptionalMemberAccess] - it is mapped
        self._waiting.update(table.name.casefold() for table in mapper.tables if isinstance(table, Table))
        hooked = mapper.dispatch.before_insert or mapper.dispatch.after_insert
        if hooked or _entity(mapper.__clause_element__()) is None:
            self.on_demand = False

    def needs_no_flush(self, statement: Any) -> bool:
        """Whether a statement certainly reads nothing that waits to be written."""
        if not self.on_demand or self.dirty or self.deleted or self.dispatch.before_flush or self.dispatch.after_flush:
            return False
        return isinstance(statement, Select) and not (self._waiting and _may_read(statement, self._waiting))


def _may_read(statement: Any, tables: set[str]) -> bool:
    """Whether a statement reads one of these tables, or what it loads may do so."""
    # A loader option may load anything. Where the attribute is gone, every statement is one with options.
    if getattr(statement, "_with_options", None) != ():
        return True
    for part in visitors.iterate(statement):
        if isinstance(part, FromClause):
            if not isinstance(part, Table) or part.name.casefold() in tables:
                return True
            entity = _entity(part)
            if entity is not None and not _is_plain(entity.mapper):
                return True
        elif isinstance(part, TextClause) or (isinstance(part, ColumnClause) and part.is_literal):
            return True
    return False


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


def _before_statement(state: ORMExecuteState) -> None:
    session = state.session
    assert isinstance(session, BatchSession), "only sessions of batches are listened to"
    if session.needs_no_flush(state.statement):
        state.update_execution_options(autoflush=False)
    elif not state.is_orm_statement:
        session.flush()


event.listen(BatchSession, "transient_to_pending", _note_added, propagate=True)
event.listen(BatchSession, "do_orm_execute", _before_statement, propagate=True)
