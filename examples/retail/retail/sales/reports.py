"""What Sales can tell."""

from __future__ import annotations

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from retail.sales.model import Purchase, Refusal


def purchase_count(session: Session) -> int:
    """How many purchases were accepted."""
    return session.scalar(select(func.count()).select_from(Purchase)) or 0


def cancelled_count(session: Session) -> int:
    """How many of them were taken back."""
    return session.scalar(select(func.count()).where(Purchase.cancelled_at.is_not(None))) or 0


def refusal_count(session: Session) -> int:
    """How many purchases were refused."""
    return session.scalar(select(func.count()).select_from(Refusal)) or 0


def customers_refused(session: Session) -> int:
    """How many customers were ever refused."""
    return session.scalar(select(func.count(distinct(Refusal.customer_id)))) or 0


def customers_back_after_a_refusal(session: Session) -> int:
    """How many of them have purchased something later."""
    first = (
        select(Refusal.customer_id, func.min(Refusal.refused_at).label("at")).group_by(Refusal.customer_id).subquery()
    )
    later = select(func.count(distinct(Purchase.customer_id))).join(
        first, (first.c.customer_id == Purchase.customer_id) & (first.c.at < Purchase.purchased_at)
    )
    return session.scalar(later) or 0
