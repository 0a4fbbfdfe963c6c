"""Queries on prices, invoices and customers, a set of identifiers at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, and_, bindparam, func, select

from retail.db import Queryable
from retail.finance.billing import Terms, net_pence
from retail.finance.model import Agreement, BillableItem, Invoice, Payment, Price


class Offer(NamedTuple):
    """What one unit of a product costs a customer, before and after the customer's discount."""

    list_pence: int
    pence: int
    rule: str
    percent: int


class Line(NamedTuple):
    """A purchase as it is billed: with the price, the discount and the rule of its moment."""

    purchase_id: UUID
    product_id: UUID
    purchased_at: datetime
    month: str
    quantity: int
    unit_pence: int
    rule: str
    percent: int
    net_pence: int
    invoice_id: UUID | None


class Bill(NamedTuple):
    """An invoice without its lines."""

    invoice_id: UUID
    customer_id: UUID
    month: str
    issued_at: datetime
    due_at: datetime
    pence: int
    overdue_at: datetime | None
    paid_at: datetime | None

    @property
    def state(self) -> str:
        """In one word."""
        if self.paid_at is not None:
            return "paid"
        return "open" if self.overdue_at is None else "overdue"


class Owed(NamedTuple):
    """What a customer has overdue."""

    invoice_ids: Sequence[UUID]
    pence: int


class OpenMonth(NamedTuple):
    """What a customer has purchased that is on no invoice yet."""

    customer_id: UUID
    month: str
    items: int
    pence: int


_bill = (
    Invoice.id,
    Invoice.customer_id,
    Invoice.month,
    Invoice.issued_at,
    Invoice.due_at,
    Invoice.pence,
    Invoice.overdue_at,
    Invoice.paid_at,
)
_line = (
    BillableItem.purchase_id,
    BillableItem.product_id,
    BillableItem.purchased_at,
    BillableItem.month,
    BillableItem.quantity,
    BillableItem.unit_pence,
    BillableItem.rule,
    BillableItem.percent,
    BillableItem.net_pence,
    BillableItem.invoice_id,
)


_latest = (
    select(Price.product_id, func.max(Price.valid_from).label("valid_from"))
    .where(Price.product_id.in_(bindparam("ids", expanding=True)), Price.valid_from <= bindparam("at"))
    .group_by(Price.product_id)
    .subquery()
)
_OFFERED = select(Price.product_id, Price.pence).join(
    _latest, and_(Price.product_id == _latest.c.product_id, Price.valid_from == _latest.c.valid_from)
)
_BILLED = select(*_line).where(BillableItem.purchase_id.in_(bindparam("ids", expanding=True)))


_LINES = (
    select(*_line)
    .where(BillableItem.invoice_id == bindparam("invoice_id"))
    .order_by(BillableItem.purchased_at, BillableItem.purchase_id)
)
_BILLS = (
    select(*_bill)
    .where(Invoice.customer_id == bindparam("customer_id"))
    .order_by(Invoice.issued_at.desc(), Invoice.id)
    .limit(bindparam("count", type_=Integer))
)
_BILL = select(*_bill).where(Invoice.id == bindparam("invoice_id"), Invoice.customer_id == bindparam("customer_id"))


def offers(db: Queryable, product_ids: Iterable[UUID], terms: Terms, at: datetime) -> dict[UUID, Offer]:
    """What products cost at an instant, as far as they have a price then."""
    discount = terms.discount(1)
    return {
        product_id: Offer(pence, net_pence(1, pence, discount.percent), discount.rule, discount.percent)
        for product_id, pence in db.execute(_OFFERED, {"ids": list(product_ids), "at": at})
    }


def prices_of(db: Queryable, product_id: UUID) -> list[tuple[datetime, int]]:
    """All prices of a product, the latest first."""
    rows = select(Price.valid_from, Price.pence).where(Price.product_id == product_id)
    return [(valid_from, pence) for valid_from, pence in db.execute(rows.order_by(Price.valid_from.desc()))]


def agreements(db: Queryable) -> list[tuple[UUID, int, datetime]]:
    """Who has agreed on what, from when on; the latest first."""
    rows = select(Agreement.customer_id, Agreement.percent, Agreement.valid_from)
    return [(*row,) for row in db.execute(rows.order_by(Agreement.valid_from.desc(), Agreement.customer_id))]


def bills(db: Queryable, *conditions: ColumnElement[bool], count: int) -> list[Bill]:
    """Invoices, the latest first."""
    rows = select(*_bill).where(*conditions).order_by(Invoice.issued_at.desc(), Invoice.id).limit(count)
    return [Bill(*row) for row in db.execute(rows)]


def bills_of(db: Queryable, customer_id: UUID, count: int) -> list[Bill]:
    """The invoices of a customer, the latest first."""
    return [Bill(*row) for row in db.execute(_BILLS, {"customer_id": customer_id, "count": count})]


def bill_of(db: Queryable, invoice_id: UUID, customer_id: UUID | None) -> Bill | None:
    """One invoice, if it is this customer's."""
    row = db.execute(_BILL, {"invoice_id": invoice_id, "customer_id": customer_id}).first()
    return None if row is None else Bill(*row)


def lines_of(db: Queryable, invoice_id: UUID) -> list[Line]:
    """The lines of an invoice, in the order of purchase."""
    return [Line(*row) for row in db.execute(_LINES, {"invoice_id": invoice_id})]


def billed(db: Queryable, purchase_ids: Iterable[UUID]) -> dict[UUID, Line]:
    """How these purchases are billed, as far as Finance has consumed their events."""
    rows = db.execute(_BILLED, {"ids": list(purchase_ids)})
    return {line.purchase_id: line for line in (Line(*row) for row in rows)}


def owed(db: Queryable, customer_ids: Iterable[UUID]) -> dict[UUID, Owed]:
    """What these customers have overdue, as far as they have."""
    overdue = (Invoice.overdue_at.is_not(None), Invoice.paid_at.is_(None))
    rows = select(Invoice.customer_id, Invoice.id, Invoice.pence).where(*overdue, Invoice.customer_id.in_(customer_ids))
    found: dict[UUID, Owed] = {}
    for customer_id, invoice_id, pence in db.execute(rows.order_by(Invoice.issued_at)):
        before = found.get(customer_id, Owed((), 0))
        found[customer_id] = Owed((*before.invoice_ids, invoice_id), before.pence + pence)
    return found


def open_months(db: Queryable, count: int) -> list[OpenMonth]:
    """What is to be invoiced at the end of its month, by customer, the most first."""
    sums = (func.count(), func.sum(BillableItem.net_pence).label("pence"))
    rows = select(BillableItem.customer_id, BillableItem.month, *sums).where(BillableItem.invoice_id.is_(None))
    grouped = rows.group_by(BillableItem.customer_id, BillableItem.month).order_by(sums[1].desc())
    return [OpenMonth(*row) for row in db.execute(grouped.limit(count))]


def payments(db: Queryable, count: int) -> list[tuple[UUID, datetime, int]]:
    """The last payments: of which invoice, when, how much."""
    rows = select(Payment.invoice_id, Payment.paid_at, Payment.pence).order_by(Payment.paid_at.desc())
    return [(*row,) for row in db.execute(rows.limit(count))]
