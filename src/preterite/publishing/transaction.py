"""What the user works with, as one interface: a bare DB-API connection or a SQLAlchemy session.

SQLAlchemy is an extra: it is imported only when a session of it is used.
An AsyncSession is worked on from inside its own `run_sync`, where plain code may use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from preterite.clock import Clock, Randomness, SystemClock, SystemRandomness
from preterite.errors import ConfigurationError
from preterite.store import store_of
from preterite.store.contract import Store
from preterite.store.rows import DbConnection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session
    from sqlalchemy.orm import SessionTransaction as SqlalchemyTransaction

SESSION_CONTEXT = "preterite"


def _no_wake_up() -> None:
    """Wake no loop: those of other processes poll."""


@dataclass(frozen=True)
class SessionContext:
    """What a session or connection handed out by an open system carries along."""

    clock: Clock
    randomness: Randomness
    wake: Callable[[], None] = _no_wake_up
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

    def flush(self) -> None:
        """Write what the session holds back."""
        ...

    def commit(self) -> None:
        """End the transaction; what was written stays."""
        ...

    def rollback(self) -> None:
        """End the transaction; nothing that was written stays."""
        ...


class ConnectionTransaction:
    """A bare connection. Rows written at once follow its savepoints by themselves."""

    buffers = False

    def __init__(self, connection: Any) -> None:
        self.connection: DbConnection = connection
        self.store = store_of(connection)
        self.context: SessionContext = getattr(connection, "context", None) or _unbound()

    def begin(self) -> None:
        if not self.store.in_transaction(self.connection):
            self.store.prepare(self.connection)
            self.store.begin(self.connection)

    def savepoint(self) -> object:
        return None

    def is_live(self, savepoint: object) -> bool:
        return True

    def flush(self) -> None:
        pass

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        if self.store.in_transaction(self.connection):
            self.connection.rollback()


class SessionTransaction:
    """A SQLAlchemy session; an AsyncSession's inner one too. What was published in a savepoint goes with it."""

    buffers = True

    def __init__(self, session: Session) -> None:
        self.session = session
        self.context: SessionContext = session.info.get(SESSION_CONTEXT) or _unbound()
        self._rolled_back: list[SqlalchemyTransaction] = []
        self.connection: DbConnection = _driver_connection(session)
        self.store = store_of(self.connection)

    def begin(self) -> None:
        from sqlalchemy import event

        if not self.store.in_transaction(self.connection):
            self.store.prepare(self.connection)
            self.store.begin(self.connection)
        event.listen(self.session, "after_soft_rollback", self._note_rollback)

    def savepoint(self) -> object:
        return self.session.get_nested_transaction()

    def is_live(self, savepoint: object) -> bool:
        transaction: Any = savepoint
        while transaction is not None:
            if any(transaction is gone for gone in self._rolled_back):
                return False
            transaction = transaction.parent
        return True

    def flush(self) -> None:
        self.session.flush()

    def commit(self) -> None:
        self._stop_listening()
        self.session.commit()

    def rollback(self) -> None:
        self._stop_listening()
        self.session.rollback()

    def _note_rollback(self, _session: Session, transaction: SqlalchemyTransaction) -> None:
        self._rolled_back.append(transaction)

    def _stop_listening(self) -> None:
        from sqlalchemy import event

        if event.contains(self.session, "after_soft_rollback", self._note_rollback):
            event.remove(self.session, "after_soft_rollback", self._note_rollback)


def transaction_on(given: Any) -> Transaction:
    """The transaction behind a connection or a plain session."""
    if is_async_session(given):
        raise ConfigurationError(
            "An AsyncSession needs 'async with'; write: async with component.unit_of_work(session) as unit_of_work."
        )
    return SessionTransaction(given) if is_session(given) else ConnectionTransaction(given)


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


def _driver_connection(session: Session) -> DbConnection:
    from sqlalchemy.exc import UnboundExecutionError

    try:
        dbapi: Any = session.connection().connection.dbapi_connection
    except UnboundExecutionError as error:
        raise ConfigurationError(
            "This session is bound to several databases or none; a unit of work needs exactly one. "
            "Bind it to the component's own database."
        ) from error
    return AdaptedConnection(dbapi) if hasattr(dbapi, "driver_connection") else dbapi


class AdaptedConnection:
    """SQLAlchemy's plain face of an asyncio driver, with cursors that behave like a DB-API driver's."""

    def __init__(self, adapted: Any) -> None:
        self._adapted = adapted

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection, whose methods are awaited."""
        return self._adapted.driver_connection

    @property
    def driver_type(self) -> type:
        """The driver's own connection is of this type."""
        driver: object = self._adapted.driver_connection
        return type(driver)

    def __getattr__(self, name: str) -> Any:
        # The state of a driver's connection: whether it is in a transaction, closed, and how it begins.
        return getattr(self._adapted.driver_connection, name)

    def cursor(self) -> AdaptedCursor:
        return AdaptedCursor(self._adapted.cursor())

    def commit(self) -> None:
        self._adapted.commit()

    def rollback(self) -> None:
        self._adapted.rollback()


class AdaptedCursor:
    """A cursor whose `execute` returns itself, as sqlite3's does."""

    def __init__(self, adapted: Any) -> None:
        self._adapted = adapted

    @property
    def rowcount(self) -> int:
        return self._adapted.rowcount

    def execute(self, sql: str, *parameters: Any, **options: Any) -> AdaptedCursor:
        self._adapted.execute(sql, *parameters, **options)
        return self

    def executemany(self, sql: str, parameters: Any) -> AdaptedCursor:
        self._adapted.executemany(sql, list(parameters))
        return self

    def fetchone(self) -> Any:
        return self._adapted.fetchone()

    def fetchall(self) -> list[Any]:
        return list(self._adapted.fetchall())
