"""What Finance fills on pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from preterite.composition import Ask, AsOf, Ids, NotThere, Parts, Slice
from retail.finance import accounts, reports
from retail.finance.accounts import Bill, Line, Offer, OpenMonth, Owed
from retail.finance.billing import Terms, terms_of
from retail.finance.component import finance
from retail.finance.model import Invoice
from retail.identifiers import BlockedId, CustomerId, InvoiceId, ProductId, ProductThen, PurchaseId

SHOWN = 50

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


@parts.part(fallback="Prices cannot be told right now.", unknown="no price yet")
def prices(products: Ids[ProductId], session: Session, ask: Ask) -> Mapping[ProductId, Offer]:
    """What products cost the viewer."""
    terms = terms_of(session, ask.viewer, ask.as_of)
    return accounts.offers(session, products, terms, ask.as_of)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Your terms cannot be told right now; the invoice will have them right.")
def terms(session: Session, ask: Ask) -> Terms:
    """What the viewer may count on besides prices."""
    return terms_of(session, ask.viewer, ask.as_of)


@parts.part(required=True, fallback="Your invoices cannot be shown right now; they are safe.")
def invoices(customers: Ids[CustomerId], session: Session) -> list[Bill]:
    """The invoices of a customer, the latest first."""
    (customer,) = customers
    return accounts.bills(session, Invoice.customer_id == customer, count=SHOWN)


@parts.part(
    gives=[ProductThen, PurchaseId], required=True, fallback="The invoice cannot be shown right now; it is safe."
)
def invoice(invoices: Ids[InvoiceId], session: Session, ask: Ask) -> Slice:
    """One invoice of the viewer's, with what was purchased, and when."""
    (invoice_id,) = invoices
    found = accounts.bills(session, Invoice.id == invoice_id, Invoice.customer_id == ask.viewer, count=1)
    if not found:
        raise NotThere(f"There is no invoice {invoice_id}.")
    lines = accounts.lines_of(session, invoice_id)
    then = [ProductThen(AsOf(line.product_id, line.purchased_at)) for line in lines]
    gives = {ProductThen: then, PurchaseId: [PurchaseId(line.purchase_id) for line in lines]}
    return Slice(InvoiceShown(found[0], lines), gives=gives)


@parts.part(fallback="What it costs cannot be told right now; the invoice will have it.", unknown="not billed yet")
def billed(purchases: Ids[PurchaseId], session: Session) -> Mapping[PurchaseId, Line]:
    """How purchases are billed."""
    return accounts.billed(session, purchases)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Which invoices are overdue cannot be told right now.")
def owed(customers: Ids[BlockedId], session: Session) -> Mapping[BlockedId, Owed]:
    """What blocked customers have overdue."""
    return accounts.owed(session, customers)  # pyright: ignore[reportReturnType]


@parts.part(required=True, fallback="Finance cannot be reached right now.")
def price_history(products: Ids[ProductId], session: Session) -> list[tuple[datetime, int]]:
    """All prices of one product, the latest first."""
    (product,) = products
    return accounts.prices_of(session, product)


@parts.part(gives=[CustomerId], required=True, fallback="Finance cannot be reached right now.")
def all_terms(session: Session, ask: Ask) -> Slice:
    """Discounts by quantity, and all agreements."""
    agreed = accounts.agreements(session)
    bulk = dict(sorted(terms_of(session, None, ask.as_of).bulk.items()))
    return Slice(TermsShown(bulk, agreed), gives={CustomerId: [CustomerId(one) for one, _, _ in agreed]})


@parts.part(required=True, fallback="Finance cannot be reached right now.")
def months(session: Session) -> MonthsShown:
    """What is to be invoiced, and what was."""
    return MonthsShown(accounts.open_months(session, SHOWN), reports.months(session))


@parts.part(gives=[CustomerId], required=True, fallback="Finance cannot be reached right now.")
def overdue(session: Session) -> Slice:
    """Invoices that are overdue."""
    conditions = (Invoice.overdue_at.is_not(None), Invoice.paid_at.is_(None))
    found = accounts.bills(session, *conditions, count=SHOWN)
    return Slice(found, gives={CustomerId: [CustomerId(one.customer_id) for one in found]})


@parts.part(gives=[CustomerId], required=True, fallback="Finance cannot be reached right now.")
def due(session: Session) -> Slice:
    """Invoices that are to be paid, and not overdue."""
    conditions = (Invoice.overdue_at.is_(None), Invoice.paid_at.is_(None))
    found = accounts.bills(session, *conditions, count=SHOWN)
    return Slice(found, gives={CustomerId: [CustomerId(one.customer_id) for one in found]})


@parts.part(required=True, fallback="Finance cannot be reached right now.")
def payments(session: Session) -> list[tuple[UUID, datetime, int]]:
    """The last payments."""
    return accounts.payments(session, SHOWN)
