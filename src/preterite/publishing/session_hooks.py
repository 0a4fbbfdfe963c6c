"""What SQLAlchemy tells of a session while a unit of work or a batch runs on it.

Hooks are set once: on the class Session, and on each engine that is not of Preterite's making (the connections of those
that are tell their watch by themselves). They do something only where a session or a connection is followed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, SessionTransaction

from preterite.drivers.transaction_watch import TransactionWatch

_KEY = "preterite.transaction"


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
    """Tell the follower what becomes of the session's transaction."""
    _hook_sessions()
    session.info[_KEY] = follower


def unfollow(session: Session) -> None:
    """Tell nobody any more."""
    session.info.pop(_KEY, None)


def watch(connection: Connection, watch: TransactionWatch) -> bool:
    """Tell the watch what runs on a connection; returns whether the connection does so by itself."""
    dbapi: Any = connection.connection.dbapi_connection
    guard = getattr(getattr(dbapi, "driver_connection", dbapi), "preterite_guard", None)
    if guard is not None:
        guard.watch = watch
        return True
    _hook_engine(connection.engine)
    connection.info[_KEY] = watch
    return False


def unwatch(connection: Connection, watch: TransactionWatch) -> None:
    """Tell the watch nothing more, if it is told."""
    if connection.closed or connection.invalidated:
        return
    dbapi: Any = connection.connection.dbapi_connection
    guard = getattr(getattr(dbapi, "driver_connection", dbapi), "preterite_guard", None)
    if guard is not None and guard.watch is watch:
        guard.watch = None
    if guard is None and connection.info.get(_KEY) is watch:
        del connection.info[_KEY]


@cache
def _hook_sessions() -> None:
    event.listen(Session, "before_commit", _before_session_commits)
    event.listen(Session, "after_begin", _after_session_begins)
    event.listen(Session, "after_soft_rollback", _after_session_rolls_back)


def _before_session_commits(session: Session) -> None:
    follower: Follower | None = session.info.get(_KEY)
    if follower is not None and session.get_nested_transaction() is None:
        follower.before_commit()


def _after_session_begins(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    follower: Follower | None = session.info.get(_KEY)
    if follower is not None:
        follower.after_begin(connection)


def _after_session_rolls_back(session: Session, transaction: SessionTransaction) -> None:
    follower: Follower | None = session.info.get(_KEY)
    if follower is not None:
        follower.after_rollback(transaction)


def _hook_engine(engine: Engine) -> None:
    if event.contains(engine, "commit", _before_commit):
        return
    event.listen(engine, "begin", _before_begin)
    event.listen(engine, "commit", _before_commit)
    event.listen(engine, "rollback", _before_rollback)
    event.listen(engine, "before_cursor_execute", _before_statement)
    event.listen(engine, "after_cursor_execute", _after_statement)
    event.listen(engine, "checkin", _forget)


def _watch_of(connection: Connection) -> TransactionWatch | None:
    return connection.info.get(_KEY)


def _before_begin(connection: Connection) -> None:
    if (found := _watch_of(connection)) is not None:
        found.require_going_on()


def _before_commit(connection: Connection) -> None:
    if (found := _watch_of(connection)) is not None:
        found.before_commit()


def _before_rollback(connection: Connection) -> None:
    if (found := _watch_of(connection)) is not None:
        found.before_rollback()


def _before_statement(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if (found := _watch_of(connection)) is not None:
        found.before_statement(statement, in_transaction=True)


def _after_statement(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if (found := _watch_of(connection)) is not None:
        found.after_statement(statement)


def _forget(_connection: Any, record: Any) -> None:
    record.info.pop(_KEY, None)
