"""Pages by HTTP: what a request asks with reaches the parts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jinja2 import DictLoader, Environment
from paper_shop import OrderId, library, open_shop
from starlette.requests import Request
from starlette.responses import Response

from preterite.composition import Ask, Composer, Page, Parts
from preterite.composition.web import PageView, Question

MOMENT = datetime(2011, 5, 2, 9, tzinfo=UTC)
VIEWER = UUID(int=7)


async def asking(_: Request) -> Question:
    return Question(VIEWER, words={"text": "lamp"}, variables={"greeting": "Hello"}, as_of=MOMENT)


async def problem(_: Request, status: int, sentence: str) -> Response:
    return Response(sentence, status)


def answer(template: str, query: str = "") -> str:
    """What a browser gets of a page with one part, which says what it was asked with."""
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def asked(ask: Ask) -> dict[str, str]:
        return {"as_of": ask.as_of.isoformat(), "viewer": str(ask.viewer), **ask.words}

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
        view = PageView(page, composer, environment, asking, problem)
        found = asyncio.run(view(Request(scope)))
    return bytes(found.body).decode()


def test_a_part_is_asked_for_the_moment_and_the_viewer_and_the_words_of_the_question() -> None:
    template = "{% block b %}{{ asked.value.as_of }} {{ asked.value.viewer }} {{ asked.value.text }}{% endblock %}"

    assert answer(template) == f"{MOMENT.isoformat()} {VIEWER} lamp"


def test_a_template_sees_what_all_know_and_what_this_one_is_given() -> None:
    template = "{{ greeting }}{% block b %}<{{ greeting }}{{ punctuation }}{% endblock %}>"

    assert answer(template) == "Hello<Hello!>"
    assert answer(template, "region=b") == "<Hello!"
