"""What SQLAlchemy reports of a session while a unit of work or a batch runs on it.

Hooks are set once: on the class Session, and on each engine. Connections of Preterite's own making report to their
watch by themselves; those of a user's engine by its hooks. All do something only where a session is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, SessionTransaction

from preterite.drivers.transaction_watch import TransactionWatch, refuse_own_tables

_KEY = "preterite.transaction"
_hooked: WeakSet[Engine] = WeakSet()
_watched: WeakKeyDictionary[Connection, tuple[TransactionWatch, Callable[[], bool]]] = WeakKeyDictionary()


def _never() -> bool:
    return False


_NOTHING = (None, _never)


class Follower(Protocol):
    """What follows a session."""

    def before_commit(self) -> None:
        """The session is about to commit its transaction, not only a savepoint."""
        ...

    def after_begin(self, connection: Connection) -> None:
        """The session has begun a transaction or a savepoint on a connection."""
        ...

    def after_rollback(self, transaction: SessionTransaction) -> None:
        """The session has rolled back a transaction or a savepoint."""
        ...


def follow(session: Session, follower: Follower) -> None:
    """Report what becomes of the session's transaction to the follower."""
    _hook_sessions()
    vars(session)[_KEY] = follower  # not in its `info`, which is the user's, and may be cleared


def unfollow(session: Session) -> None:
    """Report it no more."""
    vars(session).pop(_KEY, None)


def watch(connection: Connection, watch: TransactionWatch, is_open: Callable[[], bool]) -> Any:
    """Report what runs on a connection to the watch; returns the driver's connection if that does so by itself.

    `is_open` says whether the driver's connection is in a transaction.
    """
    dbapi: Any = connection.connection.dbapi_connection
    guard = getattr(getattr(dbapi, "driver_connection", dbapi), "preterite_guard", None)
    if guard is not None:
        guard.watch = watch
        guard.own_tables_closed = watch.refuses
    _hook_engine(connection.engine, reports_by_itself=guard is not None)
    _watched[connection] = (watch, is_open)
    return guard


def unwatch(connection: Connection, guard: Any, watch: TransactionWatch) -> None:
    """Report nothing more to the watch. `guard` is what `watch` has returned."""
    if guard is not None and guard.watch is watch:
        guard.watch = None
        guard.own_tables_closed = False
    _watched.pop(connection, None)


@cache
def _hook_sessions() -> None:
    event.listen(Session, "before_commit", _before_session_commits)
    event.listen(Session, "after_begin", _after_session_begins)
    event.listen(Session, "after_soft_rollback", _after_session_rolls_back)


def _before_session_commits(session: Session) -> None:
    follower: Follower | None = vars(session).get(_KEY)
    if follower is not None and session.get_nested_transaction() is None:
        follower.before_commit()


def _after_session_begins(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    follower: Follower | None = vars(session).get(_KEY)
    if follower is not None:
        follower.after_begin(connection)


def _after_session_rolls_back(session: Session, transaction: SessionTransaction) -> None:
    follower: Follower | None = vars(session).get(_KEY)
    if follower is not None:
        follower.after_rollback(transaction)


def _hook_engine(engine: Engine, *, reports_by_itself: bool) -> None:
    if engine in _hooked:
        return
    _hooked.add(engine)
    event.listen(engine, "begin", _before_begin, insert=True)
    if not reports_by_itself:
        event.listen(engine, "commit", _before_commit)
        event.listen(engine, "rollback", _before_rollback)
        event.listen(engine, "before_cursor_execute", _before_statement)
        event.listen(engine, "after_cursor_execute", _after_statement)


def _before_begin(connection: Connection) -> None:
    found, _ = _watched.get(connection, _NOTHING)
    if found is not None and found.refuses:
        found.ended("its connection was to begin another")
        found.require_going_on()


def _before_commit(connection: Connection) -> None:
    found, _ = _watched.get(connection, _NOTHING)
    if found is not None:
        found.before_commit()


def _before_rollback(connection: Connection) -> None:
    found, _ = _watched.get(connection, _NOTHING)
    if found is not None:
        found.before_rollback()


def _before_statement(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    found, is_open = _watched.get(connection, _NOTHING)
    if found is not None:
        if found.refuses:
            refuse_own_tables(statement)
        found.before_statement(statement, in_transaction=is_open())


def _after_statement(connection: Connection, *_: Any) -> None:
    found, _is_open = _watched.get(connection, _NOTHING)
    if found is not None:
        found.after_statement()
