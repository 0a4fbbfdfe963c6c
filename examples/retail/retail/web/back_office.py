"""Who may enter the back office: a visitor who has given the key that the shop prints when it is opened."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SIGN_IN = "/sign-in"
KEY_BYTES = 16
"""Random bytes of a key."""
_SIGNED_IN = "office"
_OFFICE = re.compile(r"/office(?:/[A-Za-z0-9-]+)*")


def new_key() -> str:
    """A random key, which nobody guesses; it is valid until the shop is closed."""
    return secrets.token_urlsafe(KEY_BYTES)


class Door:
    """Lets nobody into the back office who has not signed in: whatever is at, or under, `/office`.

    Pages lead to the form for signing in. A region of a page keeps what it shows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or not is_office(path) or scope["session"].get(_SIGNED_IN) is True:
            await self._app(scope, receive, send)
        elif "region" in QueryParams(scope.get("query_string", b"")):
            await PlainTextResponse("Sign in to the back office first.", 401)(scope, receive, send)
        else:
            place = f"?to={path}" if scope["method"] in ("GET", "HEAD") and _OFFICE.fullmatch(path) else ""
            await RedirectResponse(f"{SIGN_IN}{place}", 303)(scope, receive, send)


def is_office(path: str) -> bool:
    """Whether this path is one of the back office."""
    return path == "/office" or path.startswith("/office/")


def sign_in(request: Request, fields: Mapping[str, str], key: str) -> str | None:
    """Sign a visitor in; returns where the back office goes on, or nothing if that is not the key."""
    given = fields.get("key", "").strip()
    if not hmac.compare_digest(given.encode(errors="replace"), key.encode()):
        return None
    request.session[_SIGNED_IN] = True
    wanted = fields.get("to", "")
    return wanted if _OFFICE.fullmatch(wanted) else "/office"
