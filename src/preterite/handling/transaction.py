"""Where a component's handlers run: one transaction at a time, on a bare connection, a session or an async session.

While handlers run, the connection refuses to begin, commit or roll back. An `async def` handler runs on a
loop of this worker's own; everything else is plain code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from preterite.component import ParameterKind
from preterite.errors import HandlerEndedTransaction
from preterite.publishing.pending import PendingMessages
from preterite.publishing.transaction import (
    SESSION_CONTEXT,
    ConnectionTransaction,
    SessionContext,
    SessionTransaction,
    Transaction,
)
from preterite.store.contract import Database

Result = TypeVar("Result")


class Batch(Protocol):
    """The open transaction as the inbox uses it."""

    transaction: Transaction
    pending: list[PendingMessages]

    def argument(self, wanted: ParameterKind) -> Any:
        """What fills a handler's parameter: the session or the connection."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, Any], /) -> None:
        """Run an async handler to its end."""
        ...

    @property
    def flush_failed(self) -> bool:
        """Whether rows of several handlers were being written when it failed: then it is unknown which failed."""
        ...


class TransactionRunner(Protocol):
    """Runs functions in a transaction each."""

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        """Run `act` in a transaction that commits after it; an exception rolls back and passes through."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether its connection may still be of use."""
        ...

    def close(self) -> None:
        """Give up connections and loop."""
        ...


class _Batch:
    def __init__(
        self,
        transaction: Transaction,
        given: dict[ParameterKind, Any],
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        flush_failed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._flush_failed = flush_failed
        self.transaction = transaction
        self.pending: list[PendingMessages] = []
        self._given = given
        self.run = run

    @property
    def flush_failed(self) -> bool:
        return self._flush_failed()

    def argument(self, wanted: ParameterKind) -> Any:
        if wanted is ParameterKind.CONNECTION:
            self.transaction.flush()
        return self._given[wanted]


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
        self._connection = database.connect()
        self._connection.context = context
        self._store = database.store
        self._isolated = isolated
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        transaction = ConnectionTransaction(self._connection)
        transaction.store.begin_batch(transaction.connection, isolated=self._isolated)
        batch = _Batch(transaction, {ParameterKind.CONNECTION: self._connection}, self._loop.run)
        try:
            result = _guarded(batch, self._connection, act)
            if not self._store.commit_batch(self._connection):
                raise _ended()
        except BaseException:
            transaction.rollback()
            raise
        return result

    @property
    def is_open(self) -> bool:
        return self._store.is_open(self._connection)

    def close(self) -> None:
        self._loop.close()
        self._connection.close()


class SessionRunner:
    """For handlers that take a SQLAlchemy Session; each handler sees what was done before it."""

    def __init__(self, database: Database, context: SessionContext, isolated: bool) -> None:
        self._database = database
        self._engine = database.engine(context, batch=isolated)
        self._binding = context
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        from preterite.handling.session import BatchSession

        with BatchSession(self._engine, info={SESSION_CONTEXT: self._binding}) as session:
            return _in_session(self._database, session, {ParameterKind.SESSION: session}, self._loop.run, None, act)

    @property
    def is_open(self) -> bool:
        return True  # the engine replaces what breaks

    def close(self) -> None:
        self._loop.close()
        self._engine.dispose()


class AsyncSessionRunner:
    """For handlers that take an AsyncSession; the same plain core runs inside the session's `run_sync`."""

    def __init__(self, database: Database, context: SessionContext, isolated: bool) -> None:
        self._database = database
        self._engine = database.async_engine(context, batch=isolated)
        self._binding = context
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        return self._loop.run(self._transact(act))

    async def _transact(self, act: Callable[[Batch], Result]) -> Result:
        from sqlalchemy.ext.asyncio import AsyncSession
        from sqlalchemy.util import await_only

        from preterite.handling.session import BatchSession

        options: dict[str, Any] = {"info": {SESSION_CONTEXT: self._binding}, "sync_session_class": BatchSession}
        async with AsyncSession(self._engine, expire_on_commit=False, **options) as session:
            await session.connection()
            raw: Any = await (await session.connection()).get_raw_connection()
            guard = raw.driver_connection.preterite_guard
            given = {ParameterKind.SESSION: session.sync_session, ParameterKind.ASYNC_SESSION: session}
            return await session.run_sync(
                lambda plain: _in_session(self._database, plain, given, await_only, guard, act)
            )

    @property
    def is_open(self) -> bool:
        return True  # the engine replaces what breaks

    def close(self) -> None:
        self._loop.run(self._engine.dispose())
        self._loop.close()


def _in_session(
    database: Database,
    session: Any,
    given: dict[ParameterKind, Any],
    run: Callable[[Coroutine[Any, Any, Any]], Any],
    guard: Any,
    act: Callable[[Batch], Result],
) -> Result:
    transaction = SessionTransaction(session)
    transaction.begin()
    session.on_demand = not database.store.has_hidden_dependencies(transaction.connection)
    session.guard = guard or transaction.connection
    batch = _Batch(
        transaction, {**given, ParameterKind.CONNECTION: transaction.connection}, run, lambda: session.flush_failed
    )
    try:
        result = _guarded(batch, session.guard, act)
        if not transaction.store.is_in_batch(transaction.connection):
            raise _ended()
        transaction.commit()
    except BaseException:
        transaction.rollback()
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
