"""Every route of the shop, over a connection: hostile paths, queries, headers, forms, cookies, methods and bodies."""

from __future__ import annotations

import logging
import re
import select
import socket
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import quote, urlencode

from starlette.routing import Route
from web_shop import KEY, Served, served

from fuzz.judging import Case
from fuzz.values import MARK, changed, text
from retail.web.app import application
from retail.web.back_office import SIGN_IN
from retail.web.forms import FORM_ROUTES
from retail.web.security import TOKEN

ANSWER_SECONDS_MAX = 20.0
"""A request is answered within this time, or its connection is closed."""
COMPLETE_SECONDS = 1.0
"""A request to which nothing is said for so long is not complete: the server is shown that nothing follows."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024
METHODS = (
    *["GET"] * 24,
    *["POST"] * 36,
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "get",
    "G\x00T",
    "CONNECT",
)
WORDS = ("key", "region", "attempt", "page", "text", "category", "withdrawn", "sort", "to", "back", "id", "customer")
FIELDS = sorted({field for route in FORM_ROUTES for section in route.form.sections for field in section.fields})
OWN_FIELDS = ("id", "to", "back", "customer", "component", "key", "purchase_id", "invoice_id", "product")
KNOWN = (
    "start",
    "stop",
    "on",
    "off",
    "day",
    "evening",
    "month",
    "due",
    "sales",
    "finance",
    "1",
    "2011-06",
    "12.50",
    KEY,
)
HEADERS = (
    "Host: elsewhere.example",
    "Content-Length: -1",
    "Content-Length: 9999999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Range: bytes=0-18446744073709551615",
    "If-Modified-Since: \xff",
    "If-None-Match: *",
    "Accept-Encoding: \x01",
    "Accept-Language: " + "a-" * 2_000,
    "Content-Type: multipart/form-data",
    "Content-Type: multipart/form-data; boundary=",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Type: application/x-www-form-urlencoded; charset=utf-7",
    "Content-Type: application/json",
    "Sec-Fetch-Site: cross-site",
    "Origin: null",
    "Origin: https://elsewhere.example",
    "Last-Event-ID: \x7f",
    "X-Forwarded-Host: elsewhere.example",
    "X-Forwarded-For: " + "1," * 500,
    "Cookie: session=",
    "Cookie: session=eyJvZmZpY2UiOiB0cnVlfQ==.x.y",
    "Cookie: session=" + "A" * 8_000,
    "Cookie: =;;==;session",
    " folded",
    ": nothing",
)
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nTOKEN\r\n'
    b'--x\r\nContent-Disposition: form-data; name="text"; filename="f"\r\n\r\nFILE\r\n--x--\r\n'
)
STREAM = re.compile(rb"(?i)content-type: text/event-stream.*\r\n\r\n.*: open", re.DOTALL)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What has come over the connection until it was closed, or the beginning of a stream."""

    status: int
    headers: str
    body: bytes


class Visitor:
    """Sends a request over a connection of its own; keeps its cookie, and reads the token of its forms."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self.host = f"{host}:{port}"
        self._place = (host, int(port))
        self.cookie = ""
        self.token = ""

    def sign_in(self) -> None:
        """Read the token, and open the back office."""
        found = re.search(rf'name="{TOKEN}" value="([^"]+)"', self.send(self.get("/personas")).body.decode())
        assert found is not None
        self.token = found[1]
        body = urlencode({"key": KEY, TOKEN: self.token}).encode()
        answer = self.send(self.request("POST", SIGN_IN, [FORM_TYPE], body))
        assert answer.status == 303, answer

    def get(self, target: str) -> bytes:
        """A plain request for this address."""
        return self.request("GET", target, [], b"")

    def request(self, method: str, target: str, headers: Sequence[str], body: bytes) -> bytes:
        """The bytes of a request with what each needs, unless these headers hold it."""
        given = [*headers]
        names = {one.partition(":")[0].lower() for one in given}
        if "host" not in names:
            given.append(f"Host: {self.host}")
        if "cookie" not in names and self.cookie:
            given.append(f"Cookie: {self.cookie}")
        if body and not names & {"content-length", "transfer-encoding"}:
            given.append(f"Content-Length: {len(body)}")
        given.append("Connection: close")
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *given, "", ""])
        return head.encode("latin-1", "replace") + body

    def send(self, request: bytes) -> Answer:
        """Send these bytes, and read what is answered. An endless stream is left after its first line."""
        received = b""
        with socket.create_connection(self._place, ANSWER_SECONDS_MAX) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
                if not select.select([connection], [], [], COMPLETE_SECONDS)[0]:
                    connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while len(received) < ANSWER_BYTES_MAX and not STREAM.search(received):
                    part = connection.recv(65_536)
                    if not part:
                        break
                    received += part
        received = received.removeprefix(CONTINUE)
        head, _, body = received.partition(b"\r\n\r\n")
        headers = head.decode("latin-1")
        status = re.match(r"HTTP/1\.[01] (\d{3})", headers)
        found = re.search(r"(?im)^set-cookie: (session=[^;\r]+)", headers)
        if found and self.cookie.encode() in request:
            self.cookie = found[1]
        return Answer(int(status[1]) if status else 0, headers, body)


class Logged(logging.Handler):
    """What the shop and its server have logged as an error since the last look."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its text, with the place of its error."""
        self.texts.append(logging.Formatter().format(record)[-700:])

    def taken(self) -> list[str]:
        """The texts, once."""
        texts, self.texts = self.texts, []
        return [f"logged: {one}" for one in texts]


@contextmanager
def ready() -> Generator[Case]:
    """What sends one request to a shop that is served."""
    logged, own = Logged(), logging.getLogger("preterite")
    disabled, level = logging.root.manager.disable, own.level
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(logged)
    own.setLevel(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory(prefix="preterite-fuzz-") as folder, served(Path(folder)) as shop:
            yield Requests(shop, logged)
    finally:
        logging.getLogger().removeHandler(logged)
        own.setLevel(level)
        logging.disable(disabled)


class Requests:
    """One request for a case, by a visitor who has signed in to the back office, or by one who has not."""

    def __init__(self, shop: Served, logged: Logged) -> None:
        self._shop = shop
        self._logged = logged
        self._office = Visitor(shop.address)
        self._office.sign_in()
        self._paths = _paths(shop)
        self._known = [str(persona.customer_id) for persona in shop.shop.personas.all] + _links(self._office)

    def __call__(self, chance: Random) -> list[str]:
        visitor = self._office if chance.random() < 0.8 else Visitor(self._shop.address)
        visitor.token = visitor.token or self._office.token
        request = self._request(chance, visitor)
        try:
            answer = visitor.send(request)
        except TimeoutError:
            return [f"no answer in {ANSWER_SECONDS_MAX:.0f} s: {request[:200]!r}"]
        for component in self._shop.shop.open.components:
            self._shop.start(component)
        if visitor is self._office and chance.random() < 0.01:
            visitor.cookie = ""
            visitor.sign_in()
        return [f"{one}: {request[:300]!r}" for one in [*faults(answer), *self._logged.taken()]]

    def _request(self, chance: Random, visitor: Visitor) -> bytes:
        method = chance.choice(METHODS)
        path = re.sub(r"\{[^}]+\}", lambda _found: self._in_path(chance), self._path(chance, method))
        if chance.random() < 0.1:
            path = changed(path.encode(), chance).decode("latin-1").replace("\n", "")
        query = urlencode(
            [(chance.choice((*WORDS, *FIELDS)), self._value(chance)) for _ in range(chance.choice((0, 0, 1, 3)))],
            errors="surrogatepass",
        )
        headers = [chance.choice(HEADERS) for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 1, 2)))]
        body = b""
        if method == "POST":
            headers.append(FORM_TYPE)
            body = self._form(chance, visitor)
            if chance.random() < 0.1:
                headers[-1] = "Content-Type: multipart/form-data; boundary=x"
                body = MULTIPART.replace(b"TOKEN", visitor.token.encode())
            if chance.random() < 0.2:
                body = changed(body, chance)
        request = visitor.request(method, f"{path}?{query}" if query else path, headers, body)
        return changed(request, chance) if chance.random() < 0.1 else request

    def _form(self, chance: Random, visitor: Visitor) -> bytes:
        names = (*FIELDS, *OWN_FIELDS)
        fields = [(chance.choice(names), self._value(chance)) for _ in range(chance.choice((0, 1, 2, 4, 60)))]
        if chance.random() < 0.5:
            fields += [(field, self._value(chance)) for field in chance.choice(FORM_ROUTES).form.sections[0].fields]
        token = [(TOKEN, visitor.token)] if chance.random() < 0.95 else []
        fields += [("id", chance.choice(self._known))] if chance.random() < 0.8 else []
        return urlencode([*fields, *token], errors="surrogatepass").encode()

    def _path(self, chance: Random, method: str) -> str:
        """Nearly always one of a route that answers this method."""
        own = [path for path, methods in self._paths.items() if method in methods]
        return chance.choice(own if own and chance.random() < 0.9 else list(self._paths))

    def _in_path(self, chance: Random) -> str:
        return quote(chance.choice(self._known) if chance.random() < 0.7 else text(chance), errors="replace")

    def _value(self, chance: Random) -> str:
        kind = chance.random()
        if kind < 0.4:
            return chance.choice(self._known)
        return chance.choice(KNOWN) if kind < 0.55 else text(chance)


def faults(answer: Answer) -> list[str]:
    """What is wrong with an answer, whatever was sent."""
    if answer.status == 0:
        # The server closes a connection over which no request has come.
        return [] if not answer.headers else [f"no HTTP: {answer.headers[:100]!r}"]
    found: list[str] = []
    headers = answer.headers.lower()
    if answer.status >= 500 and answer.status != 503:
        found.append(f"status {answer.status}")
    own = b"Invalid HTTP request" not in answer.body
    if own and "object-src 'none'" not in headers:
        found.append(f"status {answer.status} without the policy")
    if own and answer.status == 200 and "cache-control: no-store" not in headers and "etag" not in headers:
        found.append(f"status {answer.status} may be kept by caches")
    if "forged" in headers:
        found.append("a header of the visitor's")
    if re.search(r"(?m)^location: (?!/[^/\\]|/\r|https?://(127\.0\.0\.1|localhost)[:/])", headers):
        found.append("leads to another site")
    if MARK.encode() in answer.body and "text/html" in headers:
        found.append("a text is a part of the page")
    if b"Traceback (most recent" in answer.body:
        found.append("a traceback")
    return found


def _paths(shop: Served) -> dict[str, set[str]]:
    """The path of every route, by the application itself, with the methods that it answers."""
    found: dict[str, set[str]] = {"/static/{file}": {"GET"}, "/static/shop.css": {"GET"}, "/{nothing}": set()}
    for route in application(shop.shop, "of these routes", KEY).routes:
        if isinstance(route, Route):
            found.setdefault(route.path, set()).update(route.methods or ())
    return found


def _links(visitor: Visitor) -> list[str]:
    """Identifiers that exist: those in the links of some pages."""
    pages = ("/", "/purchases", "/invoices", "/office/invoices", "/office/catalog", "/office/prices")
    texts = [visitor.send(visitor.get(page)).body.decode(errors="replace") for page in pages]
    return sorted({one for page in texts for one in re.findall(r'="/[a-z/]+/([0-9a-f-]{36})', page)})[:40]
