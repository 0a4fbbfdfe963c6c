"""Names of events in the past tense, and values that carry meaning or personal data."""

from __future__ import annotations

from datetime import date, datetime
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from preterite.checks.events import check_values, meaning_of
from preterite.checks.past_tense import IRREGULAR, VERBS, is_past_tense, suggestion
from preterite.checks.personal import is_personal

PAST = [
    "ItemPurchased",
    "InvoiceOverdue",
    "OverdueInvoicesPaid",
    "PriceSet",
    "PriceUnset",
    "OrderSent",
    "ParcelLost",
    "ProductWithdrawn",
    "PaymentReceivedByBank",
    "ItemSentBack",
    "OfferMade",
    "GoodsBought",
    "SeatTaken",
    "PriceCut",
    "ShelfRelabelledAgain",
    "BookRead",
    "OrderSplit",
    "ItemPurchasedV2",
    "CustomerRegistered2",
    "TicketResold",
    "ContractUnpaid",
    "AccountFrozen",
    "URLChanged",
    "MemberLeftGroup",
    "CheckRunRequestedAction",
    "CustomerSentMessage",
    "CustomerSetPassword",
    "PriceRose",
    "StockFell",
    "OrderHasBeenPaid",
    "ItemOutOfStock",
]
NOT_PAST = [
    "PurchaseItem",
    "ItemPurchase",
    "ShipOrder",
    "OrderShipping",
    "OrderState",
    "ProductFeed",
    "CustomerNeed",
    "Overdue",
    "Purchased",
    "SetPrice",
    "OrderSpeed",
    "SeedPlant",
    "OrderPlacedNotification",
    "ShippedOrder",
    "PaidInvoiceReport",
    "ItemEvent",
    "Order",
    "NewOrder",
    "CreditEmbed",
    "OrderShippedEvent",
    "OrderShippedEmail",
    "OrderReadModel",
    "OrderExpectedDate",
    "OrderSetItem",
    "ParcelInTransit",
    "PaymentWrittenPre",
    "NextScheduledPayment",
    "OutOfStock",
    "ItemNotOutOfStock",
]
NAMES = Path(__file__).parent / "names"
RIGHT_MIN = 0.995
"""The share of names in public catalogues that are judged as they are labelled."""
BEFORE_PARTICIPLES = """
    WillBe MustBe ShouldBe CanBe MayBe MightBe CouldBe WouldBe ShallBe CannotBe Not NotYet NotYetBeen HasNotBeen
    WasNot IsNot Never HasNeverBeen ShouldHaveBeen MightHaveBeen Being IsBeing ToBe IsToBe NeedsToBe NotFully Nearly
    Undo Cannot
""".split()
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "UUID": UUID, "datetime": datetime, "date": date}


def labelled(file: str) -> list[list[str]]:
    return [line.split("\t") for line in (NAMES / file).read_text(encoding="utf-8").splitlines()[1:]]


@pytest.mark.parametrize("name", PAST)
def test_a_noun_and_a_participle_are_a_name_in_the_past_tense(name: str) -> None:
    assert is_past_tense(name)


@pytest.mark.parametrize("name", NOT_PAST)
def test_orders_states_and_nouns_are_not_in_the_past_tense(name: str) -> None:
    assert not is_past_tense(name)


def test_names_of_public_catalogues_are_judged_as_they_are_labelled() -> None:
    names = labelled("events.tsv")
    wrong = [name for _, name, label in names if is_past_tense(name) != (label == "past")]

    assert len(names) > 900
    assert len(wrong) <= (1 - RIGHT_MIN) * len(names), wrong


def test_what_will_must_or_did_not_happen_is_refused_before_every_participle() -> None:
    participles = [*sorted(IRREGULAR), *VERBS.values()]
    taken = [
        name
        for before, participle in product(BEFORE_PARTICIPLES, participles)
        for name in (f"Invoice{before}{participle.capitalize()}", f"{before}{participle.capitalize()}")
        if is_past_tense(name)
    ]

    assert taken == []


def test_every_refused_name_has_a_suggestion_that_is_accepted() -> None:
    refused = [name for _, name, label in labelled("events.tsv") if label != "past"]
    refused += [f"{subject}{before}Paid" for subject, before in product(("", "Order"), BEFORE_PARTICIPLES)]

    assert [(name, suggestion(name)) for name in refused if not is_past_tense(suggestion(name))] == []


@pytest.mark.parametrize("ending", ["Event", "DomainEvent", "IntegrationEvent", "Notification", "Handler", "Payload"])
def test_an_ending_for_what_carries_the_event_is_refused_and_left_out_of_the_suggestion(ending: str) -> None:
    past = [name for _, name, label in labelled("events.tsv") if label == "past"]

    assert [name for name in past if is_past_tense(name + ending) or suggestion(name + ending) != name] == []


@pytest.mark.parametrize("label", ["personal", "harmless"])
def test_personal_data_is_detected_by_the_words_of_names_and_by_types(label: str) -> None:
    fields = [(name, kind) for name, kind, expected in labelled("fields.tsv") if expected == label]
    wrong = [name for name, kind in fields if is_personal(name, TYPES[kind]) != (label == "personal")]

    assert len(fields) >= {"personal": 107, "harmless": 68}[label]
    assert wrong == []


@pytest.mark.parametrize("name", ["email", "phone_number", "account_holder", "date_of_birth", "middle_name"])
def test_the_spelling_of_a_field_does_not_hide_personal_data(name: str) -> None:
    first, *others = name.split("_")
    camel = first + "".join(word.capitalize() for word in others)

    for spelled in (name, camel, name.upper(), f"customer_{name}", f"customer{camel[0].upper()}{camel[1:]}"):
        assert is_personal(spelled, str), spelled
        assert not is_personal(spelled, bool)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("ShipOrder", "OrderShipped"),
        ("ItemPurchase", "ItemPurchased"),
        ("DeliverParcel", "ParcelDelivered"),
        ("BasketChanging", "BasketChanged"),
        ("PaymentState", "PaymentChanged"),
        ("Order", "OrderChanged"),
        ("OrderShippedEvent", "OrderShipped"),
        ("OrderShippedDomainEvent", "OrderShipped"),
        ("ShippedOrder", "OrderShipped"),
        ("InvoiceMustBePaid", "InvoicePaid"),
        ("InvoiceNotPaid", "InvoiceUnpaid"),
    ],
)
def test_the_suggested_name_is_in_the_past_tense(name: str, better: str) -> None:
    assert suggestion(name) == better
    assert is_past_tense(better)


@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ([str(number) for number in (7, 3, 5, 4, 6)], "consecutive numbers"),
        ([f"2024-{number:04}" for number in range(5)], "consecutive numbers"),
        ([f"INV-{number}" for number in range(100, 106)], "consecutive numbers"),
        (["order-20240131-x", "order-20240201-y", "order-20240302-z", "order-20241231-q", "order-20240115-r"], "dates"),
        (["DE-axbq", "DE-qpls", "DE-mmnv", "DE-wwer", "DE-plok"], "the prefix 'DE-'"),
        ([str(UUID(int=number)) for number in range(9)], None),
        ([uuid4().hex for _ in range(9)], None),
        (["91827364", "10293847", "55667788", "99001122", "31415926"], None),
        (["axbq", "qpls", "mmnv", "wwer", "plok"], None),
        (["1", "2", "3"], None),
    ],
)
def test_the_meaning_of_identifiers_is_detected(values: list[str], meaning: str | None) -> None:
    assert meaning_of(values) == meaning


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("anna@example.org", "an e-mail address"),
        ("+44 20 7946 0123", "a telephone number"),
        ("DE89370400440532013000", "an account number"),
        ("192.168.0.1", "a network address"),
    ],
)
def test_personal_data_is_detected_by_its_format(value: str, what: str) -> None:
    assert [one.message for one in check_values("sales", "ItemPurchased", "note", [value])] == [
        f"ItemPurchased.note contained {what}."
    ]
    assert list(check_values("sales", "ItemPurchased", "note", ["nothing of the kind"])) == []
