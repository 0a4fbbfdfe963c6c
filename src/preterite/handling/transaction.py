"""Where a component's handlers run: one transaction at a time, on a bare connection, a session or an async session.

While handlers run, the connection refuses to begin, commit or roll back. An `async def` handler runs on a
loop of this worker's own; everything else is plain code.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from preterite.component import ParameterKind
from preterite.drivers.settings import SettingsChanged
from preterite.drivers.transaction_watch import TransactionWatch, with_own_tables
from preterite.errors import HandlerEndedTransaction, UnitOfWorkBroken
from preterite.handling.failure import report_hooks
from preterite.handling.outcome import HandlerLoop
from preterite.publishing.adapted import AdaptedConnection
from preterite.publishing.pending import PendingMessages
from preterite.publishing.transaction import (
    ConnectionTransaction,
    SessionContext,
    Transaction,
)
from preterite.store.contract import Database, Store
from preterite.store.rows import DbConnection

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlalchemyConnection
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from preterite.handling.session import CallTransaction, HandlerSession

Result = TypeVar("Result")


class Batch(Protocol):
    """The open transaction as the inbox uses it."""

    transaction: Transaction
    pending: list[PendingMessages]
    together: bool
    """Whether rows of several calls may be written together; then it may be unknown whose failed."""
    changed: SettingsChanged
    """What the calls so far have set on the connection."""

    @property
    def failed_together(self) -> bool:
        """Whether rows of several calls were being written when it failed."""
        ...

    def calling(self) -> AbstractContextManager[Transaction]:
        """The transaction as one handler's call has it.

        At the end of the call its session's rows are written; what it has set is set back, or noted in `changed`.
        """
        ...

    def argument(self, wanted: ParameterKind) -> Any:
        """What fills a handler's parameter during a call: its session or the connection."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, Any], /) -> None:
        """Run an async handler to its end."""
        ...


class TransactionRunner(Protocol):
    """Runs functions in a transaction each."""

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        """Run `act` in a transaction that commits after it; an exception rolls back and passes through."""
        ...

    def renew(self) -> None:
        """Give up the connections, with what handlers have left on them; the next transaction makes a new one."""
        ...

    def close(self) -> None:
        """Give up connections and loop."""
        ...


class _ConnectionBatch:
    failed_together = False

    def __init__(self, connection: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.transaction: Transaction = ConnectionTransaction(connection)
        self._guard = connection
        self.pending: list[PendingMessages] = []
        self.together = False
        self.changed = SettingsChanged.NO
        self.run = run

    @contextmanager
    def calling(self) -> Generator[Transaction]:
        self._guard.changed = SettingsChanged.NO
        try:
            with with_own_tables(self._guard, closed=True):
                yield self.transaction
        finally:
            self._guard.restore()
            self.changed = max(self.changed, self._guard.changed)

    def argument(self, wanted: ParameterKind) -> Any:
        return self.transaction.connection


class SessionBatch:
    """A batch of handlers that take sessions. It is its own transaction, in which the core's statements run."""

    buffers = True

    def __init__(
        self,
        root: SqlalchemyConnection,
        store: Store,
        context: SessionContext,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        from preterite.handling.waiting import WaitingRows

        dbapi: Any = root.connection.dbapi_connection
        adapted = hasattr(dbapi, "driver_connection")
        self.connection: DbConnection = AdaptedConnection(dbapi) if adapted else dbapi
        self.guard: Any = dbapi.driver_connection.preterite_guard if adapted else dbapi
        self._watch = self.guard.watch = TransactionWatch(refuses=False)
        self.store = store
        self.context = context
        self.transaction: Transaction = self
        self.pending: list[PendingMessages] = []
        self.run = run
        self.together = False
        self.changed = SettingsChanged.NO
        self._root = root
        self._waiting = WaitingRows(root, self._may_wait)
        self._call: CallTransaction | None = None
        self._with_end_hooks: list[HandlerSession] = []

    @contextmanager
    def calling(self) -> Generator[Transaction]:
        from preterite.handling.session import CallTransaction

        self._call = call = CallTransaction(self)
        self.guard.changed = SettingsChanged.NO
        try:
            with with_own_tables(self.guard, closed=True):
                yield call
                self.guard.restore()
                if self._waiting.failed is not None:
                    raise self._waiting.failed  # the handler went on all the same
                call.commit()
        except BaseException:
            call.rollback()
            raise
        finally:
            self._call = None
            if call.has_end_hooks:  # also those that the handler itself has registered
                self._with_end_hooks.append(call.session)
            self.guard.restore()
            self.changed = max(self.changed, self.guard.changed)

    @property
    def failed_together(self) -> bool:
        return self._waiting.failed is not None

    @cached_property
    def _has_hidden_dependencies(self) -> bool:
        return self.store.has_hidden_dependencies(self.connection)

    def _may_wait(self) -> bool:
        return self.together and not self._has_hidden_dependencies

    def argument(self, wanted: ParameterKind) -> Any:
        assert self._call is not None, "a handler gets its parameters during its call"
        if wanted is ParameterKind.CONNECTION:
            self._waiting.write()
            return self._root.connection.dbapi_connection
        return self._call.session if wanted is ParameterKind.SESSION else self._call.async_session

    def new_session(self) -> HandlerSession:
        """A session for one call."""
        from preterite.handling.session import HandlerSession

        return HandlerSession(self._root, self.guard, self._waiting, self.context)

    def begin(self) -> None:
        pass

    def savepoint(self) -> object:
        return self._watch.position()

    def is_live(self, savepoint: object) -> bool:
        return self._watch.is_live(cast(int, savepoint))

    @property
    def broken(self) -> UnitOfWorkBroken | None:
        return None

    def require_unbroken(self) -> None:
        """Nothing: the guard of the connection refuses the transaction's end."""

    def verify(self) -> None:
        """Nothing: whether it is still open is verified before its commit."""

    def release(self) -> None:
        """Follow the connection no longer."""
        self.guard.watch = None

    def writing_own_tables(self) -> AbstractContextManager[None]:
        return with_own_tables(self.guard, closed=False)

    def flush(self) -> None:
        with with_own_tables(self.guard, closed=True):
            self._waiting.write()

    def commit(self) -> None:
        self.release()
        self._root.commit()
        self._run_end_hooks(committed=True)

    def rollback(self) -> None:
        self.release()
        self._root.rollback()
        self._run_end_hooks(committed=False)

    def _run_end_hooks(self, *, committed: bool) -> None:
        failed: list[BaseException] = []
        for session in self._with_end_hooks:
            try:
                session.run_end_hooks(committed=committed)
            except BaseException as error:
                failed.append(error)
        report_hooks(failed, committed=committed)


def _guarded(batch: Batch, guard: Any, act: Callable[[Batch], Result]) -> Result:
    """Run `act` while the connection refuses to end the transaction."""
    with guard.guarding():
        result = act(batch)
        batch.transaction.flush()
    return result


def _ended() -> HandlerEndedTransaction:
    return HandlerEndedTransaction("A handler has ended the batch's transaction; all of it was rolled back.")


class ConnectionRunner:
    """For handlers that take a bare connection."""

    def __init__(self, database: Database, context: SessionContext, isolated: bool) -> None:
        self._database = database
        self._context = context
        self._store = database.store
        self._connection = self._connected()
        self._isolated = isolated
        self._loop = HandlerLoop()

    def _connected(self) -> Any:
        connection = self._database.connect()
        connection.context = self._context
        return connection

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        if not self._store.is_open(self._connection):
            self._connection.close()
            self._connection = self._connected()
        self._store.begin_batch(self._connection, isolated=self._isolated)
        batch = _ConnectionBatch(self._connection, self._loop.run)
        try:
            result = _guarded(batch, self._connection, act)
            if not self._store.commit_batch(self._connection):
                raise _ended()
        except BaseException:
            batch.transaction.rollback()
            raise
        finally:
            if batch.changed is SettingsChanged.IN_SESSION:
                self._connection.close()
        return result

    def renew(self) -> None:
        self._connection.close()

    def close(self) -> None:
        self._loop.close()
        self._connection.close()


class SessionRunner:
    """For handlers that take a SQLAlchemy Session; each handler sees what was done before it."""

    def __init__(self, database: Database, context: SessionContext, isolated: bool) -> None:
        self._database = database
        self._store = database.store
        self._context = context
        self._isolated = isolated
        self._engine = self._new_engine()
        self._loop = HandlerLoop()

    def _new_engine(self) -> Engine:
        from preterite.handling.session import write_what_waits_first

        engine = self._database.engine(self._context, batch=self._isolated)
        write_what_waits_first(engine)
        return engine

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        with self._engine.connect() as connection:
            connection.begin()
            batch = SessionBatch(connection, self._store, self._context, self._loop.run)
            try:
                return _in_sessions(batch, act)
            finally:
                if batch.changed is SettingsChanged.IN_SESSION:
                    connection.invalidate()

    def renew(self) -> None:
        self._engine.dispose()
        self._engine = self._new_engine()

    def close(self) -> None:
        self._loop.close()
        self._engine.dispose()


class AsyncSessionRunner:
    """For handlers that take an AsyncSession; the same plain core runs inside the connection's `run_sync`."""

    def __init__(self, database: Database, context: SessionContext, isolated: bool) -> None:
        self._database = database
        self._store = database.store
        self._context = context
        self._isolated = isolated
        self._engine = self._new_engine()
        self._loop = HandlerLoop()

    def _new_engine(self) -> AsyncEngine:
        from preterite.handling.session import write_what_waits_first

        engine = self._database.async_engine(self._context, batch=self._isolated)
        write_what_waits_first(engine.sync_engine)
        return engine

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        return self._loop.run(self._transact(act))

    async def _transact(self, act: Callable[[Batch], Result]) -> Result:
        from sqlalchemy.util import await_only

        async with self._engine.connect() as connection:
            await connection.begin()

            def begun(plain: SqlalchemyConnection) -> Result:
                batch = SessionBatch(plain, self._store, self._context, await_only)
                try:
                    return _in_sessions(batch, act)
                finally:
                    if batch.changed is SettingsChanged.IN_SESSION:
                        plain.invalidate()

            return await connection.run_sync(begun)

    def renew(self) -> None:
        self._loop.run(self._engine.dispose())
        self._engine = self._new_engine()

    def close(self) -> None:
        self._loop.run(self._engine.dispose())
        self._loop.close()


def _in_sessions(batch: SessionBatch, act: Callable[[Batch], Result]) -> Result:
    try:
        result = _guarded(batch, batch.guard, act)
        if not batch.store.is_in_batch(batch.connection):
            raise _ended()
        batch.commit()
    except BaseException:
        # What a lost connection has written is rolled back by the server; that this one cannot hides no other error.
        with nullcontext() if batch.store.is_open(batch.connection) else suppress(Exception):
            batch.rollback()
        raise
    return result


def runner_for(
    given: set[ParameterKind], database: Database, context: SessionContext, *, isolated: bool = True
) -> TransactionRunner:
    """The transactions that can fill all these parameters; `isolated` as `Store.begin_batch` says."""
    if ParameterKind.ASYNC_SESSION in given:
        return AsyncSessionRunner(database, context, isolated)
    if ParameterKind.SESSION in given:
        return SessionRunner(database, context, isolated)
    return ConnectionRunner(database, context, isolated)
