"""What people send: each form goes to the owners of its fields, who read, refuse or write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from preterite.composition import Form, Submission
from preterite.composition.web import PageView
from retail.web import pages
from retail.web.security import fields_of
from retail.web.shop import SAID, Shop

OLD_PAGE = "This page was open for too long; nothing was changed. Go back, load it again, and send it again."
Answer = Callable[[Request], Awaitable[Response]]


class Posted(NamedTuple):
    """A form: where it is sent to and by which page, where it leads, and what is said there."""

    path: str
    form: Form
    page: str
    then: str
    says: str
    under: str = "id"
    """The part of the address, or the field, that is the identifier under which all owners write."""


_PURCHASE, _INVOICE = "/purchases/{purchase_id}/cancel", "/invoices/{invoice_id}/pay"
_RECEIVED = "/office/invoices/{invoice_id}"
_PRICE, _PRODUCT = "/office/prices/{product}", "/office/catalog/{product}"
POSTED = (
    Posted("/products/{product}", pages.purchasing, "product", "/purchases/{id}", "Thank you."),
    Posted(_PURCHASE, pages.cancelling, "purchases", "/purchases", "It is cancelled.", "purchase_id"),
    Posted(_INVOICE, pages.paying, "invoices", "/invoices", "Thank you; Sales hears of it now.", "invoice_id"),
    Posted(_PRICE, pages.pricing, "office-price", _PRICE, "The price stands.", "product"),
    Posted("/office/terms/agreements", pages.agreeing, "office-terms", "/office/terms", "The agreement stands."),
    Posted("/office/terms/bulk", pages.discounting, "office-terms", "/office/terms", "The discount stands."),
    Posted("/office/months/close", pages.closing, "office-months", "/office/months", "The month is closed."),
    Posted(_RECEIVED, pages.receiving, "office-invoices", "/office/invoices", "It is paid.", "invoice_id"),
    Posted("/office/catalog/new", pages.listing, "office-new-product", "/office/catalog/{id}", "It is listed."),
    Posted(_PRODUCT + "/name", pages.renaming, "office-product", _PRODUCT, "It has a new name.", "product"),
    Posted(_PRODUCT + "/category", pages.moving, "office-product", _PRODUCT, "It has moved.", "product"),
    Posted(_PRODUCT + "/offered", pages.offering, "office-product", _PRODUCT, "It is so.", "product"),
)  # fmt: skip


def sent(shop: Shop, posted: Posted, view: PageView) -> Answer:
    """An endpoint that takes a form.

    What is wrong, or not reached, is said on the page of the form, beside its fields, which keep what was written.
    """

    async def answer(request: Request) -> Response:
        fields = await fields_of(request)
        if fields is None:
            return PlainTextResponse(OLD_PAGE, 403)
        under = _uuid(request.path_params.get(posted.under) or fields.get(posted.under, ""))
        if under is None:
            return PlainTextResponse("The form brings no identifier; nothing was changed.", 400)
        submission = await shop.composer.submit(posted.form, under, fields, viewer=shop.viewer(request))
        if submission.is_complete:
            request.session[SAID] = posted.says
            return RedirectResponse(posted.then.format(id=under, **request.path_params), 303)
        return await _again(request, view, fields, submission)

    return answer


def with_fields(act: Callable[[Request, Mapping[str, str]], Awaitable[str]]) -> Answer:
    """An endpoint that does something to the demo itself; what `act` returns is where it leads."""

    async def answer(request: Request) -> Response:
        fields = await fields_of(request)
        if fields is None:
            return PlainTextResponse(OLD_PAGE, 403)
        return RedirectResponse(await act(request, fields), 303)

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
