"""FastAPI: endpoints that work in one unit of work, which commits before the response leaves.

    app = FastAPI(lifespan=opened(system))

    @app.post("/purchases", status_code=201)
    def purchase(wanted: Wanted, work: Annotated[Work, in_unit_of_work(sales)]) -> None:
        work.session.add(Purchase(id=wanted.purchase_id))
        work.unit_of_work.publish(ItemPurchased(...))

If the endpoint raises, nothing is written and nothing is announced. If the commit fails, the client gets status 500.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request

from preterite.component import Component
from preterite.errors import UsageError
from preterite.opened import OpenSystem
from preterite.system import System
from preterite.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Work:
    """What an endpoint works with: a session on its component's database, and the way to tell the others."""

    session: Session
    unit_of_work: UnitOfWork


@dataclass(frozen=True)
class AsyncWork:
    """The same for `async def` endpoints."""

    session: AsyncSession
    unit_of_work: UnitOfWork


def opened(system: System, **options: Any) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that keeps the system open while the application runs; `options` are those of `System.open`.

    It runs no component's handlers: that is for `preterite run`, or for a `Host` of your own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        shop = await asyncio.to_thread(lambda: system.open(**options))
        async with shop:
            app.state.preterite = shop
            yield

    return lifespan


def in_unit_of_work(component: Component) -> Any:
    """Gives an endpoint a `Work` of this component: `work: Annotated[Work, in_unit_of_work(sales)]`.

    It commits after the endpoint has returned and before the response is sent.
    """

    def work(request: Request) -> Generator[Work]:
        with _open_system(request).session(component) as session, component.unit_of_work(session) as unit_of_work:
            yield Work(session, unit_of_work)

    return Depends(work, scope="function")


def in_async_unit_of_work(component: Component) -> Any:
    """Gives an `async def` endpoint an `AsyncWork` of this component."""

    async def work(request: Request) -> AsyncGenerator[AsyncWork]:
        async with (
            _open_system(request).session(component) as session,
            component.unit_of_work(session) as unit_of_work,
        ):
            yield AsyncWork(session, unit_of_work)

    return Depends(work, scope="function")


def _open_system(request: Request) -> OpenSystem:
    found = getattr(request.app.state, "preterite", None)
    if found is None:
        raise UsageError("The system is not open; write FastAPI(lifespan=opened(system)). Nothing was written.")
    return found
