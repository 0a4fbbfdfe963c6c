"""How amounts and times are formatted. Nothing that a component decides is computed here."""

from __future__ import annotations

from calendar import month_name
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from markupsafe import Markup

TILES = 8
KEPT = 4096
"""Cached texts of each kind: the same names and times are on many pages."""
MONTHS = tuple(month_name)
RULES = {"list": "list price", "agreement": "agreement"}


@lru_cache(KEPT)
def pounds(pence: int) -> str:
    """As money: £1,234.50."""
    return f"£{pence // 100:,}.{pence % 100:02}"


@lru_cache(KEPT)
def day(at: datetime) -> str:
    """As a day: 2 May 2011."""
    return f"{at.day} {MONTHS[at.month]} {at.year}"


@lru_cache(KEPT)
def moment(at: datetime) -> str:
    """As a day and a time: 2 May 2011, 09:00."""
    return f"{at.day} {MONTHS[at.month]} {at.year}, {at.hour:02}:{at.minute:02}"


@lru_cache(KEPT)
def timed(at: datetime) -> Markup:
    """The same as a `time` element."""
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), moment(at))


def month(text: str) -> str:
    """2011-05 as May 2011."""
    return f"{MONTHS[int(text[5:])]} {text[:4]}"


def month_of(at: datetime) -> str:
    """The month of an instant: May 2011."""
    return f"{MONTHS[at.month]} {at.year}"


@lru_cache(KEPT)
def rule(text: str, percent: int = 0) -> str:
    """A discount rule in words: from 48 units, 5 % off."""
    words = RULES.get(text) or f"from {text.removeprefix('bulk ')} units"
    return f"{words}, {percent} % off" if percent else words


def short(identifier: object) -> str:
    """The first characters of an identifier."""
    return str(identifier)[:8]


@lru_cache(KEPT)
def title(name: str) -> str:
    """A product's name in title case; the sample has capitals only."""
    return " ".join(word[:1].upper() + word[1:].lower() for word in name.split())


def tile(identifier: UUID) -> int:
    """Which coloured tile represents a product; there are no pictures."""
    return identifier.int % TILES


def as_uuid(text: str) -> UUID:
    """An identifier from an address."""
    return UUID(text)


FILTERS: dict[str, Any] = {
    one.__name__: one for one in (pounds, day, moment, timed, month, month_of, rule, short, title, tile, as_uuid)
}
