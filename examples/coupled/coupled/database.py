"""One engine, one session factory and some constants for the whole shop."""

from __future__ import annotations

import logging
from decimal import Decimal

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, sessionmaker

engine = create_engine("sqlite://")  # violation: shares-state
SessionLocal = sessionmaker(engine)  # violation: shares-state
PRICES: dict[str, int] = {}  # violation: shares-state
RECENT: list[str] = []  # violation: shares-state
open_registers = 0  # violation: shares-state
CURRENCY = "GBP"  # fine: a constant
VAT = {"book": 0, "other": 20}  # fine: never changed
MARGINS = [Decimal("0.1"), Decimal("0.2")]  # fine: never changed
SIZES: list[int] = []  # fine: changed, and used by one component alone
logger = logging.getLogger("shop")  # fine: a logger is not state of the business
RATES = {"GBP": 1}  # fine: a copy of it is changed below


class Base(DeclarativeBase):
    """The base of all tables."""


def remember(product: str) -> None:
    """Record a product that was viewed."""
    RECENT.append(product)


def register_opened() -> int:
    """Count the registers that are open."""
    global open_registers
    open_registers += 1
    return open_registers


def rates() -> dict[str, int]:
    """The rates, with the rate of the day."""
    mine = dict(RATES)
    mine["EUR"] = 2
    return mine
