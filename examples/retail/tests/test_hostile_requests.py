"""What strangers send to the shop: no request gets a 500, an answer without a policy, or more than its share."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import shutil
import string
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from fuzz import requests
from fuzz.judging import Judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from support import tiers
from web_shop import KEY, filled

from retail.web.__main__ import log_to, opened
from retail.web.app import application
from retail.web.back_office import SIGN_IN
from retail.web.forms import FORM_ROUTES
from retail.web.opening import urls_in
from retail.web.pages import pages
from retail.web.security import FORM_BYTES_MAX, TOKEN

HOST = "127.0.0.1:8000"
OWN_PATHS = ("/personas", SIGN_IN, "/office/clock", "/office/components", "/office/customer", "/office/drill")
CONNECTIONS = 300
EXAMPLES = tiers.sample(40, 400)
SLOWLY = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


class Answer(NamedTuple):
    """What the application has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Visitor:
    """Sends requests to the application without a server, keeps its cookie, and reads its token."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self._loop = loop
        self.cookie = ""
        self.token = ""

    def stranger(self) -> Visitor:
        """Another visitor, who has not signed in."""
        found = Visitor(self.app, self._loop)
        token = re.search(rf'name="{TOKEN}" value="([^"]+)"', found.get("/personas").body.decode())
        assert token is not None
        found.token = token[1]
        return found

    def get(self, path: str, query: str = "", headers: Sequence[tuple[str, str]] = (("host", HOST),)) -> Answer:
        return self.send("GET", path, query, b"", headers)

    def post(self, path: str, fields: Sequence[tuple[str, str]]) -> Answer:
        body = urlencode([*fields, (TOKEN, self.token)], errors="surrogatepass").encode()
        form = ("content-type", "application/x-www-form-urlencoded")
        return self.send("POST", path, "", body, (("host", HOST), form, ("content-length", str(len(body)))))

    def send(self, method: str, path: str, query: str, body: bytes, headers: Sequence[tuple[str, str]]) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": [
                *((name.encode(), value.encode()) for name, value in headers),
                (b"cookie", self.cookie.encode()),
            ],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8000),
        }
        answer = self._loop.run_until_complete(self._answered(scope, body))
        found = re.search(r"session=[^;]+", answer.headers.get("set-cookie", ""))
        self.cookie = found[0] if found else self.cookie
        return answer

    async def _answered(self, scope: dict[str, Any], body: bytes) -> Answer:
        sent: list[Any] = []
        asked: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:
            # Starlette answers an error and raises it again, for the server's log.
            if not sent:
                raise
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]))


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Generator[Visitor]:
    tiers.slow_only(tiers.PROCESSES)
    folder: Path = tmp_path_factory.mktemp("hostile")
    for file in filled().iterdir():
        shutil.copy(file, folder / file.name)
    assert urls_in(folder)
    loop = asyncio.new_event_loop()
    with opened(folder) as shop:
        found = Visitor(application(shop, "of this test", KEY), loop).stranger()
        assert found.post(SIGN_IN, [("key", KEY)]).headers["location"] == "/office"
        yield found
    loop.close()


def faults(answer: Answer) -> list[str]:
    """What is wrong with an answer, whatever was asked."""
    found: list[str] = []
    if answer.status >= 500 and answer.status != 503:
        found.append(f"status {answer.status}")
    if "object-src 'none'" not in answer.headers.get("content-security-policy", ""):
        found.append("no policy")
    if answer.headers.get("cache-control") != "no-store":
        found.append("may be kept by caches")
    return found


ODD = some.one_of(
    some.text(max_size=12),
    some.sampled_from(
        ["", "0", "-1", "٣", "1e400", "1E+999999999", "0.01E+99999999999999999999", "NaN", "9" * 30, "9999-12-31"]
    ),
    some.sampled_from(["0001-01-01", "2011-06-01T00:00+23:59", "\x00", "../..", "{id}", "%", "a" * 5_000, "\ud800"]),
)
WORDS = ["key", "region", "attempt", "page", "text", "category", "withdrawn", "sort", "to", "back", "id", "product"]
FIELDS = sorted({field for route in FORM_ROUTES for section in route.form.sections for field in section.fields})
PATHS = [*(page.path for page in pages), SIGN_IN]


def in_place(path: str, text: str) -> str:
    """The path with this text for each of its variables."""
    return re.sub(r"\{[^}]+\}", lambda _found: text, path)


UUIDS = some.one_of(some.uuids().map(str), some.sampled_from(["", "x", "0" * 32, "{0}", "urn:uuid:" + "0" * 32]))


@SLOWLY
@given(
    some.sampled_from(PATHS),
    UUIDS,
    some.lists(some.tuples(some.sampled_from([*WORDS, *FIELDS]), ODD), max_size=4),
)
def test_no_query_string_gets_a_500(visitor: Visitor, path: str, text: str, query: Sequence[tuple[str, str]]) -> None:
    answer = visitor.get(in_place(path, text), urlencode(query, errors="surrogatepass"))

    assert faults(answer) == []


@pytest.mark.parametrize("path", [path for path in PATHS if "{" not in path])
@pytest.mark.parametrize("query", ["region=", "region=&region=", "region=nothing", "region=%00", "%ff=%fe", "a&b=&=c"])
def test_no_odd_region_gets_a_500(visitor: Visitor, path: str, query: str) -> None:
    assert faults(visitor.get(path, query)) == []


@SLOWLY
@given(
    some.sampled_from([*(route.path for route in FORM_ROUTES), *OWN_PATHS]),
    UUIDS,
    some.dictionaries(
        some.sampled_from([*FIELDS, "id", "to", "back", "customer", "component", "key"]), ODD, max_size=5
    ),
)
def test_no_form_gets_a_500(visitor: Visitor, path: str, text: str, fields: dict[str, str]) -> None:
    if path in ("/office/components", "/office/drill", "/office/clock"):
        # These stop components and move the clock, if they are understood.
        fields = {name: value for name, value in fields.items() if name not in ("component", "to")}
        path = "/office/clock" if path == "/office/drill" else path
    answer = visitor.post(in_place(path, text), list(fields.items()))

    assert faults(answer) == []
    if answer.status == 303:
        assert re.match(r"/[^/\\]", answer.headers["location"] + "x"), "another site"


@pytest.mark.parametrize("route", FORM_ROUTES, ids=lambda route: route.path)
@pytest.mark.parametrize("left_out", ["all", *FIELDS])
def test_a_form_that_lacks_a_field_is_answered(visitor: Visitor, route: Any, left_out: str) -> None:
    own = [field for section in route.form.sections for field in section.fields]
    if left_out != "all" and left_out not in own:
        return
    fields = [(field, "1") for field in own if left_out not in ("all", field)]
    path = in_place(route.path, "0" * 32)

    assert faults(visitor.post(path, [*fields, ("id", "0" * 32)])) == []


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["evil.example:8000"],
        ["127.0.0.1.evil.example"],
        ["127.0.0.1@evil.example"],
        ["localhost.evil.example:8000"],
        [""],
        [],
        ["127.0.0.1:8000", "evil.example"],
        ["evil.example", "127.0.0.1:8000"],
        ["xn--localhost-.example"],
    ],
)
def test_a_host_that_is_not_the_shops_is_refused(visitor: Visitor, hosts: list[str]) -> None:
    answer = visitor.get("/", headers=[("host", host) for host in hosts])

    assert answer.status == 400
    assert faults(answer) == []


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "localhost:8000", "LOCALHOST"])
def test_the_shops_own_hosts_are_answered(visitor: Visitor, host: str) -> None:
    assert visitor.get("/", headers=[("host", host)]).status == 200


def test_what_is_larger_than_a_form_is_refused_also_where_its_length_is_not_said(visitor: Visitor) -> None:
    form = ("content-type", "application/x-www-form-urlencoded")
    body = b"text=" + b"a" * FORM_BYTES_MAX * 2
    said = visitor.send("POST", "/personas", "", body, [("host", HOST), form, ("content-length", str(len(body)))])
    unsaid = visitor.send("POST", "/personas", "", body, [("host", HOST), form, ("transfer-encoding", "chunked")])

    assert (said.status, unsaid.status) == (403, 403)


def test_a_visitor_who_leaves_before_a_form_is_whole_is_no_error(visitor: Visitor) -> None:
    answers: list[int] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message.get("status", 0))

    form = [(b"host", HOST.encode()), (b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/personas", "query_string": b"", "headers": form}
    asyncio.run(visitor.app(scope, receive, send))

    assert answers[0] == 400


def test_a_sample_of_hostile_connections_finds_nothing() -> None:
    judge = Judge()
    with requests.ready() as case:
        for seed in range(CONNECTIONS):
            judge.run(case, seed)

    assert judge.findings == []


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/..\\app.py", "/static/\x00"]
)
def test_no_path_leads_out_of_the_static_files(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)

    assert answer.status == 404
    assert b"import" not in answer.body


def test_an_error_of_the_shop_itself_has_the_policy_too(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_arguments: object) -> None:
        raise RuntimeError(string.ascii_letters)

    monkeypatch.setattr("retail.web.shop.Shop.frame", breaks)
    answer = visitor.get("/")

    assert answer.status == 500
    assert [fault for fault in faults(answer) if fault != "status 500"] == []
    assert string.ascii_letters.encode() not in answer.body


OFFICE_PATHS = sorted({path for path in (*PATHS, *OWN_PATHS, *(one.path for one in FORM_ROUTES)) if "office" in path})


@pytest.mark.parametrize("path", OFFICE_PATHS)
def test_nobody_enters_the_back_office_who_has_not_signed_in(visitor: Visitor, path: str) -> None:
    stranger = visitor.stranger()
    path = in_place(path, "0" * 32)
    answers = {
        "page": stranger.get(path),
        "head": stranger.send("HEAD", path, "", b"", (("host", HOST),)),
        "region": stranger.get(path, "region=main"),
        "no region": stranger.get(path, "region="),
        "form": stranger.post(path, [("id", "0" * 32), ("to", "stop"), ("component", "finance")]),
    }

    assert {name: answer.status for name, answer in answers.items()} == {
        "page": 303,
        "head": 303,
        "region": 401,
        "no region": 401,
        "form": 303,
    }
    assert answers["page"].headers["location"] == f"{SIGN_IN}?to={path}"
    assert answers["form"].headers["location"] == SIGN_IN
    assert [fault for answer in answers.values() for fault in faults(answer)] == []


@pytest.mark.parametrize(
    "path", ["/office/", "//office", "/OFFICE", "/./office", "/static/../office", "/office;x", "office"]
)
def test_no_other_spelling_of_its_paths_leads_into_the_back_office(visitor: Visitor, path: str) -> None:
    assert visitor.stranger().get(path).status in (303, 307, 400, 404)


@SLOWLY
@given(some.one_of(ODD, some.sampled_from([KEY[:-1], KEY.upper(), KEY + "x", KEY.replace("o", "о")])), ODD)
def test_no_other_key_opens_the_back_office(visitor: Visitor, key: str, to: str) -> None:
    stranger = visitor.stranger()
    refused = stranger.post(SIGN_IN, [("key", key), ("to", to)])

    assert (refused.status, refused.headers["location"]) == (303, SIGN_IN)
    assert stranger.get("/office").status == 303


@SLOWLY
@given(
    some.one_of(
        ODD, some.sampled_from(["//evil.example", "/office//evil", "/office/../x", "/office\\evil", "/offices"])
    )
)
def test_signing_in_leads_to_no_other_site(visitor: Visitor, to: str) -> None:
    stranger = visitor.stranger()
    entered = stranger.post(SIGN_IN, [("key", KEY), ("to", to)])

    assert entered.headers["location"] == "/office"
    assert stranger.get("/office").status == 200


def test_signing_in_leads_to_the_page_that_was_asked_for(visitor: Visitor) -> None:
    stranger = visitor.stranger()
    asked = stranger.get("/office/terms").headers["location"]
    form = stranger.get(SIGN_IN, asked.partition("?")[2]).body.decode()

    assert 'name="to" value="/office/terms"' in form
    assert stranger.post(SIGN_IN, [("key", KEY), ("to", "/office/terms")]).headers["location"] == "/office/terms"


def test_an_unknown_address_of_the_back_office_is_not_found_by_those_who_have_signed_in(visitor: Visitor) -> None:
    assert [visitor.get(path).status for path in ("/office/catalog/nonsense", "/office/nowhere")] == [404, 404]


def test_a_form_for_signing_in_that_another_site_sends_is_refused(visitor: Visitor) -> None:
    stranger = visitor.stranger()
    stranger.token = "x"

    assert stranger.post(SIGN_IN, [("key", KEY)]).status == 403
    assert stranger.get("/office").status == 303


def test_an_error_in_the_log_of_the_shop_commands_no_terminal() -> None:
    printed = io.StringIO()
    log = logging.Logger("uvicorn.error")
    log.addHandler(log_to(printed))
    try:
        raise KeyError("\x1b]0;title\x07\x1b[2J\x9b31m\u202e postgresql://u:CanarySecret42@127.0.0.1/db")
    except KeyError:
        log.exception("Exception in ASGI application \x1b[31m")

    assert "Exception in ASGI application" in printed.getvalue()
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]|CanarySecret42", printed.getvalue()) == []
