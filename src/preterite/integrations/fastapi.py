"""FastAPI: endpoints with a unit of work, which commits before the response is sent.

    app = FastAPI(lifespan=lifespan(system))

    @app.post("/purchases", status_code=201)
    def purchase(wanted: Wanted, work: Annotated[UnitOfWorkDependency, in_unit_of_work(sales)]) -> None:
        work.session.add(Purchase(id=wanted.purchase_id))
        work.unit_of_work.publish(ItemPurchased(...))

If the endpoint raises, nothing is written or published. If the commit fails, the client gets status 500.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preterite.component import Component
from preterite.drivers.extras import needing
from preterite.errors import UsageError
from preterite.open_system import OpenSystem
from preterite.publishing.unit_of_work import UnitOfWork
from preterite.system import System

with needing("preterite.integrations.fastapi", "fastapi"):
    from fastapi import Depends, FastAPI, Request

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class UnitOfWorkDependency:
    """What `in_unit_of_work` passes to an endpoint: a session of its component, and the unit of work on it."""

    session: Session
    unit_of_work: UnitOfWork


@dataclass(frozen=True)
class AsyncUnitOfWorkDependency:
    """The same for `async def` endpoints."""

    session: AsyncSession
    unit_of_work: UnitOfWork


def lifespan(system: System, **options: Any) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that keeps the system open while the application runs; `options` are those of `System.open`.

    It runs no handlers: use `preterite run` or a `Host` for that.
    """

    @asynccontextmanager
    async def while_running(app: FastAPI) -> AsyncGenerator[None]:
        shop = await asyncio.to_thread(lambda: system.open(**options))
        async with shop:
            app.state.preterite = shop
            try:
                yield
            finally:
                app.state.preterite = None

    return while_running


def in_unit_of_work(component: Component) -> Any:
    """Pass a unit of work of this component: `work: Annotated[UnitOfWorkDependency, in_unit_of_work(sales)]`.

    It commits after the endpoint has returned and before the response is sent.
    """

    def work(request: Request) -> Generator[UnitOfWorkDependency]:
        with _open_system(request).session(component) as session, component.unit_of_work(session) as unit_of_work:
            yield UnitOfWorkDependency(session, unit_of_work)

    return Depends(work, scope="function")


def in_async_unit_of_work(component: Component) -> Any:
    """Pass an `AsyncUnitOfWorkDependency` of this component to an `async def` endpoint."""

    async def work(request: Request) -> AsyncGenerator[AsyncUnitOfWorkDependency]:
        async with (
            _open_system(request).session(component) as session,
            component.unit_of_work(session) as unit_of_work,
        ):
            yield AsyncUnitOfWorkDependency(session, unit_of_work)

    return Depends(work, scope="function")


def _open_system(request: Request) -> OpenSystem:
    found = getattr(request.app.state, "preterite", None)
    if found is None:
        raise UsageError(
            "The system is not open; write FastAPI(lifespan=lifespan(system)), and in tests `with TestClient(app)`. "
            "The lifespan of an application that is mounted in another one does not run. Nothing was written."
        )
    return found
