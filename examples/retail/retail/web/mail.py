"""An invoice as plain text for a mail: the same page, composed without HTTP."""

from __future__ import annotations

from preterite.composition import ComposedPage
from retail.web.formatting import day, month, pounds, rule, title

WIDTH = 40


def invoice_mail(composed: ComposedPage) -> str:
    """The text of a mail; a missing slot shows its owner's fallback text, once."""
    invoice = composed["invoice"].value
    names = composed["names_then"]
    lines = [f"Invoice for {month(invoice.bill.month)}, due {day(invoice.bill.due_at)}", ""]
    for line in invoice.lines:
        named = names.row((line.product_id, line.purchased_at))
        name = title(named) if named else f"{names.of((line.product_id, line.purchased_at))} {line.product_id}"
        terms = rule(line.rule, line.percent)
        lines.append(f"{day(line.purchased_at):>16}  {name:<{WIDTH}} {line.quantity:>6}  {pounds(line.net_pence):>10}")
        if line.percent:
            lines.append(f"{'':>16}  {terms}")
    lines += ["", f"{'to pay':>16}  {'':<{WIDTH}} {'':>6}  {pounds(invoice.bill.pence):>10}"]
    lines += [slot.fallback for slot in composed.missing if slot.name == "names_then"]
    return "\n".join(lines) + "\n"
