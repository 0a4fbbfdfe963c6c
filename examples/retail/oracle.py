"""The retail year computed straight from the file: one process, no Preterite, nothing shared with the example.

    python oracle.py data/online-retail-sample.csv.gz [LINES]

Everything happens in dictionaries, line by line, by the rules of RULES.md. With LINES the
figures are those after so many lines in time order, at the time of the last of them. Where the example's figures differ
from these, one of the two is wrong.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections import Counter, defaultdict
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from itertools import combinations
from pathlib import Path
from typing import Any

COLUMNS = ["invoice", "stock_code", "description", "quantity", "purchased_at", "unit_price", "customer", "country"]
PAYMENT_DAYS = 14
LATE_DAYS = 40
CANCELLED_LINES = 100
CANCELLED_AFTER = timedelta(minutes=10)
PACKED_AFTER = timedelta(hours=22)
AGREEMENT_FROM = datetime(2011, 4, 1)
TOP = 10
ALSO = 5


def read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of the file in time order, and how many could not be read at all."""
    opener = gzip.open if path.suffix == ".gz" else open
    lines: list[dict[str, Any]] = []
    unreadable = 0
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            try:
                lines.append(
                    {
                        "line": number,
                        "invoice": row["invoice"],
                        "code": row["stock_code"].strip().upper(),
                        "name": row["description"].strip(),
                        "quantity": int(row["quantity"]),
                        "at": datetime.fromisoformat(row["purchased_at"]),
                        "pence": pence(row["unit_price"]),
                        "customer": int(row["customer"]) if row["customer"].strip() else None,
                        "country": row["country"].strip(),
                    }
                )
            except (ValueError, InvalidOperation, TypeError, AttributeError):
                unreadable += 1
    lines.sort(key=lambda line: line["at"])
    return lines, unreadable


def pence(text: str) -> int:
    """Pounds as whole pence, half a penny up."""
    return int((Decimal(text) * 100).to_integral_value(rounding="ROUND_HALF_UP"))


def is_product(code: str) -> bool:
    """Whether a stock code is that of a product: it starts with five digits."""
    return len(code) >= 5 and code[:5].isdigit()


def set_aside(line: dict[str, Any]) -> str | None:
    """The first reason why a line is no purchase."""
    if line["customer"] is None:
        return "no customer"
    if line["quantity"] < 1:
        return "return"
    if not is_product(line["code"]):
        return "not a product"
    return "no price" if line["pence"] == 0 else None


def month_after(at: datetime) -> datetime:
    """Midnight of the first of the following month."""
    return datetime(at.year + at.month // 12, at.month % 12 + 1, 1)


class Year:
    """What has happened so far."""

    def __init__(self, lines: list[dict[str, Any]], unreadable: int, count: int | None = None) -> None:
        self.lines = lines
        self.played = lines[:count]
        self.end = None if count is None else max((line["at"] for line in self.played), default=None)
        self.reasons: Counter[str] = Counter({"unreadable": unreadable} if unreadable else {})
        self.names: dict[str, str] = {}
        self.prices: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self.country: dict[int, str] = {}
        self.blocked: dict[int, int] = defaultdict(int)
        self.refused = 0
        self.ever_refused: set[int] = set()
        self.later_purchase: set[int] = set()
        self.accepted = 0
        self.cancelled = 0
        self.bought: list[dict[str, Any]] = []
        self.unbilled: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.invoices: list[dict[str, Any]] = []
        self.overdue_events = 0
        self.released_events = 0
        self.paid_while_another = 0
        self._read_lists()

    def _read_lists(self) -> None:
        seen: set[tuple[str, datetime]] = set()
        for line in self.lines:
            if line["customer"] is not None:
                self.country.setdefault(line["customer"], line["country"])
            if not is_product(line["code"]) or line["pence"] <= 0:
                continue
            if line["name"]:
                self.names.setdefault(line["code"], line["name"])
            if line["quantity"] >= 1 and (line["code"], line["at"]) not in seen:
                seen.add((line["code"], line["at"]))
                prices = self.prices[line["code"]]
                if not prices or prices[-1][1] != line["pence"]:
                    prices.append((line["at"], line["pence"]))

    def play(self) -> None:
        """Line by line, with Finance's midnights between them, to the last day of the month after the last line.

        Where only some lines are played, to the last of these.
        """
        if not self.played:
            return
        first, last = self.played[0]["at"], self.played[-1]["at"]
        midnight = datetime(first.year, first.month, 1)
        end = self.end or month_after(month_after(last)) - timedelta(days=1)
        position = 0
        while midnight <= end:
            self.finance_acts(midnight)
            midnight += timedelta(days=1)
            while position < len(self.played) and self.played[position]["at"] < midnight:
                position = self.basket(position)

    def basket(self, start: int) -> int:
        """One basket: consecutive lines of an invoice number and time; refused whole if its customer is blocked."""
        first = self.played[start]
        stop = start
        while stop < len(self.played) and all(self.played[stop][what] == first[what] for what in ("invoice", "at")):
            line = self.played[stop]
            stop += 1
            reason = set_aside(line)
            if reason is not None:
                self.reasons[reason] += 1
            elif self.blocked[line["customer"]]:
                self.refused += 1
                self.ever_refused.add(line["customer"])
            else:
                self.accept(line)
        return stop

    def accept(self, line: dict[str, Any]) -> None:
        """A purchase: billed by the price and the best discount of its moment, unless it is cancelled."""
        self.accepted += 1
        if line["customer"] in self.ever_refused:
            self.later_purchase.add(line["customer"])
        price = [pence for since, pence in self.prices[line["code"]] if since <= line["at"]][-1]
        percent, rule = max(
            (0, "list"),
            (5 if line["quantity"] >= 48 else 0, "bulk 48"),
            (10 if line["quantity"] >= 144 else 0, "bulk 144"),
            (8 if line["customer"] % 20 == 7 and line["at"] >= AGREEMENT_FROM else 0, "agreement"),
            key=lambda one: one[0],
        )
        hundredths = line["quantity"] * price * (100 - percent)
        if line["line"] % CANCELLED_LINES == 0 and self.has_come(line["at"] + CANCELLED_AFTER):
            # Cancelled ten minutes later: long before it is packed, invoiced or anything is decided by it.
            self.cancelled += 1
            return
        billed = {**line, "rule": rule, "net": (hundredths + 50) // 100, "half": hundredths % 100 == 50}
        self.bought.append(billed)
        self.unbilled[line["customer"]].append(billed)

    def has_come(self, at: datetime) -> bool:
        """Whether this time is not after the last line that is played."""
        return self.end is None or at <= self.end

    def finance_acts(self, midnight: datetime) -> None:
        """At one midnight: payments, then overdue, then invoicing."""
        for invoice in self.invoices:
            late = LATE_DAYS if invoice["customer"] % 10 == 0 else 0
            if invoice["paid"] is None and invoice["due"] + timedelta(days=late) == midnight:
                self.pay(invoice, midnight)
        for invoice in self.invoices:
            if invoice["paid"] is None and not invoice["overdue"] and invoice["due"] + timedelta(days=1) <= midnight:
                invoice["overdue"] = True
                self.overdue_events += 1
                self.blocked[invoice["customer"]] += 1
        if midnight.day == 1:
            for customer, items in self.unbilled.items():
                self.invoices.append(
                    {
                        "customer": customer,
                        "month": f"{(midnight - timedelta(days=1)):%Y-%m}",
                        "due": midnight + timedelta(days=PAYMENT_DAYS),
                        "total": sum(item["net"] for item in items),
                        "paid": None,
                        "overdue": False,
                    }
                )
            self.unbilled.clear()

    def pay(self, invoice: dict[str, Any], midnight: datetime) -> None:
        """Paid in full; a customer with nothing overdue any more may purchase again."""
        invoice["paid"] = midnight
        if not invoice["overdue"]:
            return
        self.blocked[invoice["customer"]] -= 1
        if self.blocked[invoice["customer"]]:
            self.paid_while_another += 1
        else:
            self.released_events += 1

    def figures(self) -> dict[str, Any]:
        """Everything that is compared."""
        popular = Counter(item["code"] for item in self.bought)
        shipped = [
            item for item in self.bought if self.has_come(datetime.combine(item["at"].date(), time.min) + PACKED_AFTER)
        ]
        top = sorted(popular, key=lambda code: (-popular[code], code))[:TOP]
        months: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for invoice in self.invoices:
            months[invoice["month"]][0] += 1
            months[invoice["month"]][1] += invoice["total"]
        overdue_customers = {invoice["customer"] for invoice in self.invoices if invoice["overdue"]}
        return {
            "lines": len(self.played) + self.reasons["unreadable"],
            "set aside": {reason: count for reason, count in sorted(self.reasons.items()) if count},
            "refused as blocked": self.refused,
            "accepted": self.accepted,
            "of these cancelled": self.cancelled,
            "products named": len(self.names),
            "products with a price": sum(1 for prices in self.prices.values() if prices),
            "rows of the price list": sum(len(prices) for prices in self.prices.values()),
            "customers": len(self.country),
            "late payers": sum(1 for customer in self.country if customer % 10 == 0),
            "customers with an agreement": sum(1 for customer in self.country if customer % 20 == 7),
            "InvoiceIssued": len(self.invoices),
            "InvoiceOverdue": self.overdue_events,
            "OverdueInvoicesPaid": self.released_events,
            "paid while another stays overdue": self.paid_while_another,
            "overdue at the end": sum(1 for i in self.invoices if i["overdue"] and i["paid"] is None),
            "customers ever overdue": len(overdue_customers),
            "customers ever refused": len(self.ever_refused),
            "of these with a later purchase": len(self.later_purchase),
            "ItemShipped": len(shipped),
            "shipped to": dict(sorted(Counter(self.country[item["customer"]] for item in shipped).items())),
            "billed by rule": dict(sorted(Counter(item["rule"] for item in self.bought).items())),
            "lines that end in half a penny": sum(1 for item in self.bought if item["half"]),
            "invoiced, pence": sum(invoice["total"] for invoice in self.invoices),
            "paid, pence": sum(invoice["total"] for invoice in self.invoices if invoice["paid"]),
            "months": dict(sorted(months.items())),
            "most popular": [[code, self.names.get(code, ""), popular[code]] for code in top],
            "also bought with the first": self.also_bought(top[0]) if top else [],
        }

    def also_bought(self, code: str) -> list[list[Any]]:
        """Other products of the customers who bought this one, by how many of them did."""
        products: dict[int, set[str]] = defaultdict(set)
        for item in self.bought:
            products[item["customer"]].add(item["code"])
        pairs: Counter[str] = Counter()
        for some in products.values():
            if code in some:
                pairs.update(other for pair in combinations(sorted(some), 2) if code in pair for other in pair)
        del pairs[code]
        top = sorted(pairs, key=lambda other: (-pairs[other], other))[:ALSO]
        return [[other, self.names.get(other, ""), pairs[other]] for other in top]


def figures(path: Path, count: int | None = None) -> dict[str, Any]:
    """All figures of the file, or those after so many lines."""
    year = Year(*read(path), count)
    year.play()
    return year.figures()


if __name__ == "__main__":
    print(json.dumps(figures(Path(sys.argv[1]), *map(int, sys.argv[2:])), indent=2))
