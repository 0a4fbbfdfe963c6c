"""Composed pages by HTTP: with Starlette and Jinja2, by the extra `preterite[web]`.

A template shows slots by their names: `{{ prices.of(product_id) }}`. Every block of it, or of what it extends, is a
region, which has an address of its own: the page's with `?region=NAME`. Only the parts that the region shows are asked
then. So a slot that could not be filled heals itself, and a page follows what happens: `Changes` says that something
has changed, the region's address says what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from jinja2 import Environment, meta, nodes
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from preterite.composition.composer import Composer
from preterite.composition.pages import Page
from preterite.composition.parts import Kind
from preterite.composition.slots import Composed, Slot, State
from preterite.errors import LogError, StoreUnavailable
from preterite.opened import OpenSystem

LOOK_SECONDS = 0.1
BEAT_SECONDS = 15.0
STREAMS_MAX = 256
ATTEMPTS = 2
HEAL_SECONDS = 2


@dataclass(frozen=True)
class Question:
    """What a request asks a page with, beyond what stands in its path."""

    viewer: UUID | None = None
    identifiers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the template is given besides slots."""
    as_of: datetime | None = None
    """The moment for which it is asked; now, by the system's clock, where left out."""


@dataclass(frozen=True)
class Region:
    """A block of a template: where it is written, and which slots it shows."""

    template: str
    slots: frozenset[str]


Asking = Callable[[Request], Awaitable[Question]]
Problem = Callable[[Request, int, str], Awaitable[Response]]


class PageView:
    """An endpoint that shows one page, or one region of it.

    `problem` answers where the page cannot be shown at all: with 404 where what it is about is not there, 503 where a
    required part could not be asked, and that part's sentence.
    """

    def __init__(
        self, page: Page, composer: Composer, environment: Environment, asking: Asking, problem: Problem
    ) -> None:
        self.page = page
        self.regions = regions_of(environment, page)
        self._composer = composer
        self._environment = environment
        self._asking = asking
        self._problem = problem

    async def __call__(self, request: Request) -> Response:
        name = request.query_params.get("region")
        region = self.regions.get(name) if name else None
        if name and region is None:
            return await self._problem(request, 404, f"This page has no part called {name}.")
        try:
            in_path = self._identifiers_in_path(request)
        except ValueError:
            return await self._problem(request, 404, "There is no page at this address.")
        question = await self._asking(request)
        given = {**in_path, **question.identifiers}
        composed = await self._composer.composed(
            self.page,
            viewer=question.viewer,
            as_of=question.as_of,
            words=question.words,
            only=None if region is None else region.slots,
            **{name: given[name] for name in self.page.takes},
        )
        if composed.status != 200:
            return await self._problem(request, composed.status, _why(composed))
        return HTMLResponse(self.rendered(request, composed, question, name))

    def rendered(self, request: Request, composed: Composed, question: Question, name: str | None) -> str:
        """The page, or the region of that name, as HTML."""
        variables = {
            **question.variables,
            **composed.slots,
            "composed": composed,
            "request": request,
            "address": Addresses(self.page, request, _attempt(request) if composed.missing else 0),
        }
        template = self._environment.get_template(self.page.template if name is None else self.regions[name].template)
        # Shared, so that what every template knows is not looked up one by one in Jinja's chain of it.
        context = template.new_context({**self._environment.globals, **variables}, shared=True)
        return "".join((template.root_render_func if name is None else template.blocks[name])(context))

    def _identifiers_in_path(self, request: Request) -> dict[str, Any]:
        """What the page takes, as far as it stands in the path; `ValueError` if that is no identifier."""
        in_path = request.path_params
        return {name: _read(kind, in_path[name]) for name, kind in self.page.takes.items() if name in in_path}


def regions_of(environment: Environment, page: Page) -> dict[str, Region]:
    """The blocks of a page's template and of those that it extends, and which slots of the page each shows."""
    assert environment.loader is not None, "templates are found by a loader"
    found: dict[str, Region] = {}
    name: str | None = page.template
    while name is not None:
        tree = environment.parse(environment.loader.get_source(environment, name)[0])
        for block in tree.find_all(nodes.Block):
            used = meta.find_undeclared_variables(nodes.Template(block.body, lineno=1).set_environment(environment))  # pyright: ignore[reportArgumentType]
            found.setdefault(block.name, Region(name, frozenset(used & set(page.slots))))
        parent = next(tree.find_all(nodes.Extends), None)
        name = parent.template.value if parent is not None and isinstance(parent.template, nodes.Const) else None
    return found


class Addresses:
    """The address of a page as it was asked for, and of its regions. Given to templates as `address`."""

    def __init__(self, page: Page, request: Request, attempt: int) -> None:
        # A form that is shown again was sent to another address than the page's own.
        self._path = page.path.format(**request.path_params)
        self._query = [(name, value) for name, value in request.query_params.multi_items() if name not in _OWN]
        self.attempt = attempt
        """How often in a row what is missing was asked for again."""

    def __call__(self, region: str = "", attempt: int = 0) -> str:
        """The address of a region, or of the whole page."""
        query = [*self._query]
        if region:
            query.append(("region", region))
        if attempt:
            query.append(("attempt", str(attempt)))
        return f"{self._path}?{urlencode(query)}" if query else self._path


def notice(slot: Slot, region: str, address: Addresses) -> Markup:
    """The sentence of a slot that could not be filled, or nothing; it asks for the region again, twice, by itself.

    After that it offers a button. Without JavaScript it is the sentence, and the page can be loaded again.
    """
    if not slot.is_missing:
        return _NOTHING
    opening = Markup('<div class="notice" role="status" data-part="{}" data-state="{}"').format(slot.part, slot.state)
    sentence = Markup("<p>{}</p>").format(slot.fallback)
    next_one = address(region, min(address.attempt + 1, ATTEMPTS))
    again = Markup('hx-get="{}" hx-target="#{}" hx-swap="outerHTML"').format(next_one, region)
    if address.attempt < ATTEMPTS:
        trigger = Markup('hx-trigger="load delay:{}s"').format(HEAL_SECONDS)
        return opening + Markup(" ") + again + Markup(" ") + trigger + Markup(">") + sentence + Markup("</div>")
    button = Markup('<a class="button" href="{}" ').format(address()) + again + Markup(">Try again</a>")
    return opening + Markup(">") + sentence + button + Markup("</div>")


def live(region: str, address: Addresses, *components: str) -> Markup:
    """Attributes for a region that is to follow what happens in these components."""
    triggers = ", ".join(f"changed-{component} from:body" for component in components)
    return Markup('id="{}" hx-get="{}" hx-trigger="{}" hx-target="this" hx-swap="outerMorph"').format(
        region, address(region, address.attempt), triggers
    )


class Changes:
    """Tells browsers that something was committed: which component's database or the log, never what.

    One look in `LOOK_SECONDS` for all who listen, none when nobody does.
    """

    def __init__(self, system: OpenSystem) -> None:
        self._watched = {**system.databases, "log": system.log}
        self._versions: dict[str, int] = {}
        self._listeners: set[asyncio.Queue[str]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Response:
        """A stream of server-sent events, named `changed-COMPONENT`."""
        if len(self._listeners) >= STREAMS_MAX:
            return Response("Too many pages are open already.", 503, {"Retry-After": "10"})
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _stream(self) -> AsyncGenerator[str]:
        heard: asyncio.Queue[str] = asyncio.Queue(len(self._watched))
        self._listeners.add(heard)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield ": open\n\n"
            while True:
                try:
                    name = await asyncio.wait_for(heard.get(), BEAT_SECONDS)
                    yield f"event: changed-{name}\ndata: {name}\n\n"
                except TimeoutError:
                    yield ": still there\n\n"
        finally:
            self._listeners.discard(heard)

    async def _look(self) -> None:
        try:
            while self._listeners:
                with suppress(StoreUnavailable, LogError):
                    for name, version in (await asyncio.to_thread(self._now)).items():
                        if self._versions.setdefault(name, version) != version:
                            self._versions[name] = version
                            self._tell(name)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # Whoever listens next looks anew, whatever it was that ended this.
            self._looking = None

    def _now(self) -> dict[str, int]:
        return {name: watched.version() for name, watched in self._watched.items()}

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            # One that is full has as many names before it as there are: it will look at all of them.
            if not listener.full():
                listener.put_nowait(name)


_OWN = ("region", "attempt")
_NOTHING = Markup()


def _attempt(request: Request) -> int:
    given = request.query_params.get("attempt", "0")
    return min(int(given), ATTEMPTS) if given.isdecimal() and len(given) < 3 else 0


def _read(kind: Kind, text: str) -> Any:
    """An identifier of this kind, as it stands in an address."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return kind(text)


def _why(composed: Composed) -> str:
    required = [slot for slot in composed.slots.values() if slot.required]
    missing = [slot for slot in required if slot.is_missing or slot.state is State.NOT_THERE]
    return missing[0].fallback if composed.status == 503 else "There is nothing like that here, or not for you."
