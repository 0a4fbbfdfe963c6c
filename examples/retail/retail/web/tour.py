"""The guided tour: eleven things to do, and what each shows. A browser test walks it."""

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
        "Choose a popular product and buy one. Then look at what just happened.",
        "One event: three identifiers, a time, a count. No name, no price, no address. Finance, Shipping and Marketing "
        "have heard it, each by itself.",
    ),
    Step(
        "Raise its price",
        "/office/prices",
        "To the price list",
        "Find the product, and let it cost more from today on.",
        "The product page has the new price at once. Your purchase keeps the old one: look at My purchases.",
    ),
    Step(
        "Stop Finance, and buy again",
        "/office",
        "To the desk",
        "Stop Finance. Buy something. Then start Finance again.",
        "The shop stays open: where a price would stand, Finance's own sentence stands. The event waits, and is heard "
        "as soon as Finance is back. Nothing is lost, and nobody had to try again.",
    ),
    Step(
        "Sell what has no price",
        "/office/catalog/new",
        "To a new product",
        "List a product whose price begins tomorrow, and buy it today. Then let its price begin today, and move the "
        "clock on by a day.",
        "Finance cannot bill it yet and sets it aside, visibly; everybody else goes on, and so do all other customers. "
        "Once there is a price it is billed, without anybody sending it again.",
    ),
    Step(
        "Let the month end",
        "/office",
        "To the desk",
        "Move the clock to the end of the month.",
        "Finance invoices everybody: see My invoices. What you bought in step 1 is billed at the price of its moment.",
    ),
    Step(
        "Do not pay",
        "/office",
        "To the desk",
        "Move the clock past the due date, and try to buy something.",
        "Finance has said one thing: this customer has an invoice overdue. Sales knows it, and refuses, without asking "
        "anybody.",
    ),
    Step(
        "Pay",
        "/invoices",
        "To my invoices",
        "Pay what is overdue, and buy again.",
        "Finance says that everything overdue is paid; the notice goes by itself, on every open page.",
    ),
    Step(
        "Stop Catalog, and look at an invoice",
        "/office",
        "To the desk",
        "Stop Catalog, and open an invoice. Then start Catalog again, and watch.",
        "Every amount is right, since all of it is Finance's. Only the names are missing, and they come back by "
        "themselves.",
    ),
    Step(
        "Let Marketing come late",
        "/office",
        "To the desk",
        "Stop Marketing, buy something twice, and start Marketing again.",
        "The home page does without it. Once it is back it counts what happened while it was away, each purchase once. "
        "A component that is new hears all of history in the same way.",
    ),
    Step(
        "Write a line that crosses a boundary",
        "/tour",
        "In a terminal",
        "Run: preterite check coupled.system:system",
        "The same shop, as it is usually written: every place where one component reaches into another is found, with "
        "the rule that it breaks and what to do instead. preterite check finds none in this shop.",
    ),
    Step(
        "Find what is broken",
        "/office",
        "To the desk",
        "Begin a drill: one component stops, and nobody says which. Find it by what the pages say, and start it.",
        "Each missing slot names its owner in its own words. The desk says how long it took you.",
    ),
)
