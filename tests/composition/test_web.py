"""Pages over HTTP: the arguments of a request reach the parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jinja2 import DictLoader, Environment
from starlette.requests import Request
from starlette.responses import Response
from support.paper_shop import OrderId, library, open_shop

from preterite.composition import Composer, Page, PageRequest, Parts
from preterite.composition.web import STREAMS_OF_CLIENT_MAX, Changes, PageArguments, PageView

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


def test_an_empty_region_is_the_whole_page() -> None:
    assert answer("{% block a %}a{% endblock %} b", "region=") == "a b"
