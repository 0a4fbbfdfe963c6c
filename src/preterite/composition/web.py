"""Composed pages over HTTP, with Starlette and Jinja2: the extra `preterite[web]`.

A template shows slots by their names: `{{ prices.of(product_id) }}`. Every block of it, or of what it extends, is a
region with an address of its own: the page's with `?region=NAME`, for which only the parts that it shows are called.
So a slot that could not be filled is requested again, and a page stays up to date: `Changes` notifies that something
has changed, and the region's address returns what.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from preterite.composition.changes import Changes
from preterite.composition.composer import Composer
from preterite.composition.pages import Page, PagesRefused
from preterite.composition.parts import Kind
from preterite.composition.slots import ComposedPage, Slot, State
from preterite.drivers.extras import needing
from preterite.errors import UsageError

with needing("preterite.composition.web", "web"):
    from jinja2 import Environment, TemplateNotFound, meta, nodes
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response

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
    of a required part if that has no result. Refuses pages whose slots its templates could not show (`PagesRefused`).
    """

    def __init__(
        self,
        page: Page,
        composer: Composer,
        environment: Environment,
        read_arguments: ReadArguments,
        error_page: ErrorPage,
    ) -> None:
        if hidden := sorted(page.slots.keys() & _VARIABLES):
            where = f"Page {page.name!r}, slot {hidden[0]!r}"
            raise PagesRefused([f"{where}: templates have something else under that name; place it under another."])
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
        except (ValueError, ArithmeticError):
            return await self._error_page(request, 404, "There is no page at this address.")
        arguments = await self._read_arguments(request)
        identifiers = {**in_path, **arguments.identifiers}
        if absent := sorted(self.page.takes.keys() - identifiers.keys()):
            raise UsageError(
                f"Page {self.page.name!r} takes {', '.join(absent)}; the path has to contain it, or the function that "
                "reads a request's arguments has to return it."
            )
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
    found: dict[str, Region] = {}
    complete: set[str] = set()
    name: str | None = page.template
    while name is not None:
        tree = _parsed(environment, name)
        for block in tree.find_all(nodes.Block):
            if block.name in complete:
                continue
            inherited = found.get(block.name, Region(name, frozenset()))
            used = inherited.slots | (_used_in(environment, block.body) & set(page.slots))
            found[block.name] = Region(inherited.template, used)
            if not any(
                isinstance(one.node, nodes.Name) and one.node.name == "super" for one in block.find_all(nodes.Call)
            ):
                complete.add(block.name)
        parent = next(tree.find_all(nodes.Extends), None)
        name = parent.template.value if parent is not None and isinstance(parent.template, nodes.Const) else None
    return found


def _parsed(environment: Environment, name: str) -> nodes.Template:
    assert environment.loader is not None, "templates are found by a loader"
    return environment.parse(environment.loader.get_source(environment, name)[0])


def _used_in(environment: Environment, body: list[nodes.Node]) -> set[str]:
    """The variables that these nodes show, also in templates that they include."""
    tree = nodes.Template(body, lineno=1).set_environment(environment)
    used = meta.find_undeclared_variables(tree)  # pyright: ignore[reportArgumentType]
    for include in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
        if include.with_context:
            for name in _names_in(include.template):
                with suppress(TemplateNotFound):
                    used |= _used_in(environment, _parsed(environment, name).body)
    return used


def _names_in(template: nodes.Expr) -> Sequence[str]:
    """The names of templates that are written there; none where they are computed."""
    try:
        named = template.as_const()
    except nodes.Impossible:
        return ()
    return [named] if isinstance(named, str) else named


class Addresses:
    """The address of a page as it was requested, and of its regions. Templates have it as `address`."""

    def __init__(self, page: Page, request: Request, attempt: int) -> None:
        # A form that is shown again was sent to another address than that of the page.
        self._path = quote(request.scope.get("root_path", "")) + _PARAMETER.sub(
            lambda found: quote(str(request.path_params[found[1]]), safe="/" if found[2] == ":path" else ""), page.path
        )
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


_OWN = ("region", "attempt")
_VARIABLES = frozenset({"composed", "request", "address"})
_PARAMETER = re.compile(r"{(\w+)(:\w+)?}")
_NOTHING = Markup()


def _attempt(request: Request) -> int:
    given = request.query_params.get("attempt", "0")
    return min(int(given), RETRIES) if given.isdecimal() and len(given) < 3 else 0


def _read(kind: Kind, text: object) -> Any:
    """An identifier of this kind, read from an address; the path may have converted it already."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return text if isinstance(text, kind) else kind(str(text))


def _message_of(composed: ComposedPage) -> str:
    required = [slot for slot in composed.slots.values() if slot.required]
    missing = [slot for slot in required if slot.is_missing or slot.state is State.NOT_FOUND]
    return missing[0].fallback if composed.status == 503 else "Not found, or not visible to you."
