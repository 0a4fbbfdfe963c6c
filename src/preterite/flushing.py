"""Flush on demand: the sessions of a batch write what handlers have added once somebody could notice, not before.

SQLAlchemy flushes before every query. In a batch that is a flush per event, of rows that the next query mostly does
not look at. Here a SELECT flushes only if it reads a table in which rows wait to be inserted, and everything else
flushes first, plain SQL too. So a handler sees all that earlier handlers of its batch wrote, and rows go to the
database many at a time. Where views or triggers make one table depend on another, every SELECT flushes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnClause, FromClause, Table, TextClause, event, inspect
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import visitors

_WAITING = "preterite: tables in which rows wait"
_FLUSHING = "preterite: a flush has begun and not ended"


class BatchSession(Session):
    """The session that handlers of a batch share.

    `on_demand` is set where no table depends on another unseen, `guard` to the connection that refuses to end the
    transaction: a flush that fails must be able to roll it back, as SQLAlchemy does, or its own error is lost.
    """

    on_demand = False
    guard: Any = None

    @property
    def flush_failed(self) -> bool:
        """Whether the last flush did not come to its end: then nobody can tell whose rows were at fault."""
        return bool(self.info.get(_FLUSHING))


def _note_added(session: Session, added: object) -> None:
    waiting: set[FromClause] = session.info.setdefault(_WAITING, set())
    waiting.update(inspect(added).mapper.tables)  # pyright: ignore[reportOptionalMemberAccess] - it is mapped


def _note_flush(session: Session, *_others: object) -> None:
    session.info[_FLUSHING] = True
    if isinstance(session, BatchSession) and session.guard is not None:
        session.guard.flushing = True


def _note_flushed(session: Session, *_others: object) -> None:
    session.info[_FLUSHING] = False
    if isinstance(session, BatchSession) and session.guard is not None:
        session.guard.flushing = False
    session.info.pop(_WAITING, None)


def _before_statement(state: ORMExecuteState) -> None:
    session = state.session
    assert isinstance(session, BatchSession), "only sessions of batches are listened to"
    if session.on_demand and state.is_select and not (session.dirty or session.deleted):
        waiting: set[FromClause] | None = session.info.get(_WAITING)
        if not waiting or not _reads(state.statement, waiting):
            state.update_execution_options(autoflush=False)
            return
    if not state.is_orm_statement:
        session.flush()


def _reads(statement: Any, tables: set[FromClause]) -> bool:
    """Whether a statement reads one of these tables, or may do so unseen."""
    for part in visitors.iterate(statement):
        if isinstance(part, TextClause) or (isinstance(part, ColumnClause) and part.is_literal):
            return True
        if isinstance(part, FromClause) and (not isinstance(part, Table) or part in tables):
            return True
    return False


event.listen(BatchSession, "transient_to_pending", _note_added, propagate=True)
event.listen(BatchSession, "before_flush", _note_flush, propagate=True)
event.listen(BatchSession, "after_flush", _note_flushed, propagate=True)
event.listen(BatchSession, "do_orm_execute", _before_statement, propagate=True)
