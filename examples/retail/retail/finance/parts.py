"""What Finance fills on pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from preterite.composition import AsOf, Ids, NotFound, PageRequest, PartResult, Parts
from retail.finance import accounts, reports
from retail.finance.accounts import Bill, Line, Offer, OpenMonth, Owed
from retail.finance.billing import Terms, terms_of
from retail.finance.component import finance
from retail.finance.model import Invoice
from retail.identifiers import BlockedId, CustomerId, InvoiceId, ProductId, ProductThen, PurchaseId

SHOWN = 25

parts = Parts(finance)


class InvoiceShown(NamedTuple):
    """An invoice with its lines."""

    bill: Bill
    lines: list[Line]


class MonthsShown(NamedTuple):
    """What is to be invoiced, and what was: invoices and pence per month."""

    open: list[OpenMonth]
    closed: Mapping[str, list[int]]


class TermsShown(NamedTuple):
    """Discounts by quantity, and who has an agreement."""

    bulk: Mapping[int, int]
    agreements: list[tuple[UUID, int, datetime]]


@parts.part(fallback="Prices are unavailable.", unknown="no price yet")
def prices(products: Ids[ProductId], connection: Connection, request: PageRequest) -> Mapping[ProductId, Offer]:
    """What products cost the viewer."""
    terms = terms_of(connection, request.viewer, request.as_of)
    return accounts.offers(connection, products, terms, request.as_of)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Your terms are unavailable; the invoice will be right.")
def terms(connection: Connection, request: PageRequest) -> Terms:
    """What the viewer may count on besides prices."""
    return terms_of(connection, request.viewer, request.as_of)


@parts.part(required=True, fallback="Your invoices are unavailable; they are safe.")
def invoices(customers: Ids[CustomerId], connection: Connection) -> list[Bill]:
    """The invoices of a customer, the latest first."""
    (customer,) = customers
    return accounts.bills_of(connection, customer, SHOWN)


@parts.part(provides=[ProductThen, PurchaseId], required=True, fallback="The invoice is unavailable; it is safe.")
def invoice(invoices: Ids[InvoiceId], connection: Connection, request: PageRequest) -> PartResult:
    """One invoice of the viewer's, with what was purchased, and when."""
    (invoice_id,) = invoices
    found = accounts.bill_of(connection, invoice_id, request.viewer)
    if found is None:
        raise NotFound(f"There is no invoice {invoice_id}.")
    lines = accounts.lines_of(connection, invoice_id)
    then = [ProductThen(AsOf(line.product_id, line.purchased_at)) for line in lines]
    provides = {ProductThen: then, PurchaseId: [PurchaseId(line.purchase_id) for line in lines]}
    return PartResult(InvoiceShown(found, lines), provides=provides)


@parts.part(fallback="Amounts are unavailable; the invoice will be right.", unknown="not billed yet")
def billed(purchases: Ids[PurchaseId], connection: Connection) -> Mapping[PurchaseId, Line]:
    """How purchases are billed."""
    return accounts.billed(connection, purchases)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Overdue invoices are unavailable.")
def owed(customers: Ids[BlockedId], connection: Connection) -> Mapping[BlockedId, Owed]:
    """What blocked customers have overdue."""
    return accounts.owed(connection, customers)  # pyright: ignore[reportReturnType]


@parts.part(required=True, fallback="Finance is unavailable.")
def price_history(products: Ids[ProductId], connection: Connection) -> list[tuple[datetime, int]]:
    """All prices of one product, the latest first."""
    (product,) = products
    return accounts.prices_of(connection, product)


@parts.part(provides=[CustomerId], required=True, fallback="Finance is unavailable.")
def all_terms(connection: Connection, request: PageRequest) -> PartResult:
    """Discounts by quantity, and all agreements."""
    agreed = accounts.agreements(connection)
    bulk = dict(sorted(terms_of(connection, None, request.as_of).bulk.items()))
    return PartResult(TermsShown(bulk, agreed), provides={CustomerId: [CustomerId(one) for one, _, _ in agreed]})


@parts.part(required=True, fallback="Finance is unavailable.")
def months(connection: Connection) -> MonthsShown:
    """What is to be invoiced, and what was."""
    return MonthsShown(accounts.open_months(connection, SHOWN), reports.months(connection))


@parts.part(provides=[CustomerId], required=True, fallback="Finance is unavailable.")
def overdue(connection: Connection) -> PartResult:
    """Invoices that are overdue."""
    conditions = (Invoice.overdue_at.is_not(None), Invoice.paid_at.is_(None))
    found = accounts.bills(connection, *conditions, count=SHOWN)
    return PartResult(found, provides={CustomerId: [CustomerId(one.customer_id) for one in found]})


@parts.part(provides=[CustomerId], required=True, fallback="Finance is unavailable.")
def due(connection: Connection) -> PartResult:
    """Invoices that are to be paid, and not overdue."""
    conditions = (Invoice.overdue_at.is_(None), Invoice.paid_at.is_(None))
    found = accounts.bills(connection, *conditions, count=SHOWN)
    return PartResult(found, provides={CustomerId: [CustomerId(one.customer_id) for one in found]})


@parts.part(required=True, fallback="Finance is unavailable.")
def payments(connection: Connection) -> list[tuple[UUID, datetime, int]]:
    """The last payments."""
    return accounts.payments(connection, SHOWN)
