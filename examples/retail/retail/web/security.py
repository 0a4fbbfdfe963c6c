"""Which requests are answered, response headers, and the token that every form must send."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"
FORM_BYTES_MAX = 20_000
"""Size of a form."""
HOSTS = ("127.0.0.1", "localhost")
"""The names under which the shop is reached; a page of another name could read it by changing its own address."""
STATIC_PATH = "/static/"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """Refuses requests from other sites, to other hosts, and that are too large; forbids pages to load from elsewhere.

    No cache keeps an answer, unless it is a static file.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_RAW_HEADERS]
                if not scope["path"].startswith(STATIC_PATH):
                    MutableHeaders(raw=message["headers"])["Cache-Control"] = "no-store"
            await send(message)

        headers = Headers(scope=scope)
        refusal = None if scope["method"] in ("GET", "HEAD") else _refusal(headers)
        if not _is_own(headers.getlist("host")):
            await PlainTextResponse("There is no shop under this name.", 400)(scope, receive, send_guarded)
        elif refusal is not None:
            await PlainTextResponse(refusal, 403)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


def token_of(request: Request) -> str:
    """The token of this visitor's forms; made at first use."""
    found = request.session.get(TOKEN)
    if found is None:
        found = request.session[TOKEN] = secrets.token_urlsafe(24)
    return found


async def fields_of(request: Request) -> dict[str, str] | None:
    """The fields of a form; None without the visitor's token."""
    form: Mapping[str, Any] = await request.form(max_files=0, max_fields=40, max_part_size=FORM_BYTES_MAX)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    brought = fields.pop(TOKEN, "")
    expected = request.session.get(TOKEN, "")
    return fields if expected and hmac.compare_digest(brought.encode(), expected.encode()) else None


def _is_own(hosts: list[str]) -> bool:
    return len(hosts) == 1 and hosts[0].rpartition(":")[0 if ":" in hosts[0] else 2].lower() in HOSTS


def _refusal(headers: Headers) -> str | None:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "This was sent by another site; nothing was changed."
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return "This was sent by another site; nothing was changed."
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdecimal() or int(length) > FORM_BYTES_MAX:
        return "This is larger than any form here; nothing was changed."
    return None
