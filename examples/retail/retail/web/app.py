"""The web application: addresses, and what answers at each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from uuid import UUID

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from preterite.composition import Page
from preterite.composition.web import Asking, Changes, PageView, Question
from preterite.errors import UsageError
from retail.identifiers import ProductId
from retail.system import system
from retail.web import pages
from retail.web.happened import happenings
from retail.web.links import OFFICE
from retail.web.posts import POSTED, sent, with_fields
from retail.web.security import Guard
from retail.web.shop import CUSTOMER, SAID, Shop
from retail.web.tour import STEPS

STATIC = Path(__file__).parent / "static"
Endpoint = Callable[[Request], Awaitable[Response]]
MOVES: dict[str, Callable[[datetime], datetime]] = {
    "evening": lambda now: _next(now, time(22)),
    "day": lambda now: _next(now, time(9)),
    "month": lambda now: (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0),
    "due": lambda now: _next_day_of_month(now, 16),
}


def application(shop: Shop, secret: str) -> Starlette:
    """The web shop on an open system; `secret` signs the visitors' cookies."""
    views = _Views(shop)
    guards = [Middleware(Guard), Middleware(SessionMiddleware, secret_key=secret, same_site="strict", https_only=False)]
    return Starlette(
        routes=[*views.shown(), *views.posted(), Mount("/static", StaticFiles(directory=STATIC), name="static")],
        middleware=guards,
        exception_handlers={404: views.not_found, 405: views.not_found, Exception: views.broken},
    )


class _Views:
    """All endpoints of one shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._changes = Changes(shop.open)
        self._drill_began = 0.0
        asking = {"happened": self._about_happenings, "purchase": self._about_a_purchase, "tour": self._about_the_tour}
        asking |= {"office-desk": self._about_the_desk, "who": self._about_people}
        self._views = {page.name: self._view(page, asking.get(page.name, shop.question)) for page in pages.pages}

    def shown(self) -> list[Route]:
        """Everything that only shows."""
        routes = [Route(page.path, self._endpoint(page)) for page in pages.pages]
        # What has no variable in its path stands before what has.
        routes.sort(key=lambda route: route.path.count("{"))
        return [*routes, Route("/changes", self._endpoint_of(self._changes))]

    def posted(self) -> list[Route]:
        """Everything that changes something."""
        forms = [Route(one.path, sent(self._shop, one, self._views[one.page]), methods=["POST"]) for one in POSTED]
        own = {
            "/who": self._be,
            "/office/clock": self._move,
            "/office/components": self._switch,
            "/office/customer": self._switch_customer,
            "/office/drill": self._drill,
        }
        return [*forms, *(Route(path, with_fields(act), methods=["POST"]) for path, act in own.items())]

    # pages that are asked with more than what stands in their address

    async def _about_happenings(self, request: Request) -> Question:
        found = await asyncio.to_thread(happenings, self._shop.open)
        products = frozenset(ProductId(one.product_id) for one in found if one.product_id is not None)
        return await self._with(
            request, identifiers={"products": products}, happenings=found, scripted=self._customer_is_on()
        )

    async def _about_a_purchase(self, request: Request) -> Question:
        purchase_id = request.path_params["purchase_id"]
        known = await asyncio.to_thread(happenings, self._shop.open, UUID(purchase_id))
        return await self._with(request, happenings=[one for one in known if one.name == "ItemPurchased"])

    async def _about_the_tour(self, request: Request) -> Question:
        return await self._with(request, steps=STEPS)

    async def _about_the_desk(self, request: Request) -> Question:
        names = [component.name for component in system.components]
        running = {name: self._shop.running.is_running(name) for name in names}
        standings = self._shop.open.look()
        drill = self._shop.running.drill is not None
        scripted = self._customer_is_on()
        return await self._with(request, running=running, standings=standings, scripted=scripted, drill=drill)

    async def _about_people(self, request: Request) -> Question:
        return await self._with(request, people=self._shop.people.people)

    async def _with(
        self, request: Request, *, identifiers: dict[str, object] | None = None, **variables: object
    ) -> Question:
        asked = await self._shop.question(request)
        identifiers = {**asked.identifiers, **(identifiers or {})}
        return replace(asked, identifiers=identifiers, variables={**asked.variables, **variables})

    # what people do to the demo itself

    async def _be(self, request: Request, fields: Mapping[str, str]) -> str:
        """Be another customer."""
        found = next((one for one in self._shop.people.people if one.customer == fields.get("customer")), None)
        if found is not None:
            request.session[CUSTOMER] = found.customer
            request.session[SAID] = f"You are now: {found.name}."
        return "/"

    async def _move(self, request: Request, fields: Mapping[str, str]) -> str:
        """Move the clock."""
        move = MOVES.get(fields.get("to", ""), lambda now: now)
        try:
            self._shop.clock.to(move(self._shop.clock.now()))
        except UsageError as error:
            request.session[SAID] = str(error)
        back = fields.get("back", "")
        return back if back in OFFICE else "/office"

    async def _switch(self, request: Request, fields: Mapping[str, str]) -> str:
        """Stop a component, or start it."""
        found = next((one for one in system.components if one.name == fields.get("component")), None)
        if found is None:
            return "/office"
        running = self._shop.running
        in_drill = running.drill is not None
        await asyncio.to_thread(running.start if fields.get("to") == "start" else running.stop, found)
        if in_drill:
            took = self._shop.open.clock.monotonic() - self._drill_began
            ended = f"It was {found.name.capitalize()}. You have found it in {took:.0f} seconds."
            request.session[SAID] = ended if running.drill is None else "That one was running."
        return "/office"

    async def _drill(self, request: Request, fields: Mapping[str, str]) -> str:
        """Stop one component, and say of none that it is the one."""
        if self._shop.running.drill is None:
            number = int(self._shop.open.randomness.fraction() * len(system.components))
            self._drill_began = self._shop.open.clock.monotonic()
            await asyncio.to_thread(self._shop.running.begin_drill, system.components[number])
        return "/office"

    async def _switch_customer(self, request: Request, fields: Mapping[str, str]) -> str:
        """Let the scripted customer purchase, or stop."""
        self._shop.customer.switch(on=fields.get("to") == "on")
        return "/happened" if fields.get("back") == "happened" else "/office"

    # where nothing can be shown

    async def not_found(self, request: Request, _error: Exception) -> Response:
        """There is nothing at this address."""
        return await self._problem(request, 404, "There is no page at this address.")

    async def broken(self, request: Request, _error: Exception) -> Response:
        """Something is wrong with the shop itself; it is in its log."""
        return PlainTextResponse(
            "Something went wrong here, and it is on record. Nothing is lost; please try again.", 500
        )

    async def _problem(self, request: Request, status: int, sentence: str) -> Response:
        if "region" in request.query_params:
            # What stands there stays there.
            return Response(status_code=204)
        variables = {**self._shop.frame(request), "status": status, "sentence": sentence}
        return HTMLResponse(self._shop.templates.get_template("problem.html").render(variables), status)

    def _view(self, page: Page, asking: Asking) -> PageView:
        return PageView(page, self._shop.composer, self._shop.templates, asking, self._problem)

    def _endpoint(self, page: Page) -> Endpoint:
        return self._endpoint_of(self._views[page.name])

    def _endpoint_of(self, answer: Endpoint) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            return await answer(request)

        return endpoint

    def _customer_is_on(self) -> bool:
        return self._shop.customer.is_on


def _next(now: datetime, at: time) -> datetime:
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def _next_day_of_month(now: datetime, number: int) -> datetime:
    here = now.replace(day=number, hour=0, minute=0, second=0, microsecond=0)
    return here if here > now else (here.replace(day=1) + timedelta(days=32)).replace(day=number)
