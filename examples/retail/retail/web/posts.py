"""What people send: each form goes to the owners of its fields, who read, refuse or write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from preterite.composition import Form, Submission
from preterite.composition.web import PageView
from retail.web.security import fields_of
from retail.web.shop import SAID, Shop

OLD_PAGE = "This page was open for too long; nothing was changed. Go back, load it again, and send it again."
Answer = Callable[[Request], Awaitable[Response]]


def sent(shop: Shop, form: Form, view: PageView, *, then: str, says: str, identifier: str = "id") -> Answer:
    """An endpoint that takes a form: `then` is where it leads, `says` what is said there.

    What is wrong, or not reached, is said on the page of the form, beside its fields, which keep what was written.
    `identifier` names the field, or the part of the address, under which all owners write.
    """

    async def answer(request: Request) -> Response:
        fields = await fields_of(request)
        if fields is None:
            return PlainTextResponse(OLD_PAGE, 403)
        under = _uuid(request.path_params.get(identifier) or fields.get(identifier, ""))
        if under is None:
            return PlainTextResponse("The form brings no identifier; nothing was changed.", 400)
        submission = await shop.composer.submit(form, under, fields, viewer=shop.viewer(request))
        if submission.is_complete:
            request.session[SAID] = says
            return RedirectResponse(then.format(id=under, **request.path_params), 303)
        return await _again(request, view, fields, submission)

    return answer


async def _again(request: Request, view: PageView, fields: Mapping[str, str], submission: Submission) -> Response:
    """The page of the form again: what was written in it, under the same identifier, and what is wrong with it."""
    request.state.errors = {**submission.invalid, "": " ".join(submission.unreached.values())}
    request.state.fields = dict(fields)
    page = await view(request)
    if page.status_code == 200:
        page.status_code = 422 if submission.invalid else 503
    return page


def _uuid(text: object) -> UUID | None:
    try:
        return text if isinstance(text, UUID) else UUID(str(text))
    except ValueError:
        return None
