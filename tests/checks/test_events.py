"""Names that say what has happened, and values that say more than they should."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from preterite.checks.events import meaning_of, observed
from preterite.checks.words import says_what_happened, suggestion

PAST = [
    "ItemPurchased",
    "InvoiceOverdue",
    "OverdueInvoicesPaid",
    "PriceSet",
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
]


@pytest.mark.parametrize("name", PAST)
def test_a_noun_and_what_has_happened_to_it(name: str) -> None:
    assert says_what_happened(name)


@pytest.mark.parametrize("name", NOT_PAST)
def test_orders_states_and_mere_things_say_nothing_of_the_kind(name: str) -> None:
    assert not says_what_happened(name)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("ShipOrder", "OrderShipped"),
        ("ItemPurchase", "ItemPurchased"),
        ("DeliverParcel", "ParcelDelivered"),
        ("BasketChanging", "BasketChanged"),
        ("PaymentState", "PaymentChanged"),
        ("Order", "OrderChanged"),
    ],
)
def test_a_better_name_is_suggested_and_is_one(name: str, better: str) -> None:
    assert suggestion(name) == better
    assert says_what_happened(better)


@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ([str(number) for number in (7, 3, 5, 4, 6)], "numbers that count"),
        ([f"2024-{number:04}" for number in range(5)], "numbers that count"),
        ([f"INV-{number}" for number in range(100, 106)], "numbers that count"),
        (["order-20240131-x", "order-20240201-y", "order-20240302-z", "order-20241231-q", "order-20240115-r"], "dates"),
        (["DE-axbq", "DE-qpls", "DE-mmnv", "DE-wwer", "DE-plok"], "the prefix 'DE-'"),
        ([str(UUID(int=number)) for number in range(9)], None),
        ([uuid4().hex for _ in range(9)], None),
        (["91827364", "10293847", "55667788", "99001122", "31415926"], None),
        (["axbq", "qpls", "mmnv", "wwer", "plok"], None),
        (["1", "2", "3"], None),
    ],
)
def test_what_can_be_read_out_of_identifiers(values: list[str], meaning: str | None) -> None:
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
def test_personal_data_is_known_by_its_shape(value: str, what: str) -> None:
    assert [one.sentence for one in observed("sales", "ItemPurchased", "note", [value])] == [
        f"ItemPurchased.note was seen to hold {what}."
    ]
    assert list(observed("sales", "ItemPurchased", "note", ["nothing of the kind"])) == []
