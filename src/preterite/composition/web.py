"""Composed pages over HTTP, with Starlette and Jinja2: the extra `preterite[web]`.

A template shows slots by their names: `{{ prices.of(product_id) }}`. Every block of it, or of what it extends, is a
region with an address of its own: the page's with `?region=NAME`, for which only the parts that it shows are called.
So a slot that could not be filled is requested again, and a page stays up to date: `Changes` notifies that something
has changed, and the region's address returns what.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from preterite.composition.composer import Composer
from preterite.composition.pages import Page
from preterite.composition.parts import Kind
from preterite.composition.slots import ComposedPage, Slot, State
from preterite.drivers.extras import needing
from preterite.errors import LogError, StoreUnavailable
from preterite.open_system import OpenSystem

with needing("preterite.composition.web", "web"):
    from jinja2 import Environment, meta, nodes
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response, StreamingResponse
    from starlette.types import Receive, Scope, Send

__all__ = [
    "Addresses",
    "Changes",
    "PageArguments",
    "PageView",
    "Region",
    "live",
    "notice",
    "regions_of",
]

POLL_SECONDS = 0.1
"""How often the databases are compared for the pages that listen for changes."""
HEARTBEAT_SECONDS = 15.0
"""How long a stream of changes is silent before a comment keeps its connection open."""
STREAMS_MAX = 256
"""Streams of changes that are open at the same time in a process."""
STREAMS_OF_CLIENT_MAX = 32
"""Streams of changes that one client's address has open at the same time in a process."""
RETRIES = 2
"""Automatic requests for a missing part; afterwards the page shows a button."""
RETRY_SECONDS = 2
"""How long a page waits before it requests a missing part again."""


@dataclass(frozen=True)
class PageArguments:
    """The arguments of a page that a request has besides those in its path."""

    viewer: UUID | None = None
    identifiers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Variables of the template besides the slots."""
    as_of: datetime | None = None
    """The moment for which the page is composed; by default the present by the system's clock."""


@dataclass(frozen=True)
class Region:
    """A block of a template: its file, and the slots that it shows."""

    template: str
    slots: frozenset[str]


ReadArguments = Callable[[Request], Awaitable[PageArguments]]
ErrorPage = Callable[[Request, int, str], Awaitable[Response]]


class PageView:
    """An endpoint that shows one page, or one region of it.

    `error_page` answers if the page cannot be shown: with 404 if its subject was not found, with 503 and the fallback
    of a required part if that has no result.
    """

    def __init__(
        self,
        page: Page,
        composer: Composer,
        environment: Environment,
        read_arguments: ReadArguments,
        error_page: ErrorPage,
    ) -> None:
        self.page = page
        self.regions = regions_of(environment, page)
        self._composer = composer
        self._environment = environment
        self._read_arguments = read_arguments
        self._error_page = error_page

    async def __call__(self, request: Request) -> Response:
        name = request.query_params.get("region") or None
        region = None if name is None else self.regions.get(name)
        if name is not None and region is None:
            return await self._error_page(request, 404, f"This page has no region called {name}.")
        try:
            in_path = self._identifiers_in_path(request)
        except ValueError:
            return await self._error_page(request, 404, "There is no page at this address.")
        arguments = await self._read_arguments(request)
        identifiers = {**in_path, **arguments.identifiers}
        composed = await self._composer.compose_async(
            self.page,
            viewer=arguments.viewer,
            as_of=arguments.as_of,
            params=arguments.params,
            only=None if region is None else region.slots,
            **{name: identifiers[name] for name in self.page.takes},
        )
        if composed.status != 200:
            return await self._error_page(request, composed.status, _message_of(composed))
        return HTMLResponse(self.rendered(request, composed, arguments, name))

    def rendered(self, request: Request, composed: ComposedPage, arguments: PageArguments, name: str | None) -> str:
        """The page, or the region of that name, as HTML."""
        variables = {
            **arguments.variables,
            **composed.slots,
            "composed": composed,
            "request": request,
            "address": Addresses(self.page, request, _attempt(request) if composed.missing else 0),
        }
        template = self._environment.get_template(self.page.template if name is None else self.regions[name].template)
        # Shared, so that Jinja does not look up the globals one by one.
        context = template.new_context({**self._environment.globals, **variables}, shared=True)
        return "".join((template.root_render_func if name is None else template.blocks[name])(context))

    def _identifiers_in_path(self, request: Request) -> dict[str, Any]:
        """The identifiers that are in the path; `ValueError` if one is not valid."""
        in_path = request.path_params
        return {name: _read(kind, in_path[name]) for name, kind in self.page.takes.items() if name in in_path}


def regions_of(environment: Environment, page: Page) -> dict[str, Region]:
    """The blocks of a page's template and of those that it extends, with the slots of the page that each shows."""
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
    """The address of a page as it was requested, and of its regions. Templates have it as `address`."""

    def __init__(self, page: Page, request: Request, attempt: int) -> None:
        # A form that is shown again was sent to another address than that of the page.
        self._path = page.path.format(**request.path_params)
        self._query = [(name, value) for name, value in request.query_params.multi_items() if name not in _OWN]
        self.attempt = attempt
        """How often what is missing was requested again."""

    def __call__(self, region: str = "", attempt: int = 0) -> str:
        """The address of a region, or of the whole page."""
        query = [*self._query]
        if region:
            query.append(("region", region))
        if attempt:
            query.append(("attempt", str(attempt)))
        return f"{self._path}?{urlencode(query)}" if query else self._path


def notice(slot: Slot, region: str, address: Addresses) -> Markup:
    """The fallback of a slot that could not be filled, or nothing; it requests the region again, twice.

    After that it shows a button. Without JavaScript it is the text alone, and the page can be loaded again.
    """
    if not slot.is_missing:
        return _NOTHING
    opening = Markup('<div class="notice" role="status" data-part="{}" data-state="{}"').format(slot.part, slot.state)
    text = Markup("<p>{}</p>").format(slot.fallback)
    next_one = address(region, min(address.attempt + 1, RETRIES))
    again = Markup('hx-get="{}" hx-target="#{}" hx-swap="outerHTML"').format(next_one, region)
    if address.attempt < RETRIES:
        trigger = Markup('hx-trigger="load delay:{}s"').format(RETRY_SECONDS)
        return opening + Markup(" ") + again + Markup(" ") + trigger + Markup(">") + text + Markup("</div>")
    button = Markup('<a class="button" href="{}" ').format(address()) + again + Markup(">Try again</a>")
    return opening + Markup(">") + text + button + Markup("</div>")


def live(region: str, address: Addresses, *components: str) -> Markup:
    """Attributes for a region that is requested again after each change in these components."""
    triggers = ", ".join(f"changed-{component} from:body" for component in components)
    return Markup('id="{}" hx-get="{}" hx-trigger="{}" hx-target="this" hx-swap="outerMorph"').format(
        region, address(region, address.attempt), triggers
    )


class Changes:
    """Notifies browsers that something was committed in a component's database or the log, not what it was.

    Polls once in `POLL_SECONDS` for all listeners, and not at all without one.
    """

    def __init__(self, system: OpenSystem) -> None:
        self._watched = {**system.databases, "log": system.log}
        self._versions: dict[str, int] = {}
        self._listeners: set[asyncio.Queue[str]] = set()
        self._streams: Counter[str] = Counter()
        self._polling: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Response:
        """A stream of server-sent events, named `changed-COMPONENT`; for HEAD its head alone."""
        if request.method == "HEAD":
            return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        client = request.client.host if request.client is not None else ""
        if self._streams.total() >= STREAMS_MAX or self._streams[client] >= STREAMS_OF_CLIENT_MAX:
            return Response("Too many pages are open already.", 503, {"Retry-After": "10"})
        return _CountedStream(self._stream(), self._streams, client)

    async def _stream(self) -> AsyncGenerator[str]:
        notified: asyncio.Queue[str] = asyncio.Queue(len(self._watched))
        self._listeners.add(notified)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            yield ": open\n\n"
            while True:
                try:
                    name = await asyncio.wait_for(notified.get(), HEARTBEAT_SECONDS)
                    yield f"event: changed-{name}\ndata: {name}\n\n"
                except TimeoutError:
                    yield ": heartbeat\n\n"
        finally:
            self._listeners.discard(notified)

    async def _poll(self) -> None:
        try:
            while self._listeners:
                for name, version in (await asyncio.to_thread(self._current)).items():
                    if self._versions.setdefault(name, version) != version:
                        self._versions[name] = version
                        self._notify(name)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            # The next listener starts polling again, whatever ended it.
            self._polling = None

    def _current(self) -> dict[str, int]:
        """The version of everything that is in reach."""
        found: dict[str, int] = {}
        for name, watched in self._watched.items():
            with suppress(StoreUnavailable, LogError):
                found[name] = watched.version()
        return found

    def _notify(self, name: str) -> None:
        for listener in self._listeners:
            # The queue of a listener is full only if every name is in it already.
            if not listener.full():
                listener.put_nowait(name)


class _CountedStream(StreamingResponse):
    """A stream of server-sent events that counts for its client from here on until it ends, however it ends."""

    def __init__(self, events: AsyncGenerator[str], open_streams: Counter[str], client: str) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._open_streams = open_streams
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open_streams[self._client] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._open_streams[self._client] -= 1
            if not self._open_streams[self._client]:
                del self._open_streams[self._client]


_OWN = ("region", "attempt")
_NOTHING = Markup()


def _attempt(request: Request) -> int:
    given = request.query_params.get("attempt", "0")
    return min(int(given), RETRIES) if given.isdecimal() and len(given) < 3 else 0


def _read(kind: Kind, text: str) -> Any:
    """An identifier of this kind, read from an address."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return kind(text)


def _message_of(composed: ComposedPage) -> str:
    required = [slot for slot in composed.slots.values() if slot.required]
    missing = [slot for slot in required if slot.is_missing or slot.state is State.NOT_FOUND]
    return missing[0].fallback if composed.status == 503 else "Not found, or not visible to you."
