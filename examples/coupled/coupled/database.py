"""What every part of the shop uses: one engine, one session factory, some constants."""

from __future__ import annotations

import logging
from decimal import Decimal

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, sessionmaker

engine = create_engine("sqlite://")  # crosses: shares-state
SessionLocal = sessionmaker(engine)  # crosses: shares-state
PRICES: dict[str, int] = {}  # crosses: shares-state
RECENT: list[str] = []  # crosses: shares-state
open_registers = 0  # crosses: shares-state
CURRENCY = "GBP"  # fine: a constant
VAT = {"book": 0, "other": 20}  # fine: nobody changes it
MARGINS = [Decimal("0.1"), Decimal("0.2")]  # fine: nobody changes it
SIZES: list[int] = []  # fine: changed, and used by one component alone
logger = logging.getLogger("shop")  # fine: a logger is no state of the business
RATES = {"GBP": 1}  # fine: a copy of it is changed below


class Base(DeclarativeBase):
    """The base of all tables."""


def remember(product: str) -> None:
    """Note what was looked at."""
    RECENT.append(product)


def register_opened() -> int:
    """Count the registers that are open."""
    global open_registers
    open_registers += 1
    return open_registers


def rates() -> dict[str, int]:
    """The rates, and that of the day."""
    mine = dict(RATES)
    mine["EUR"] = 2
    return mine
