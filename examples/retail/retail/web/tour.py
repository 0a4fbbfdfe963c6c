"""The guided tour: eleven things to do, and what each shows. A browser test takes it."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One thing to do: where, what, and what to look at."""

    title: str
    path: str
    link: str
    do: str
    see: str


STEPS = (
    Step(
        "Buy something",
        "/",
        "To the shop",
        "Choose a popular product and buy one. Then open the timeline.",
        "One event: three identifiers, a time, a quantity. No name, no price, no address. Finance, Shipping and "
        "Marketing have consumed it, each independently.",
    ),
    Step(
        "Raise its price",
        "/office/prices",
        "To the price list",
        "Find the product, and save a higher price from today on.",
        "The product page has the new price at once. Your purchase keeps the old one: look at My purchases.",
    ),
    Step(
        "Stop Finance, and buy again",
        "/office",
        "To operations",
        "Stop Finance. Buy something. Then start Finance again.",
        "The shop stays open: in place of a price it shows Finance's fallback text. The event is pending, and Finance "
        "consumes it after its start. Nothing is lost, and nothing has to be sent again.",
    ),
    Step(
        "Sell what has no price",
        "/office/catalog/new",
        "To a new product",
        "List a product whose price starts tomorrow, and buy it today. Then save a price that starts today, and move "
        "the clock on by a day.",
        "Finance cannot bill it yet and parks the event, visibly; the other components and all other customers go on. "
        "Once there is a price, Finance retries and bills it.",
    ),
    Step(
        "Let the month end",
        "/office",
        "To operations",
        "Move the clock to the end of the month.",
        "Finance invoices every customer: see My invoices. The purchase of step 1 is billed at its old price.",
    ),
    Step(
        "Do not pay",
        "/office",
        "To operations",
        "Move the clock past the due date, and open a product: you cannot buy it.",
        "Finance has published one event: this customer has an overdue invoice. Sales has consumed it, and refuses a "
        "purchase without asking another component.",
    ),
    Step(
        "Pay",
        "/invoices",
        "To my invoices",
        "Pay what is overdue, and buy again.",
        "Finance publishes that everything overdue is paid; the notice disappears from every open page.",
    ),
    Step(
        "Stop Catalog, and look at an invoice",
        "/office",
        "To operations",
        "Stop Catalog, and open an invoice. Then start Catalog again, and watch.",
        "Every amount is right, since Finance owns them all. Only the names are missing, and they come back without a "
        "reload.",
    ),
    Step(
        "Start Marketing late",
        "/office",
        "To operations",
        "Stop Marketing, buy something twice, and start Marketing again.",
        "The home page works without it. After its start it counts the purchases made in the meantime, each once. "
        "A new component consumes the whole history in the same way.",
    ),
    Step(
        "Write a line that crosses a boundary",
        "/tour",
        "In a terminal",
        "Run: preterite check -A coupled.system:system",
        "The same shop, as it is usually written: the command reports every place where one component reaches into "
        "another, the rule that it violates, and what to do instead. In this shop it reports none.",
    ),
    Step(
        "Find what is broken",
        "/office",
        "To operations",
        "Start a drill: one component stops. Find out which from what the pages show, and start it.",
        "Each missing slot shows its owner's fallback text. Operations shows how long it took you.",
    ),
)
