"""SQLAlchemy sessions on the components' databases, as users open them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from preterite.drivers.extras import needing
from preterite.errors import UsageError
from preterite.publishing.transaction import SESSION_CONTEXT, SessionContext
from preterite.store.contract import Database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session


class Sessions:
    """Opens sessions; the engine of a component is created when its first session is opened.

    `require` raises `StoreUnavailable` where a component is not open, and cannot be opened.
    """

    def __init__(
        self,
        databases: Mapping[str, Database],
        context: Callable[[str], SessionContext],
        require: Callable[[str], object],
    ) -> None:
        self._require = require
        self._databases = databases
        self._context = context
        self._engines: dict[str, Any] = {}
        self._async_engines: dict[str, Any] = {}

    def open(self, component: str) -> SessionOpener:
        """A session on the component's database: `with` gives a Session, `async with` an AsyncSession."""
        return SessionOpener(self, component, self._context(component))

    def require(self, component: str) -> None:
        """Raise `StoreUnavailable` where a component is not open, and cannot be opened."""
        self._require(component)

    def engine(self, component: str) -> Any:
        """The SQLAlchemy engine of a component's plain sessions."""
        if component not in self._engines:
            self._engines[component] = self._databases[component].engine(self._context(component))
        return self._engines[component]

    def async_engine(self, component: str) -> Any:
        """The SQLAlchemy engine of a component's asyncio sessions."""
        if component not in self._async_engines:
            self._async_engines[component] = self._databases[component].async_engine(self._context(component))
        return self._async_engines[component]

    def close(self) -> None:
        """Dispose the engines of plain sessions."""
        engines, self._engines = self._engines, {}
        for engine in engines.values():
            engine.dispose()

    async def close_async(self) -> None:
        """Dispose the engines of asyncio sessions, on the event loop that used them."""
        while self._async_engines:
            _, engine = self._async_engines.popitem()
            await engine.dispose()

    def close_async_where_no_loop_runs(self) -> None:
        """The same outside of asyncio; raises `UsageError` on a running event loop.

        Undisposed, the threads of an asyncio driver would keep the process from ending.
        """
        if not self._async_engines:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.close_async())
            return
        raise UsageError(
            "The system has asyncio sessions and was closed by a plain 'with' on a running event loop; "
            "their connections stay open. Write: async with system.open(…)."
        )


class SessionOpener:
    """Opens a session when entered and closes it at the end; closing commits nothing."""

    def __init__(self, sessions: Sessions, component: str, context: SessionContext) -> None:
        self._sessions = sessions
        self._component = component
        self._context = context

    def __enter__(self) -> Session:
        with needing("A session"):
            from sqlalchemy.orm import Session

        self._sessions.require(self._component)
        self._session = Session(self._sessions.engine(self._component), info={SESSION_CONTEXT: self._context})
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    async def __aenter__(self) -> AsyncSession:
        with needing("A session for asyncio"):
            from sqlalchemy.ext.asyncio import AsyncSession

        # Opening waits for the database where it was out of reach before.
        await asyncio.to_thread(self._sessions.require, self._component)
        engine = self._sessions.async_engine(self._component)
        self._async_session = AsyncSession(engine, info={SESSION_CONTEXT: self._context})
        return self._async_session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._async_session.close()
