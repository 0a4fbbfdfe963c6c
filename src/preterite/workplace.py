"""Where a component's handlers run: one transaction at a time, on a bare connection, a session or an async session.

While handlers run, the connection refuses to begin, commit or roll back. An `async def` handler runs on a
loop of this worker's own; everything else is plain code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from preterite.component import Given
from preterite.errors import HandlerEndedTransaction
from preterite.sessions import BINDING_KEY, Binding, ConnectionWork, SessionWork, Work
from preterite.store import Database
from preterite.unit_of_work import Outgoing

Result = TypeVar("Result")


class Batch(Protocol):
    """The open transaction as the inbox uses it."""

    work: Work
    outgoing: list[Outgoing]

    def give(self, wanted: Given) -> Any:
        """What fills a handler's parameter: the session or the connection."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, Any], /) -> None:
        """Run an async handler to its end."""
        ...

    @property
    def flush_failed(self) -> bool:
        """Whether rows of several handlers were being written when it failed: then nobody knows whose fault it was."""
        ...


class Workplace(Protocol):
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
        work: Work,
        given: dict[Given, Any],
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        flush_failed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._flush_failed = flush_failed
        self.work = work
        self.outgoing: list[Outgoing] = []
        self._given = given
        self.run = run

    @property
    def flush_failed(self) -> bool:
        return self._flush_failed()

    def give(self, wanted: Given) -> Any:
        if wanted is Given.CONNECTION:
            self.work.flush()
        return self._given[wanted]


def _guarded(batch: Batch, guard: Any, act: Callable[[Batch], Result]) -> Result:
    """Run `act` while the connection refuses to end the transaction."""
    with guard.guarding():
        result = act(batch)
        batch.work.flush()
    return result


def _ended() -> HandlerEndedTransaction:
    return HandlerEndedTransaction("A handler has ended the batch's transaction; all of it was rolled back.")


class ConnectionWorkplace:
    """For handlers that take a bare connection."""

    def __init__(self, database: Database, binding: Binding, isolated: bool) -> None:
        self._connection = database.connect()
        self._connection.binding = binding
        self._store = database.store
        self._isolated = isolated
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        work = ConnectionWork(self._connection)
        work.store.begin_batch(work.connection, isolated=self._isolated)
        batch = _Batch(work, {Given.CONNECTION: self._connection}, self._loop.run)
        try:
            result = _guarded(batch, self._connection, act)
            if not self._store.commit_batch(self._connection):
                raise _ended()
        except BaseException:
            work.rollback()
            raise
        return result

    @property
    def is_open(self) -> bool:
        return self._store.is_open(self._connection)

    def close(self) -> None:
        self._loop.close()
        self._connection.close()


class SessionWorkplace:
    """For handlers that take a SQLAlchemy Session; each handler sees what was done before it."""

    def __init__(self, database: Database, binding: Binding, isolated: bool) -> None:
        self._database = database
        self._engine = database.engine(binding, batch=isolated)
        self._binding = binding
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        from preterite.flushing import BatchSession

        with BatchSession(self._engine, info={BINDING_KEY: self._binding}) as session:
            return _in_session(self._database, session, {Given.SESSION: session}, self._loop.run, None, act)

    @property
    def is_open(self) -> bool:
        return True  # the engine replaces what breaks

    def close(self) -> None:
        self._loop.close()
        self._engine.dispose()


class AsyncSessionWorkplace:
    """For handlers that take an AsyncSession; the same plain core runs inside the session's `run_sync`."""

    def __init__(self, database: Database, binding: Binding, isolated: bool) -> None:
        self._database = database
        self._engine = database.async_engine(binding, batch=isolated)
        self._binding = binding
        self._loop = asyncio.Runner()

    def transact(self, act: Callable[[Batch], Result]) -> Result:
        return self._loop.run(self._transact(act))

    async def _transact(self, act: Callable[[Batch], Result]) -> Result:
        from sqlalchemy.ext.asyncio import AsyncSession
        from sqlalchemy.util import await_only

        from preterite.flushing import BatchSession

        options: dict[str, Any] = {"info": {BINDING_KEY: self._binding}, "sync_session_class": BatchSession}
        async with AsyncSession(self._engine, expire_on_commit=False, **options) as session:
            await session.connection()
            raw: Any = await (await session.connection()).get_raw_connection()
            guard = raw.driver_connection.preterite_guard
            given = {Given.SESSION: session.sync_session, Given.ASYNC_SESSION: session}
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
    given: dict[Given, Any],
    run: Callable[[Coroutine[Any, Any, Any]], Any],
    guard: Any,
    act: Callable[[Batch], Result],
) -> Result:
    work = SessionWork(session)
    work.begin()
    session.on_demand = not database.has_hidden_dependencies(work.connection)
    session.guard = guard or work.connection
    batch = _Batch(work, {**given, Given.CONNECTION: work.connection}, run, lambda: session.flush_failed)
    try:
        result = _guarded(batch, session.guard, act)
        if not work.store.is_in_batch(work.connection):
            raise _ended()
        work.commit()
    except BaseException:
        work.rollback()
        raise
    return result


def workplace_for(given: set[Given], database: Database, binding: Binding, *, isolated: bool = True) -> Workplace:
    """The workplace that can fill all these parameters; `isolated` as `Store.begin_batch` says."""
    if Given.ASYNC_SESSION in given:
        return AsyncSessionWorkplace(database, binding, isolated)
    if Given.SESSION in given:
        return SessionWorkplace(database, binding, isolated)
    return ConnectionWorkplace(database, binding, isolated)
