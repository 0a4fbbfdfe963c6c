"""What the user works with, as one interface: a bare DB-API connection or a SQLAlchemy session.

SQLAlchemy is an extra: it is imported only when a session of it is used.
An AsyncSession is worked on from inside its own `run_sync`, where plain code may use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from preterite.clock import Clock, Randomness, SystemClock, SystemRandomness
from preterite.drivers.own_process import require_own_process
from preterite.drivers.transaction_watch import TransactionWatch, forget_watch, with_own_tables
from preterite.errors import ConfigurationError, UnitOfWorkBroken
from preterite.publishing.adapted import AdaptedConnection
from preterite.store import store_of
from preterite.store.contract import Store
from preterite.store.rows import DbConnection

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import SessionTransaction as SqlalchemyTransaction

SESSION_CONTEXT = "preterite"
_PROCESS = "preterite.process"


@dataclass(frozen=True)
class SessionContext:
    """What a session or connection handed out by an open system carries along."""

    clock: Clock
    randomness: Randomness
    wake: Callable[[], None] = lambda: None
    """Wakes the loops of this process; those of others poll."""
    owner: str = ""
    """The loop of a worker that it belongs to, if it does."""


def _unbound() -> SessionContext:
    return SessionContext(SystemClock(), SystemRandomness())


class Transaction(Protocol):
    """One open transaction, whatever the user holds it by."""

    store: Store
    context: SessionContext

    @property
    def connection(self) -> DbConnection:
        """The DB-API connection on which Preterite's statements run."""
        ...

    @property
    def buffers(self) -> bool:
        """Whether published events wait for the end, or stand in the transaction at once."""
        ...

    def begin(self) -> None:
        """Join the open transaction, or open one that will write."""
        ...

    def savepoint(self) -> object:
        """The savepoint in which one is now."""
        ...

    def is_live(self, savepoint: object) -> bool:
        """Whether what was done at that savepoint has not been rolled back."""
        ...

    @property
    def broken(self) -> UnitOfWorkBroken | None:
        """Why nothing of it may be kept, if so."""
        ...

    def require_unbroken(self) -> None:
        """Raise `UnitOfWorkBroken` if its end was tried, or has come; costs no statement."""
        ...

    def writing_own_tables(self) -> AbstractContextManager[None]:
        """While the core writes to its own tables, which is refused to user code."""
        ...

    def flush(self) -> None:
        """Write what the session holds back."""
        ...

    def verify(self) -> None:
        """Raise `UnitOfWorkBroken` unless a commit would now keep all that was written since `begin`, and only that."""
        ...

    def release(self) -> None:
        """Watch the user's session or connection no longer; its transaction is left as it is."""
        ...

    def commit(self) -> None:
        """End the transaction; what was written stays."""
        ...

    def rollback(self) -> None:
        """End the transaction; nothing that was written stays."""
        ...


class ConnectionTransaction:
    """A bare connection. Rows written at once follow its savepoints, and its end, by themselves.

    In a unit of work its end is `refused`; a connection that the user has opened cannot refuse, so its transaction is
    marked, and that is verified at the end.
    """

    buffers = False

    def __init__(self, connection: Any, *, refused: bool = False) -> None:
        self.connection: DbConnection = connection
        self.store = store_of(connection)
        self.context: SessionContext = getattr(connection, "context", None) or _unbound()
        self._watch = TransactionWatch(refuses=refused)
        self._guard: Any = getattr(connection, "preterite_guard", None)

    @property
    def broken(self) -> UnitOfWorkBroken | None:
        return self._watch.broken

    def begin(self) -> None:
        if self._guard is not None:
            require_own_process(self._guard.process)
        if not self.store.in_transaction(self.connection):
            self.store.prepare(self.connection)
            self.store.begin(self.connection)
        if self._watch.refuses and self._guard is not None:
            self._guard.watch = self._watch
            self._guard.own_tables_closed = True
        elif self._watch.refuses:
            self.store.mark(self.connection)

    def writing_own_tables(self) -> AbstractContextManager[None]:
        return with_own_tables(self._guard, closed=False)

    def savepoint(self) -> object:
        return None

    def is_live(self, savepoint: object) -> bool:
        return True

    def require_unbroken(self) -> None:
        if not self.store.in_transaction(self.connection):
            self._watch.ended(_BY_THE_CONNECTION)
        if self._watch.refuses and self._watch.broken is not None:
            raise self._watch.broken

    def flush(self) -> None:
        pass

    def verify(self) -> None:
        self.require_unbroken()
        if not self.store.can_commit(self.connection):
            self._watch.ended(_BY_A_STATEMENT)
        elif self._guard is None and not self.store.take_mark(self.connection):
            self._watch.ended(_BY_THE_CONNECTION)
        self.require_unbroken()

    def commit(self) -> None:
        self.release()
        self.connection.commit()

    def rollback(self) -> None:
        self.release()
        if self.store.in_transaction(self.connection):
            self.connection.rollback()

    def release(self) -> None:
        if self._guard is not None and self._guard.watch is self._watch:
            forget_watch(self._guard, None)


class SessionTransaction:
    """A SQLAlchemy session; an AsyncSession's inner one too. What was published in a savepoint goes with it.

    In a unit of work its commit is `refused`. A rollback passes, because a flush that fails must roll back; after it
    the session refuses to begin again.
    """

    buffers = True

    def __init__(self, session: Session, *, refused: bool = False) -> None:
        self.session = session
        self.context: SessionContext = session.info.get(SESSION_CONTEXT) or _unbound()
        self._watch = TransactionWatch(refuses=refused, may_roll_back=True)
        self._rolled_back: list[SqlalchemyTransaction] = []
        self._sqlalchemy = _connection_of(session)
        self.connection: DbConnection = _driver_connection(self._sqlalchemy)
        self._root = session.get_transaction()
        self._guard: Any = None
        self._is_marked = False
        self.store = store_of(self.connection)

    @property
    def broken(self) -> UnitOfWorkBroken | None:
        return self._watch.broken

    def begin(self) -> None:
        from preterite.publishing import session_hooks

        if not self.store.in_transaction(self.connection):
            self.store.prepare(self.connection)
            self.store.begin(self.connection)
        session_hooks.follow(self.session, self)
        self._guard = session_hooks.watch(self._sqlalchemy, self._watch, self._is_open)
        self._is_marked = self._watch.refuses and self._guard is None
        if self._is_marked:
            self.store.mark(self.connection)

    def writing_own_tables(self) -> AbstractContextManager[None]:
        return with_own_tables(self._guard, closed=False)

    def savepoint(self) -> object:
        return self._watch.position(), self.session.get_nested_transaction()

    def is_live(self, savepoint: object) -> bool:
        position, transaction = cast("tuple[int, Any]", savepoint)
        while transaction is not None:
            if any(transaction is gone for gone in self._rolled_back):
                return False
            transaction = transaction.parent
        return self._watch.is_live(position)

    def require_unbroken(self) -> None:
        if self.session.get_transaction() is not self._root or self._sqlalchemy.invalidated:
            self._watch.ended("the session has ended it, or given up its connection")
        if self._watch.refuses and self._watch.broken is not None:
            raise self._watch.broken

    def flush(self) -> None:
        self.session.flush()

    def verify(self) -> None:
        self.require_unbroken()
        if self._sqlalchemy.closed:
            self._watch.ended("its connection was closed")
        elif not self._is_open():
            self._watch.ended(_BY_THE_CONNECTION)
        elif not self.store.can_commit(self.connection):
            self._watch.ended(_BY_A_STATEMENT)
        elif self._is_marked and not self.store.take_mark(self.connection):
            self._watch.ended(_BY_THE_CONNECTION)
        self.require_unbroken()

    def commit(self) -> None:
        self.release()
        self.session.commit()

    def rollback(self) -> None:
        from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError

        self.release()
        held = self.session.get_transaction() is self._root and not self._sqlalchemy.invalidated
        if self._watch.is_over and held and self.session.is_active:
            # The session does not know that its connection's transaction has ended; there is nothing to roll back.
            self.session.close()
            return
        try:
            self.session.rollback()
        except InvalidRequestError:
            # A hook of the session's commit has raised after the commit.
            self.session.close()
        except SQLAlchemyError:
            # Its savepoints are gone, or its connection is. What a connection that is closed leaves is rolled back; the
            # session alone would first try each savepoint again.
            with suppress(SQLAlchemyError):
                self._sqlalchemy.invalidate()
            with suppress(SQLAlchemyError):
                self.session.close()

    def release(self) -> None:
        from preterite.publishing import session_hooks

        session_hooks.unfollow(self.session)
        session_hooks.unwatch(self._sqlalchemy, self._guard, self._watch)

    def _is_open(self) -> bool:
        return self.store.in_transaction(self.connection)

    # as `session_hooks.Follower`

    def before_commit(self) -> None:
        """Refuse the session's commit."""
        self._watch.before_commit()

    def after_begin(self, connection: Connection) -> None:
        """Refuse another transaction, and another database."""
        from preterite.publishing import session_hooks

        if not self._watch.refuses or connection is self._sqlalchemy:
            return
        # Until the session has given it back, nothing is written by this connection either.
        session_hooks.watch(connection, self._watch, self._is_open)
        if connection.engine is self._sqlalchemy.engine:
            self._watch.ended("the session has ended it")
            self._watch.require_going_on()
        self._watch.ended("the session has begun on a second database, too")
        raise ConfigurationError(
            f"The session of a unit of work uses a second database, {connection.engine.url!r} (binds=…?); rows there "
            "and events here cannot commit together, so the unit is refused and nothing is kept. Use a session of its "
            "own for that database."
        )

    def after_rollback(self, transaction: SqlalchemyTransaction) -> None:
        """Note what a savepoint has taken back, or that the transaction is over."""
        self._rolled_back.append(transaction)
        if transaction.parent is None:
            self._watch.ended("the session has rolled it back")


_BY_THE_CONNECTION = "its connection was used to commit it, to roll it back or to begin another"
_BY_A_STATEMENT = "a statement in it failed, and the database commits nothing after that but rolls back"


def transaction_on(given: Any) -> Transaction:
    """The transaction behind a connection or a plain session, for a unit of work."""
    if is_async_session(given):
        raise ConfigurationError(
            "An AsyncSession needs 'async with'; write: async with component.unit_of_work(session) as unit_of_work."
        )
    return SessionTransaction(given, refused=True) if is_session(given) else ConnectionTransaction(given, refused=True)


def unwrapped(given: Any) -> Any:
    """The session of this thread or task, where it is given by a `scoped_session` or an `async_scoped_session`."""
    if is_session(given) or is_async_session(given):
        return given
    kind: type = type(cast("object", given))
    is_scoped = _has_base(kind, "sqlalchemy.orm", "scoped_session")
    is_scoped = is_scoped or _has_base(kind, "sqlalchemy.ext.asyncio", "async_scoped_session")
    return given() if is_scoped else given


def is_session(given: object) -> bool:
    """Whether this is a SQLAlchemy session, without importing SQLAlchemy."""
    return _has_base(type(given), "sqlalchemy.orm", "Session")


def is_async_session(given: object) -> bool:
    """Whether this is a SQLAlchemy AsyncSession, without importing SQLAlchemy."""
    return _has_base(type(given), "sqlalchemy.ext.asyncio", "AsyncSession")


def names_session(annotation: Any) -> bool:
    """Whether a handler's parameter asks for a Session."""
    return isinstance(annotation, type) and _has_base(annotation, "sqlalchemy.orm", "Session")


def names_async_session(annotation: Any) -> bool:
    """Whether a handler's parameter asks for an AsyncSession."""
    return isinstance(annotation, type) and _has_base(annotation, "sqlalchemy.ext.asyncio", "AsyncSession")


def names_connection(annotation: Any) -> bool:
    """Whether a parameter asks for a SQLAlchemy Connection."""
    return isinstance(annotation, type) and _has_base(annotation, "sqlalchemy.engine", "Connection")


def inner_session(session: AsyncSession) -> Session:
    """The plain session inside an AsyncSession."""
    return session.sync_session


def _has_base(cls: type, module: str, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith(module) for base in cls.__mro__)


def _connection_of(session: Session) -> Connection:
    from sqlalchemy.exc import UnboundExecutionError

    if session.twophase:
        raise ConfigurationError(
            "This session was made with twophase=True; a unit of work is one transaction of one database. "
            "Nothing was written. Make the session without it."
        )
    try:
        connection = session.connection()
    except UnboundExecutionError:
        raise ConfigurationError(
            "This session is bound to several databases or none; a unit of work needs exactly one. "
            "Bind it to the component's own database."
        ) from None
    require_own_process(connection.info.setdefault(_PROCESS, os.getpid()))
    return connection


def _driver_connection(connection: Connection) -> DbConnection:
    dbapi: Any = connection.connection.dbapi_connection
    return AdaptedConnection(dbapi) if hasattr(dbapi, "driver_connection") else dbapi
