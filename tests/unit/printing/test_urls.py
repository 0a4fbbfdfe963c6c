"""URLs as they are shown: no password, whatever shape the URL has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.canary_urls import CANARY, SHAPES

from preterite import log as logs
from preterite import store as stores
from preterite.clock import SystemClock
from preterite.drivers.postgres_place import place_of
from preterite.errors import PreteriteError
from preterite.log.contract import LogIdentity
from preterite.printing.urls import EXAMPLE, UNREADABLE, shown, without_secrets


def saids(url: str) -> list[str]:
    """Everything that this package says about a URL which cannot be used."""
    texts = [shown(url)] if "\n" in url else [shown(url), without_secrets(f"There is {url} here.")]
    for use in (stores.connect, _opened, _log, place_of):
        try:
            texts.append(repr(use(url)))
        except PreteriteError as error:
            chain = [error, error.__cause__, None if error.__suppress_context__ else error.__context__]
            texts += [repr(one) for one in chain] + [str(one) for one in chain]
    return texts


def _opened(url: str) -> object:
    return stores.connect(url).connect()


def _log(url: str) -> object:
    return logs.connect(url, LogIdentity("shop", UUID(int=0), 1), SystemClock())


@pytest.mark.parametrize("url", SHAPES.values(), ids=SHAPES.keys())
def test_no_password_is_said_for_any_shape_of_url(url: str) -> None:
    assert [text for text in saids(url) if CANARY in text] == []


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
SECRET = st.tuples(TEXT, st.just(CANARY), TEXT).map("".join)
USERS = ["u", "", "u@v", "a%40b"]
SCHEMES = ["postgresql://", "postgres://", "postgresql+psycopg://", "mysql://", "sqlite://", "redis://", ""]
HOSTS = ["127.0.0.1:1", "h", "[::1]:1", "127.0.0.1:port", "h:1,h:2", "", "%2Ftmp"]
DATABASES = ["/db", "", "/", "/a/b", "/my%20db", "/d@b"]
QUERIES = ["", "?password=SECRET", "?sslmode=require", "?x=SECRET", "#SECRET"]


@st.composite
def urls(draw: st.DrawFn) -> str:
    secret, one_of = draw(SECRET), st.sampled_from
    login = f"{draw(one_of(SCHEMES))}{draw(one_of(USERS))}:{secret}"
    return f"{login}@{draw(one_of(HOSTS))}{draw(one_of(DATABASES))}{draw(one_of(QUERIES)).replace('SECRET', secret)}"


@settings(max_examples=1_000)
@example("postgresql://u:%CanarySecret42@127.0.0.1:1/db")  # %Ca is a byte that is no character
@given(urls())
def test_no_password_is_shown_for_urls_of_all_shapes(url: str) -> None:
    texts = [shown(url)]
    try:
        texts.append(repr(place_of(url)))
    except PreteriteError as error:
        texts += [str(error), repr(error.__context__) if not error.__suppress_context__ else ""]

    assert [text for text in texts if CANARY in text] == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "postgresql://sales:x@db.example:5432/shop_sales?sslmode=require",
            "postgresql://sales@db.example:5432/shop_sales",
        ),
        ("postgres://db.example/shop", "postgresql://db.example/shop"),
        ("postgresql://u@[::1]:5432/shop", "postgresql://u@[::1]:5432/shop"),
        ("sqlite:///.preterite/shop/sales.sqlite", "sqlite:///.preterite/shop/sales.sqlite"),
        ("sqlite:////var/lib/shop.sqlite?key=x", "sqlite:////var/lib/shop.sqlite"),
        ("memory:", "memory:"),
        ("mysql://h/db", UNREADABLE),
    ],
)
def test_a_url_that_can_be_read_is_shown_without_its_password(url: str, says: str) -> None:
    assert shown(url) == says


def test_addresses_of_web_pages_are_left_as_they_are_in_a_text() -> None:
    text = "See https://example.org/a?b=c@d and http://127.0.0.1:8000/."

    assert without_secrets(text) == text


@pytest.mark.parametrize("use", [stores.connect, place_of])
@pytest.mark.parametrize("url", ["mysql://u:secret@h/db", "postgresql://u:sec@ret@h/db"])
def test_a_message_that_shows_what_a_url_looks_like_is_printed_with_it(use: Callable[[str], Any], url: str) -> None:
    """The net under all output takes it for no secret, and leaves the rest of the sentence."""
    with pytest.raises(PreteriteError) as raised:
        use(url).version()

    assert without_secrets(str(raised.value)) == str(raised.value)
    assert EXAMPLE in str(raised.value)
