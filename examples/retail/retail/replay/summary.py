"""The figures of the year from the components' databases, and how they are printed, with the file's own names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from preterite import Event, OpenSystem
from retail.catalog import reports as catalog_reports
from retail.finance import reports as finance_reports
from retail.finance.contracts import InvoiceIssued, InvoiceOverdue, OverdueInvoicesPaid
from retail.marketing import reports as marketing_reports
from retail.replay.lines import Line, countries
from retail.replay.names import product_id
from retail.replay.notebook import Notebook
from retail.replay.year import is_late_payer
from retail.sales import reports as sales_reports
from retail.sales.contracts import ItemPurchased, PurchaseCancelled
from retail.shipping import reports as shipping_reports
from retail.shipping.contracts import ItemShipped
from retail.system import catalog, finance, marketing, sales, shipping

EVENTS: tuple[type[Event], ...] = (
    ItemPurchased,
    PurchaseCancelled,
    InvoiceIssued,
    InvoiceOverdue,
    OverdueInvoicesPaid,
    ItemShipped,
)
MOST_POPULAR = 10
ALSO_BOUGHT = 5


def figures(shop: OpenSystem, notebook: Notebook, lines: Sequence[Line]) -> dict[str, Any]:
    """Every figure that the oracle also computes, as far as the file has been replayed."""
    published = {event_type.__name__: len(shop.published(event_type)) for event_type in EVENTS}
    set_aside = notebook.reasons()
    return {
        "lines": notebook.progress().lines_done + set_aside.get("unreadable", 0),
        "set aside": set_aside,
        **_sales(shop, published),
        **_lists(shop, lines),
        **_finance(shop, published),
        "ItemShipped": published["ItemShipped"],
        "shipped to": _shipped(shop),
        **_marketing(shop, lines),
    }


def _sales(shop: OpenSystem, published: Mapping[str, int]) -> dict[str, Any]:
    with shop.session(sales) as session:
        accepted = sales_reports.purchase_count(session)
        assert accepted == published["ItemPurchased"], "every purchase was published once"
        cancelled = sales_reports.cancelled_count(session)
        assert cancelled == published["PurchaseCancelled"], "every cancellation was published once"
        return {
            "accepted": accepted,
            "of these cancelled": cancelled,
            "refused as blocked": sales_reports.refusal_count(session),
            "customers ever refused": sales_reports.customers_refused(session),
            "of these with a later purchase": sales_reports.customers_back_after_a_refusal(session),
        }


def _lists(shop: OpenSystem, lines: Sequence[Line]) -> dict[str, Any]:
    with shop.session(catalog) as session:
        named = catalog_reports.product_count(session)
    with shop.session(shipping) as session:
        customers = shipping_reports.customer_count(session)
    with shop.session(finance) as session:
        priced, rows = finance_reports.price_list(session)
        agreements = finance_reports.agreement_count(session)
    return {
        "products named": named,
        "products with a price": priced,
        "rows of the price list": rows,
        "customers": customers,
        "late payers": sum(1 for customer in countries(lines) if is_late_payer(customer)),
        "customers with an agreement": agreements,
    }


def _finance(shop: OpenSystem, published: Mapping[str, int]) -> dict[str, Any]:
    with shop.session(finance) as session:
        overdue = finance_reports.overdue(session)
        return {
            "InvoiceIssued": published["InvoiceIssued"],
            "InvoiceOverdue": published["InvoiceOverdue"],
            "OverdueInvoicesPaid": published["OverdueInvoicesPaid"],
            "paid while another stays overdue": overdue.paid_while_another_stayed,
            "overdue at the end": overdue.unpaid,
            "customers ever overdue": overdue.customers,
            "billed by rule": finance_reports.billed_by_rule(session),
            "lines that end in half a penny": finance_reports.lines_that_end_in_half_a_penny(session),
            "invoiced, pence": finance_reports.invoiced_pence(session),
            "paid, pence": finance_reports.paid_pence(session),
            "months": finance_reports.months(session),
        }


def _shipped(shop: OpenSystem) -> dict[str, int]:
    with shop.session(shipping) as session:
        return shipping_reports.shipments_by_country(session)


def _marketing(shop: OpenSystem, lines: Sequence[Line]) -> dict[str, Any]:
    codes = {product_id(line.code): line.code for line in lines}
    with shop.session(marketing) as session:
        popular = _top(marketing_reports.popularity(session), codes, MOST_POPULAR)
        also = _top(marketing_reports.also_bought(session, popular[0][0]), codes, ALSO_BOUGHT) if popular else []
    with shop.session(catalog) as session:
        names = catalog_reports.names(session, [product for product, _ in (*popular, *also)])
    return {
        "most popular": [[codes[product], names.get(product, ""), count] for product, count in popular],
        "also bought with the first": [[codes[product], names.get(product, ""), count] for product, count in also],
    }


def _top(counts: Mapping[UUID, int], codes: Mapping[UUID, str], limit: int) -> list[tuple[UUID, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], codes[one[0]]))[:limit]


def oracle_figures(oracle: Path, data: Path, lines: int | None = None) -> dict[str, Any]:
    """The same figures, computed by another program straight from the file, or from its first `lines`."""
    command = [sys.executable, oracle, data, *([] if lines is None else [str(lines)])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Every figure on which the two do not agree, with both."""
    names = list(dict.fromkeys([*ours, *theirs]))
    return [
        f"{name}: {ours.get(name)} in the components, {theirs.get(name)} in the oracle"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def text(found: Mapping[str, Any]) -> str:
    """The figures as text."""
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, int):
            rows.append((name, _pounds(value) if name.endswith(", pence") else f"{value:,}"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.removesuffix(', pence'):<{width}}  {value:>12}" for name, value in rows]
    for name in ("set aside", "billed by rule", "shipped to"):
        lines += ["", f"{name}:", *(f"  {what:<{width - 2}}  {count:>12,}" for what, count in found[name].items())]
    lines += ["", f"{'month':<{width}}  {'invoices':>12}  {'total':>14}"]
    lines += [
        f"{month:<{width}}  {count:>12,}  {_pounds(pence):>14}" for month, (count, pence) in found["months"].items()
    ]
    for name in ("most popular", "also bought with the first"):
        lines += ["", f"{name}:", *(f"  {code:<8} {title:<40} {count:>6,}" for code, title, count in found[name])]
    return "\n".join(lines)


def _pounds(pence: int) -> str:
    return f"£{pence // 100:,}.{pence % 100:02}"
