"""Forms: each goes to the owners of its fields, which parse, reject or write it."""

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

OLD_PAGE = "This page was open for too long; nothing was changed. Go back, reload the page and send the form again."
Answer = Callable[[Request], Awaitable[Response]]


class FormRoute(NamedTuple):
    """A form: the path it is posted to, the page that holds it, and where to redirect with which message."""

    path: str
    form: Form
    page: str
    redirect_to: str
    message: str
    identifier: str = "id"
    """The path variable or field that holds the identifier under which all owners write."""


_PURCHASE, _INVOICE = "/purchases/{purchase_id}/cancel", "/invoices/{invoice_id}/pay"
_RECEIVED = "/office/invoices/{invoice_id}"
_PRICE, _PRODUCT = "/office/prices/{product}", "/office/catalog/{product}"
FORM_ROUTES = (
    FormRoute("/products/{product}", pages.purchasing, "product", "/purchases/{id}", "Thank you."),
    FormRoute(_PURCHASE, pages.cancelling, "purchases", "/purchases", "The purchase is cancelled.", "purchase_id"),
    FormRoute(_INVOICE, pages.paying, "invoices", "/invoices", "Thank you; Sales is notified now.", "invoice_id"),
    FormRoute(_PRICE, pages.pricing, "office-price", _PRICE, "The price is saved.", "product"),
    FormRoute("/office/terms/agreements", pages.agreeing, "office-terms", "/office/terms", "The agreement is saved."),
    FormRoute("/office/terms/bulk", pages.discounting, "office-terms", "/office/terms", "The discount is saved."),
    FormRoute("/office/months/close", pages.closing, "office-months", "/office/months", "The month is closed."),
    FormRoute(_RECEIVED, pages.receiving, "office-invoices", "/office/invoices", "The invoice is paid.", "invoice_id"),
    FormRoute("/office/catalog/new", pages.listing, "office-new-product", "/office/catalog/{id}", "It is listed."),
    FormRoute(_PRODUCT + "/name", pages.renaming, "office-product", _PRODUCT, "The name is saved.", "product"),
    FormRoute(_PRODUCT + "/category", pages.moving, "office-product", _PRODUCT, "The category is saved.", "product"),
    FormRoute(_PRODUCT + "/offered", pages.offering, "office-product", _PRODUCT, "Saved.", "product"),
)  # fmt: skip


def form_endpoint(shop: Shop, route: FormRoute, view: PageView) -> Answer:
    """An endpoint that takes a form.

    On an error the form's page is shown again, with messages beside the fields, which keep their values.
    """

    async def answer(request: Request) -> Response:
        fields = await fields_of(request)
        if fields is None:
            return PlainTextResponse(OLD_PAGE, 403)
        under = _uuid(request.path_params.get(route.identifier) or fields.get(route.identifier, ""))
        if under is None:
            return PlainTextResponse("The form has no identifier; nothing was changed.", 400)
        submission = await shop.composer.submit(route.form, under, fields, viewer=shop.viewer(request))
        if submission.is_complete:
            request.session[SAID] = route.message
            return RedirectResponse(route.redirect_to.format(id=under, **request.path_params), 303)
        return await _again(request, view, fields, submission)

    return answer


def action_endpoint(act: Callable[[Request, Mapping[str, str]], Awaitable[str]]) -> Answer:
    """An endpoint of the demo's own controls; redirects to what `act` returns."""

    async def answer(request: Request) -> Response:
        fields = await fields_of(request)
        if fields is None:
            return PlainTextResponse(OLD_PAGE, 403)
        return RedirectResponse(await act(request, fields), 303)

    return answer


async def _again(request: Request, view: PageView, fields: Mapping[str, str], submission: Submission) -> Response:
    """The form's page again: its values, under the same identifier, and the errors."""
    request.state.errors = {**submission.errors, "": " ".join(submission.failed.values())}
    request.state.fields = dict(fields)
    page = await view(request)
    if page.status_code == 200:
        page.status_code = 422 if submission.errors else 503
    return page


def _uuid(text: object) -> UUID | None:
    try:
        return text if isinstance(text, UUID) else UUID(str(text))
    except ValueError:
        return None
