"""The file: its lines in time order, what each is good for, and the lists that follow from them.

Pure but for reading.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import groupby
from pathlib import Path

COLUMNS = ("invoice", "stock_code", "description", "quantity", "purchased_at", "unit_price", "customer", "country")
PRODUCT_DIGITS = 5


class WrongFile(Exception):
    """The file is not what a replay needs."""


@dataclass(frozen=True)
class Line:
    """One line of the file, as far as it can be read."""

    number: int
    invoice: str
    code: str
    description: str
    quantity: int
    at: datetime
    pence: int
    customer: int | None
    country: str

    @property
    def is_product(self) -> bool:
        """Whether the stock code is a product's: postage, fees and manual entries have others."""
        return len(self.code) >= PRODUCT_DIGITS and self.code[:PRODUCT_DIGITS].isdigit()


@dataclass(frozen=True)
class Unreadable:
    """A line that cannot be read, and why."""

    number: int
    reason: str


def read(path: Path) -> tuple[list[Line], list[Unreadable]]:
    """All lines in time order, those of one instant in the order of the file; and those that cannot be read."""
    lines: list[Line] = []
    unreadable: list[Unreadable] = []
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as file
        ):
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise WrongFile(f"{path} has no column {missing[0]!r}; needed are {', '.join(COLUMNS)}.")
            for number, row in enumerate(rows, start=1):
                line = _line(number, row)
                (lines if isinstance(line, Line) else unreadable).append(line)  # pyright: ignore[reportArgumentType]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongFile(f"{path} cannot be read: {error}.") from error
    lines.sort(key=lambda line: line.at)
    return lines, unreadable


def _line(number: int, row: dict[str, str]) -> Line | Unreadable:
    try:
        at = datetime.fromisoformat(row["purchased_at"])
        return Line(
            number=number,
            invoice=row["invoice"],
            code=row["stock_code"].strip().upper(),
            description=row["description"].strip(),
            quantity=int(row["quantity"]),
            at=at if at.tzinfo is not None else at.replace(tzinfo=UTC),
            pence=int((Decimal(row["unit_price"]) * 100).to_integral_value(ROUND_HALF_UP)),
            customer=int(row["customer"]) if row["customer"].strip() else None,
            country=row["country"].strip(),
        )
    except (ValueError, TypeError, AttributeError, InvalidOperation) as error:
        return Unreadable(number, f"unreadable: {error}")


def reason_against(line: Line) -> str | None:
    """Why a line is no purchase: the first reason that applies, or nothing."""
    if line.customer is None:
        return "no customer"
    if line.quantity < 1:
        return "return"
    if not line.is_product:
        return "not a product"
    return "no price" if line.pence == 0 else None


def baskets(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """Consecutive lines of the same invoice number and time."""
    for _, basket in groupby(lines, key=lambda line: (line.invoice, line.at)):
        yield list(basket)


def product_names(lines: Sequence[Line]) -> dict[str, str]:
    """Per stock code the first description on a line with a price."""
    names: dict[str, str] = {}
    for line in lines:
        if line.is_product and line.pence > 0 and line.description:
            names.setdefault(line.code, line.description)
    return names


def price_list(lines: Sequence[Line]) -> list[tuple[str, datetime, int]]:
    """Stock code, valid from, pence: the first line of a product at an instant sets its price, where that is new."""
    seen: set[tuple[str, datetime]] = set()
    last: dict[str, int] = {}
    prices: list[tuple[str, datetime, int]] = []
    for line in lines:
        if not line.is_product or line.pence <= 0 or line.quantity < 1 or (line.code, line.at) in seen:
            continue
        seen.add((line.code, line.at))
        if last.get(line.code) != line.pence:
            last[line.code] = line.pence
            prices.append((line.code, line.at, line.pence))
    return prices


def countries(lines: Sequence[Line]) -> dict[int, str]:
    """Per customer the country of the first line."""
    found: dict[int, str] = {}
    for line in lines:
        if line.customer is not None:
            found.setdefault(line.customer, line.country)
    return found
