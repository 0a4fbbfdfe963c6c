"""Pages over HTTP: the arguments of a request reach the parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from jinja2 import DictLoader, Environment
from starlette.requests import Request
from starlette.responses import Response
from support.paper_shop import BookId, OrderId, library, open_shop

from preterite.composition import Composer, Ids, Page, PageRequest, PagesRefused, Parts, Slot, State
from preterite.composition.changes import STREAMS_OF_CLIENT_MAX
from preterite.composition.web import Addresses, Changes, PageArguments, PageView, regions_of
from preterite.errors import UsageError

MOMENT = datetime(2011, 5, 2, 9, tzinfo=UTC)
VIEWER = UUID(int=7)


async def read_arguments(_: Request) -> PageArguments:
    return PageArguments(VIEWER, params={"text": "lamp"}, variables={"greeting": "Hello"}, as_of=MOMENT)


async def error_page(_: Request, status: int, sentence: str) -> Response:
    return Response(sentence, status)


def answer(template: str, query: str = "") -> str:
    """What a browser gets of a page with one part, which returns its request."""
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def asked(request: PageRequest) -> dict[str, str]:
        return {"as_of": request.as_of.isoformat(), "viewer": str(request.viewer), **request.params}

    page = Page("asked", "/asked", {}, [asked], "asked.html")
    environment = Environment(loader=DictLoader({"asked.html": template}), autoescape=True)
    known: dict[str, Any] = environment.globals
    known["punctuation"] = "!"
    scope: dict[str, Any] = {
        "type": "http",
        "path": "/asked",
        "query_string": query.encode(),
        "headers": [],
        "path_params": {},
    }
    with open_shop(OrderId(UUID(int=1)), 1) as shop, Composer(shop, [page]) as composer:
        view = PageView(page, composer, environment, read_arguments, error_page)
        found = asyncio.run(view(Request(scope)))
    return bytes(found.body).decode()


def test_a_part_gets_the_moment_the_viewer_and_the_parameters_of_the_request() -> None:
    template = "{% block b %}{{ asked.value.as_of }} {{ asked.value.viewer }} {{ asked.value.text }}{% endblock %}"

    assert answer(template) == f"{MOMENT.isoformat()} {VIEWER} lamp"


def test_a_template_sees_the_globals_and_its_own_variables() -> None:
    template = "{{ greeting }}{% block b %}<{{ greeting }}{{ punctuation }}{% endblock %}>"

    assert answer(template) == "Hello<Hello!>"
    assert answer(template, "region=b") == "<Hello!"


def test_one_client_does_not_take_all_streams_of_changes() -> None:
    """The others still get theirs."""

    class Quiet:
        databases: Mapping[str, Any] = {}

        class log:
            @staticmethod
            def version() -> int:
                return 0

    async def statuses() -> tuple[list[int], int, int]:
        changes = Changes(Quiet())  # pyright: ignore[reportArgumentType]
        first = [await opened_by(changes, "10.0.0.1") for _ in range(STREAMS_OF_CLIENT_MAX + 3)]
        other = await opened_by(changes, "10.0.0.2")
        for _, task in [*first, other]:
            task.cancel()
        await asyncio.gather(*(task for _, task in [*first, other]), return_exceptions=True)
        again = await opened_by(changes, "10.0.0.1")
        again[1].cancel()
        await asyncio.gather(again[1], return_exceptions=True)
        return [status for status, _ in first], other[0], again[0]

    first, other, again = asyncio.run(statuses())

    assert first == [200] * STREAMS_OF_CLIENT_MAX + [503] * 3
    assert (other, again) == (200, 200)


async def opened_by(changes: Changes, client: str) -> tuple[int, asyncio.Task[None]]:
    """The status of a new stream, and the stream."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/changes",
        "query_string": b"",
        "headers": [],
        "client": (client, 1),
    }

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.set_result(message["status"])

    async def run() -> None:
        answer = await changes(Request(scope, receive))
        await answer(scope, receive, send)

    task = asyncio.create_task(run())
    return await started, task


def test_asking_for_the_head_of_the_changes_holds_no_stream_open() -> None:
    class Quiet:
        databases: Mapping[str, object] = {}
        log = None

    changes = Changes(Quiet())  # pyright: ignore[reportArgumentType]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "HEAD",
        "path": "/changes",
        "query_string": b"",
        "headers": [],
        "client": ("x", 1),
    }
    answer = asyncio.run(changes(Request(scope)))

    assert (answer.status_code, answer.media_type, answer.body) == (200, "text/event-stream", b"")


def regions(templates: Mapping[str, str]) -> dict[str, set[str]]:
    """The slots of each region of a page with two parts, whose template is page.html."""
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def one() -> None: ...

    page = Page("page", "/", {}, [one, one.at("two")], "page.html")
    found = regions_of(Environment(loader=DictLoader(dict(templates))), page)
    return {name: set(region.slots) for name, region in found.items()}


def test_a_region_has_the_slots_of_templates_that_it_includes() -> None:
    templates = {
        "page.html": "{% block b %}{{ one.value }}{% include ['absent.html', 'more.html'] %}{% endblock %}",
        "more.html": "{% for row in two.value %}{{ row }}{% endfor %}",
    }

    assert regions(templates) == {"b": {"one", "two"}}


def test_a_region_has_the_slots_of_the_block_that_it_continues() -> None:
    layout = "{% block b %}{{ one.value }}{% endblock %}{% block c %}{{ one.value }}{% endblock %}"
    page = (
        "{% extends 'layout.html' %}{% block b %}{{ super() }}{{ two.value }}{% endblock %}"
        "{% block c %}{{ two.value }}{% endblock %}"
    )

    assert regions({"layout.html": layout, "page.html": page}) == {"b": {"one", "two"}, "c": {"two"}}


def requested(page: Page, **scope: Any) -> Request:
    return Request({"type": "http", "path": "/", "query_string": b"a=1", "headers": [], "path_params": {}, **scope})


@pytest.mark.parametrize(
    ("path", "given", "address"),
    [
        ("/orders/{order}", {"order": "a/b?c=d#e \u00e9"}, "/orders/a%2Fb%3Fc%3Dd%23e%20%C3%A9?a=1&region=r"),
        ("/orders/{order:uuid}", {"order": UUID(int=1)}, f"/orders/{UUID(int=1)}?a=1&region=r"),
        ("/files/{file:path}", {"file": "a/b"}, "/files/a/b?a=1&region=r"),
    ],
)
def test_the_address_of_a_region_is_that_of_its_page(path: str, given: dict[str, Any], address: str) -> None:
    page = Page("page", path)

    assert Addresses(page, requested(page, path_params=given), 0)("r") == address
    assert Addresses(page, requested(page, path_params=given, root_path="/shop"), 0)("r") == "/shop" + address


def shown(kind: Any, given: Any) -> tuple[int, str]:
    """The status of a page for an identifier of this kind in its path, and what its part got."""
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def got(books: Ids[BookId]) -> str:
        return ", ".join(map(repr, books))

    page = Page("page", "/{id}", {"id": kind}, [replace(got, needs={"books": kind})], "page.html")
    environment = Environment(loader=DictLoader({"page.html": "{{ got.value }}"}))
    with open_shop(OrderId(UUID(int=1)), 1) as shop, Composer(shop, [page], optional_seconds=60) as composer:
        view = PageView(page, composer, environment, read_arguments, error_page)
        found = asyncio.run(view(requested(page, path_params={"id": given})))
    return found.status_code, bytes(found.body).decode()


def test_an_identifier_that_the_path_has_converted_is_taken_as_it_is() -> None:
    assert shown(OrderId, UUID(int=7)) == (200, repr(UUID(int=7)))
    assert shown(int, 7) == (200, "7")


def test_an_address_whose_identifier_is_not_valid_has_no_page() -> None:
    assert [shown(kind, "x")[0] for kind in (OrderId, int, Decimal)] == [404] * 3


@pytest.mark.parametrize("slot", ["address", "request", "composed"])
def test_a_slot_that_its_template_could_not_show_is_refused(slot: str) -> None:
    @Parts(library).part(fallback="Not now.")
    def part() -> None: ...

    page = Page("page", "/", {}, [part.at(slot)], "page.html")
    environment = Environment(loader=DictLoader({"page.html": ""}))
    with open_shop(OrderId(UUID(int=1)), 1) as shop, Composer(shop, [page]) as composer:
        with pytest.raises(PagesRefused, match=f"slot '{slot}': templates have something else under that name"):
            PageView(page, composer, environment, read_arguments, error_page)


def test_a_page_whose_identifier_no_request_has_is_refused_in_one_sentence() -> None:
    page = Page("page", "/", {"order": OrderId}, [], "page.html")
    environment = Environment(loader=DictLoader({"page.html": ""}))
    with open_shop(OrderId(UUID(int=1)), 1) as shop, Composer(shop, [page]) as composer:
        view = PageView(page, composer, environment, read_arguments, error_page)
        with pytest.raises(UsageError, match="Page 'page' takes order; the path has to contain it"):
            asyncio.run(view(requested(page)))


def test_rows_of_a_value_that_has_none_are_refused_in_one_sentence() -> None:
    slot = Slot("names", "library.names", State.FILLED, None, "Not now.", "", required=False, milliseconds=1.0)

    with pytest.raises(UsageError, match=r"library\.names returns a NoneType, which has no values by identifier"):
        slot.of(1)


def test_an_empty_region_is_the_whole_page() -> None:
    assert answer("{% block a %}a{% endblock %} b", "region=") == "a b"
