"""The forms that Finance takes: prices, agreements, discounts, payments, the end of a month."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from preterite.composition import PageRequest, ValidationError
from retail.finance import accounts, actions
from retail.finance.model import Agreement, Invoice
from retail.finance.parts import parts
from retail.identifiers import CustomerId, InvoiceId, ProductId

PENCE_MAX = 10_000_00
PERCENT_MAX = 50
QUANTITY_MAX = 10_000


class Agreed(NamedTuple):
    """A discount for a customer."""

    customer_id: UUID
    percent: int


class Tier(NamedTuple):
    """A discount for a quantity."""

    from_quantity: int
    percent: int


def read_price(fields: Mapping[str, str], request: PageRequest) -> actions.NewPrice:
    """A price in pounds, from a day on that is not over; its product is the form's."""
    return actions.NewPrice(UUID(int=0), _day(fields["from"], request), _pence(fields["price"]))


def read_agreement(fields: Mapping[str, str], request: PageRequest) -> Agreed:
    """A customer, and so many percent."""
    try:
        customer_id = UUID(fields["customer"])
    except ValueError:
        raise ValidationError(customer="Write the customer's identifier, as it stands in the lists.") from None
    return Agreed(customer_id, _whole(fields["percent"], 1, PERCENT_MAX, "percent"))


def read_tier(fields: Mapping[str, str], request: PageRequest) -> Tier:
    """A quantity, and so many percent."""
    quantity = _whole(fields["quantity"], 2, QUANTITY_MAX, "quantity")
    return Tier(quantity, _whole(fields["percent"], 0, PERCENT_MAX, "percent"))


@parts.section("price", "from", read=read_price, fallback="Finance has not saved the price yet.")
def new_price(product: ProductId, new: actions.NewPrice, session: Session, request: PageRequest) -> None:
    """A product costs this from then on; what was purchased before keeps its price.

    Today means from now on, but for a product that has no price at all: of that, whatever was purchased today waits.
    """
    valid_from = max(new.valid_from, request.as_of) if accounts.prices_of(session, product) else new.valid_from
    actions.keep_prices(session, [actions.NewPrice(product, valid_from, new.pence)])


@parts.section("customer", "percent", read=read_agreement, fallback="Finance has not saved the agreement yet.")
def new_agreement(_agreement: UUID, agreed: Agreed, session: Session, request: PageRequest) -> None:
    """Agree with a customer on a discount from now on."""
    there = session.get(Agreement, agreed.customer_id)
    if there is not None and there.percent != agreed.percent:
        raise ValidationError(customer=f"This customer has an agreement already, on {there.percent} %.")
    actions.agree(session, [agreed.customer_id], agreed.percent, request.as_of)


@parts.section("quantity", "percent", read=read_tier, fallback="Finance has not saved the discount yet.")
def new_tier(_tier: UUID, tier: Tier, session: Session, request: PageRequest) -> None:
    """Give a discount by quantity from now on."""
    actions.keep_bulk_discount(session, tier.from_quantity, tier.percent)


@parts.section("close", read=lambda fields, request: True, fallback="Finance has not closed the month yet.")
def closing(_closing: UUID, _sure: bool, session: Session, request: PageRequest) -> None:
    """Invoice everything purchased before this month."""
    actions.close_month(session, request.as_of)


@parts.section("pay", read=lambda fields, request: True, fallback="Finance has not taken your payment yet.")
def payment(invoice_id: InvoiceId, _sure: bool, session: Session, request: PageRequest) -> None:
    """The viewer pays an invoice."""
    _pay(invoice_id, session, request, payer=request.viewer)


@parts.section("received", read=lambda fields, request: True, fallback="Finance has not saved the payment yet.")
def received_payment(invoice_id: InvoiceId, _sure: bool, session: Session, request: PageRequest) -> None:
    """A payment has arrived, from whomever."""
    _pay(invoice_id, session, request, payer=None)


def _pay(invoice_id: InvoiceId, session: Session, request: PageRequest, *, payer: CustomerId | UUID | None) -> None:
    invoice = session.get(Invoice, invoice_id)
    if invoice is None or (payer is not None and invoice.customer_id != payer):
        raise ValidationError(pay="There is no such invoice of yours.")
    actions.pay(session, [invoice_id], request.as_of)


def _pence(text: str) -> int:
    try:
        pence = Decimal(text) * 100
    except ArithmeticError:
        raise ValidationError(price="Write the price in pounds, as in 3.39.") from None
    if not pence.is_finite() or not 0 < pence <= PENCE_MAX or pence != int(pence):
        raise ValidationError(price=f"A price is from 0.01 to {PENCE_MAX // 100:,}, in whole pence.")
    return int(pence)


def _day(text: str, request: PageRequest) -> datetime:
    """The beginning of a day that is not over."""
    try:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise ValidationError(**{"from": "Write a date, as in 2011-06-01."}) from None
    if day.date() < request.as_of.date():
        raise ValidationError(**{"from": "A price begins today or later: what is purchased keeps its price."})
    return day


def _whole(text: str, least: int, most: int, field: str) -> int:
    if not (text.isdecimal() and len(text) < 7 and least <= int(text) <= most):
        raise ValidationError(**{field: f"Write a whole number from {least:,} to {most:,}."})
    return int(text)
