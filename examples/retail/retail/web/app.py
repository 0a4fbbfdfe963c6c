"""The web application: its routes and their endpoints."""

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
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from preterite.composition import Page
from preterite.composition.web import Changes, PageArguments, PageView, ReadArguments
from preterite.errors import UsageError
from retail.identifiers import ProductId
from retail.system import system
from retail.web import pages
from retail.web.back_office import SIGN_IN, Door, sign_in
from retail.web.forms import FORM_ROUTES, action_endpoint, form_endpoint
from retail.web.links import BACK_OFFICE
from retail.web.security import HEADERS, Guard
from retail.web.shop import CUSTOMER, SAID, Shop
from retail.web.timeline import timeline
from retail.web.tour import STEPS

STATIC = Path(__file__).parent / "static"
SHOWN_MAX = 200
"""Characters of an address's query that the form for signing in takes over."""
Endpoint = Callable[[Request], Awaitable[Response]]
MOVES: dict[str, Callable[[datetime], datetime]] = {
    "evening": lambda now: _next(now, time(22)),
    "day": lambda now: _next(now, time(9)),
    "month": lambda now: (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0),
    "due": lambda now: _next_day_of_month(now, 16),
}


def application(shop: Shop, secret: str, key: str) -> Starlette:
    """The web shop on an open system; `secret` signs the visitors' cookies, `key` opens the back office."""
    views = _Views(shop, key)
    sessions = Middleware(SessionMiddleware, secret_key=secret, same_site="strict", https_only=False)
    guards = [Middleware(Guard), sessions, Middleware(Door)]
    return Starlette(
        routes=[*views.read(), *views.posted(), Mount("/static", StaticFiles(directory=STATIC), name="static")],
        middleware=guards,
        exception_handlers={
            404: views.not_found,
            405: views.not_found,
            ClientDisconnect: views.left,
            Exception: views.broken,
        },
    )


class _Views:
    """All endpoints of one shop."""

    def __init__(self, shop: Shop, key: str) -> None:
        self._shop = shop
        self._key = key
        self._changes = Changes(shop.open)
        self._drill_began = 0.0
        asking = {
            "timeline": self._about_the_timeline,
            "purchase": self._about_a_purchase,
            "tour": self._about_the_tour,
        }
        asking |= {"office-operations": self._about_operations, "personas": self._about_personas}
        self._views = {page.name: self._view(page, asking.get(page.name, shop.question)) for page in pages.pages}

    def read(self) -> list[Route]:
        """The routes that only read."""
        routes = [Route(page.path, self._endpoint(page)) for page in pages.pages]
        # Paths without variables come before those with.
        routes.sort(key=lambda route: route.path.count("{"))
        sign_in = Route(SIGN_IN, self._endpoint_of(self._show_sign_in))
        return [*routes, sign_in, Route("/changes", self._endpoint_of(self._changes))]

    def posted(self) -> list[Route]:
        """The routes of forms."""
        forms = [
            Route(one.path, form_endpoint(self._shop, one, self._views[one.page]), methods=["POST"])
            for one in FORM_ROUTES
        ]
        own = {
            "/personas": self._become,
            SIGN_IN: self._sign_in,
            "/office/clock": self._move,
            "/office/components": self._switch,
            "/office/customer": self._switch_customer,
            "/office/drill": self._drill,
        }
        return [*forms, *(Route(path, action_endpoint(act), methods=["POST"]) for path, act in own.items())]

    # pages that need more than what is in their address

    async def _about_the_timeline(self, request: Request) -> PageArguments:
        entries = await asyncio.to_thread(timeline, self._shop.open)
        products = frozenset(ProductId(one.product_id) for one in entries if one.product_id is not None)
        return await self._with(
            request, identifiers={"products": products}, entries=entries, scripted=self._customer_is_on()
        )

    async def _about_a_purchase(self, request: Request) -> PageArguments:
        purchase_id = request.path_params["purchase_id"]
        entries = await asyncio.to_thread(timeline, self._shop.open, UUID(purchase_id))
        return await self._with(request, entries=[one for one in entries if one.name == "ItemPurchased"])

    async def _about_the_tour(self, request: Request) -> PageArguments:
        return await self._with(request, steps=STEPS)

    async def _about_operations(self, request: Request) -> PageArguments:
        names = [component.name for component in system.components]
        running = {name: self._shop.running.is_running(name) for name in names}
        statuses = self._shop.open.status()
        drill = self._shop.running.drill is not None
        scripted = self._customer_is_on()
        return await self._with(request, running=running, statuses=statuses, scripted=scripted, drill=drill)

    async def _about_personas(self, request: Request) -> PageArguments:
        return await self._with(request, personas=self._shop.personas.all)

    async def _with(
        self, request: Request, *, identifiers: dict[str, object] | None = None, **variables: object
    ) -> PageArguments:
        asked = await self._shop.question(request)
        identifiers = {**asked.identifiers, **(identifiers or {})}
        return replace(asked, identifiers=identifiers, variables={**asked.variables, **variables})

    # the demo's own controls

    async def _become(self, request: Request, fields: Mapping[str, str]) -> str:
        """Act as another customer."""
        found = next((one for one in self._shop.personas.all if one.customer == fields.get("customer")), None)
        if found is not None:
            request.session[CUSTOMER] = found.customer
            request.session[SAID] = f"You are now: {found.name}."
        return "/"

    async def _show_sign_in(self, request: Request) -> Response:
        """The form that opens the back office; the address that the shop prints fills it in."""
        asked = {name: request.query_params.get(name, "")[:SHOWN_MAX] for name in ("to", "key")}
        variables = {**self._shop.frame(request), **asked}
        return HTMLResponse(self._shop.templates.get_template("sign-in.html").render(variables))

    async def _sign_in(self, request: Request, fields: Mapping[str, str]) -> str:
        """Open the back office for this visitor."""
        place = sign_in(request, fields, self._key)
        if place is None:
            request.session[SAID] = "That is not the key of this shop; nothing was opened."
            return SIGN_IN
        return place

    async def _move(self, request: Request, fields: Mapping[str, str]) -> str:
        """Move the clock."""
        move = MOVES.get(fields.get("to", ""), lambda now: now)
        try:
            await asyncio.to_thread(self._shop.move_clock, move(self._shop.clock.now()))
        except UsageError as error:
            request.session[SAID] = str(error)
        back = fields.get("back", "")
        return back if back in BACK_OFFICE else "/office"

    async def _switch(self, request: Request, fields: Mapping[str, str]) -> str:
        """Stop or start a component."""
        found = next((one for one in system.components if one.name == fields.get("component")), None)
        if found is None:
            return "/office"
        running = self._shop.running
        in_drill = running.drill is not None
        await asyncio.to_thread(running.start if fields.get("to") == "start" else running.stop, found)
        if in_drill:
            took = self._shop.open.clock.monotonic() - self._drill_began
            ended = f"It was {found.name.capitalize()}. You found it in {took:.0f} seconds."
            request.session[SAID] = ended if running.drill is None else "That component was running."
        return "/office"

    async def _drill(self, request: Request, fields: Mapping[str, str]) -> str:
        """Stop one component without showing which."""
        if self._shop.running.drill is None:
            number = int(self._shop.open.randomness.fraction() * len(system.components))
            self._drill_began = self._shop.open.clock.monotonic()
            await asyncio.to_thread(self._shop.running.begin_drill, system.components[number])
        return "/office"

    async def _switch_customer(self, request: Request, fields: Mapping[str, str]) -> str:
        """Start or stop the scripted customer."""
        self._shop.customer.switch(on=fields.get("to") == "on")
        return "/timeline" if fields.get("back") == "timeline" else "/office"

    # where there is no page to show

    async def not_found(self, request: Request, _error: Exception) -> Response:
        """No page has this address."""
        return await self._problem(request, 404, "There is no page at this address.")

    async def left(self, request: Request, _error: Exception) -> Response:
        """The client has closed its connection before its form was complete, which is no error of the shop."""
        return Response(status_code=400)

    async def broken(self, request: Request, _error: Exception) -> Response:
        """An error in the shop itself; the log holds the traceback."""
        return PlainTextResponse(
            "The shop failed to answer and logged the error. Nothing is lost; please try again.",
            500,
            # This answer does not pass the guard, which is inside of what has caught the error.
            {**HEADERS, "Cache-Control": "no-store"},
        )

    async def _problem(self, request: Request, status: int, sentence: str) -> Response:
        if "region" in request.query_params:
            # The region keeps what it shows.
            return Response(status_code=204)
        variables = {**self._shop.frame(request), "status": status, "sentence": sentence}
        return HTMLResponse(self._shop.templates.get_template("problem.html").render(variables), status)

    def _view(self, page: Page, asking: ReadArguments) -> PageView:
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
