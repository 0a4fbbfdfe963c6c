"""What an event declares, and what is checked before it is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from preterite import Component, Event, Justified, OwnKey, Saga
from preterite.contracts import DEPTH_MAX, Checked, is_deeper, key_fault, own_key_field, partition_of, wire_name
from preterite.errors import InvalidEvent, UsageError
from preterite.saga import encoded

ANNA = UUID("2ed3cd8e-b7c2-4557-9442-4f58939c201b")
AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)


class ItemPurchased(Event, key="customer_id"):
    customer_id: UUID
    purchased_at: datetime
    quantity: Annotated[int, Justified("only Sales knows how many")] = 1


class Renamed(Event, key="customer_id", name="crm.customer-moved", version=3):
    customer_id: UUID = msgspec.field(name="customerIdentifier")
    purchase_id: Annotated[UUID, OwnKey()]


class WithoutKey(Event):
    at: datetime


class WithParts(Event):
    parts: list[datetime]
    note: str | None = None


def test_an_event_is_frozen_and_keyword_only() -> None:
    event = ItemPurchased(customer_id=ANNA, purchased_at=AT)

    with pytest.raises(AttributeError):
        event.quantity = 2  # pyright: ignore[reportAttributeAccessIssue] - that is the test
    with pytest.raises(TypeError):
        ItemPurchased(ANNA, AT)  # pyright: ignore[reportCallIssue] - that is the test


def test_the_wire_name_is_component_and_class_or_the_chosen_word() -> None:
    assert wire_name(ItemPurchased, "sales") == "sales.ItemPurchased"
    assert wire_name(Renamed, "sales") == "crm.customer-moved"
    assert Renamed.__contract__.version == 3


class Colour(Enum):
    RED = "red"


class Floor(IntEnum):
    FIRST = 1


class Side(str, Enum):  # noqa: UP042 - its str() differs from a StrEnum's
    LEFT = "left"


class KeyedByChoice(Event, key="choice"):
    choice: Colour | Floor | None


class KeyedByText(Event, key="name"):
    name: str


class KeyedBySide(Event, key="side"):
    side: Side


def test_the_key_of_an_enum_is_its_value() -> None:
    choices = [KeyedByChoice(choice=Colour.RED), KeyedByChoice(choice=Floor.FIRST), KeyedBySide(side=Side.LEFT)]

    assert [Checked(type(event)).key_of(event) for event in choices] == ["red", "1", "left"]


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidEvent, match=r"^KeyedByChoice.choice is None, and it is the key"):
        Checked(KeyedByChoice).key_of(KeyedByChoice(choice=None))


def test_a_key_with_nul_is_refused() -> None:
    with pytest.raises(InvalidEvent, match=r"^KeyedByText.name contains NUL, and it is the key"):
        Checked(KeyedByText).key_of(KeyedByText(name="a\0b"))


@pytest.mark.parametrize(("character", "fits"), [("a", 1_024), ("é", 512), ("😀", 256)])
def test_a_key_that_no_index_holds_is_refused(character: str, fits: int) -> None:
    key = character * fits

    assert Checked(KeyedByText).key_of(KeyedByText(name=key)) == key
    with pytest.raises(InvalidEvent, match=r"^KeyedByText.name has over 1,024 bytes, and it is the key"):
        Checked(KeyedByText).key_of(KeyedByText(name=key + character))


def test_a_subclass_inherits_the_key_and_may_replace_it() -> None:
    class Inherits(ItemPurchased):
        at: datetime

    class InheritsThroughTwo(Inherits, name="sales.Other", version=2):
        pass

    class Replaces(Inherits, key="at"):
        pass

    assert [one.__contract__.key for one in (Inherits, InheritsThroughTwo, Replaces)] == [
        "customer_id",
        "customer_id",
        "at",
    ]
    assert (Inherits.__contract__.name, Inherits.__contract__.version) == (None, 1)


def test_a_key_that_is_no_field_is_a_fault() -> None:
    class Broken(Event, key="customer"):
        customer_id: UUID

    assert key_fault(ItemPurchased) is None
    assert key_fault(WithoutKey) is None
    assert key_fault(Broken) == "Broken names 'customer' as its key, but has no such field; fields: customer_id."


class Mixed(Enum):
    ONE = 1
    TWO = "two"


UNREADABLE: list[Any] = [Mixed, list[int] | tuple[int, ...], str | datetime, Literal[1.5], Self, "Nowhere"]


@pytest.mark.parametrize("hint", UNREADABLE, ids=str)
def test_a_field_that_cannot_be_read_back_is_refused_where_its_component_is_declared(hint: Any) -> None:
    sent = type("Sent", (Event,), {"__annotations__": {"sent": hint}, "__module__": __name__})

    with pytest.raises(UsageError, match=r"^Sent has a field of a type that cannot be read back from a message: "):
        Component("sales", publishes=[sent])


def test_the_own_key_is_found() -> None:
    assert own_key_field(Renamed) == "purchase_id"
    assert own_key_field(ItemPurchased) is None


@pytest.mark.parametrize(
    ("key", "partitions", "partition"),
    [
        ("2ed3cd8e-b7c2-4557-9442-4f58939c201b", 8, 7),
        ("57cbe59c-6881-4e5d-84a5-3264e2252ac2", 8, 5),
        ("", 8, 4),
        ("straße", 8, 4),
        ("2ed3cd8e-b7c2-4557-9442-4f58939c201b", 1024, 831),
    ],
)
def test_the_partition_of_a_key_never_changes(key: str, partitions: int, partition: int) -> None:
    """First 8 bytes of SHA-256 of the key's text, modulo the partitions: part of the wire contract."""
    assert partition_of(key, partitions) == partition


@given(some.text(), some.integers(1, 1024))
def test_every_key_has_a_partition(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@given(some.uuids(), some.datetimes(timezones=some.just(UTC)), some.integers(-(2**63), 2**63 - 1))
def test_an_event_reads_back_as_it_was_written(customer: UUID, at: datetime, quantity: int) -> None:
    checked = Checked(ItemPurchased)
    event = ItemPurchased(customer_id=customer, purchased_at=at, quantity=quantity)

    assert checked.decode(checked.encode(event)) == event


def test_an_event_with_other_wire_names_reads_back() -> None:
    checked = Checked(Renamed)
    event = Renamed(customer_id=ANNA, purchase_id=ANNA)

    assert b'"customerIdentifier"' in checked.encode(event)
    assert checked.decode(checked.encode(event)) == event
    assert checked.key_of(event) == str(ANNA)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"customer_id": str(ANNA)}, "ItemPurchased.customer_id must be UUID, not str"),
        ({"purchased_at": "2013-01-17"}, "ItemPurchased.purchased_at must be datetime, not str"),
        ({"purchased_at": AT.replace(tzinfo=None)}, "ItemPurchased.purchased_at is a time without zone"),
        ({"quantity": 1.5}, "ItemPurchased.quantity must be int, not float"),
        ({"quantity": True}, "ItemPurchased.quantity must be int, not bool"),
        ({"quantity": Decimal(1)}, "ItemPurchased.quantity must be int, not Decimal"),
        ({"customer_id": None}, "ItemPurchased.customer_id must be UUID, not NoneType"),
    ],
)
def test_a_value_of_another_type_is_refused_before_it_is_written(changed: dict[str, object], says: str) -> None:
    fields: dict[str, object] = {"customer_id": ANNA, "purchased_at": AT, **changed}

    with pytest.raises(InvalidEvent, match=says):
        Checked(ItemPurchased).encode(ItemPurchased(**fields))  # pyright: ignore[reportArgumentType]


def test_richer_fields_are_checked_by_reading_them_back() -> None:
    checked = Checked(WithParts)

    assert checked.decode(checked.encode(WithParts(parts=[AT], note=None))) == WithParts(parts=[AT])
    with pytest.raises(InvalidEvent, match="time without zone"):
        checked.encode(WithParts(parts=[AT.replace(tzinfo=None)]))
    with pytest.raises(InvalidEvent, match="Expected `str \\| null`"):
        checked.encode(WithParts(parts=[], note=5))  # pyright: ignore[reportArgumentType]


class Window(msgspec.Struct, frozen=True):
    opens: datetime


class Planned(Event):
    at: datetime | None
    all: Annotated[list[datetime], Justified("when")]
    by_name: Annotated[dict[str, datetime], Justified("when")]
    window: Annotated[Window, Justified("when")]


class Watch(Saga, by="watch_id"):
    watch_id: UUID
    since: datetime | None = None


ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")]
# Hours in which clocks change in one of these zones; the second of each pair is the hour that is skipped.
CHANGES = [datetime(2024, 10, 27, 2), datetime(2024, 3, 31, 2), datetime(2024, 11, 3, 1), datetime(2024, 3, 10, 2)]


@given(some.sampled_from(CHANGES), some.integers(0, 59), some.sampled_from([0, 1]), some.sampled_from(ZONES))
def test_a_time_reads_back_as_the_same_instant_in_any_hour_of_any_zone(
    hour: datetime, minute: int, fold: int, zone: ZoneInfo
) -> None:
    at = hour.replace(minute=minute, fold=fold, tzinfo=zone)
    planned = Checked(Planned)
    event = Planned(at=at, all=[at], by_name={"a": at}, window=Window(at))

    read = planned.decode(planned.encode(event))
    state = msgspec.json.decode(encoded(Watch(watch_id=ANNA, since=at)), type=Watch)

    assert isinstance(read, Planned)
    assert read.at is not None
    assert {one.timestamp() for one in (read.at, *read.all, read.by_name["a"])} == {at.timestamp()}
    assert state.since is not None
    assert state.since.timestamp() == at.timestamp()


class Measured(Event):
    grams: Annotated[float, Justified("only the scale knows")] = 0.0
    label: Annotated[str, Justified("only the scale knows")] = ""
    at: datetime = AT


class NowhereZone(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("measured", "says"),
    [
        (Measured(grams=float("nan")), "Measured.grams is nan, which is no number in JSON"),
        (Measured(grams=float("-inf")), "Measured.grams is -inf, which is no number in JSON"),
        (Measured(label="\ud800"), "Measured is no JSON: .* surrogates not allowed"),
        (Measured(at=AT.replace(tzinfo=NowhereZone())), "Measured.at is a time without zone"),
        (Measured(at=AT.replace(tzinfo=timezone(timedelta(seconds=3208)))), "not whole minutes from UTC"),
    ],
)
def test_a_value_that_could_not_be_read_back_is_refused_before_it_is_written(measured: Measured, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        Checked(Measured).encode(measured)


def test_a_reader_ignores_unknown_fields_and_fills_missing_ones_with_their_default() -> None:
    document = f'{{"customer_id": "{ANNA}", "purchased_at": "2013-01-17T13:37:00Z", "colour": "red"}}'.encode()

    assert Checked(ItemPurchased).decode(document) == ItemPurchased(customer_id=ANNA, purchased_at=AT)


class DocumentFiled(Event):
    document: Any = None


def nested(depth: int, shape: str) -> Any:
    value: Any = 1
    for level in range(depth):
        value = {"a": value} if shape == "objects" or (shape == "both" and level % 2) else [value]
    return value


@pytest.mark.parametrize("shape", ["lists", "objects", "both"])
@pytest.mark.parametrize("used", [0, 300, 700])
def test_the_depth_that_is_published_is_the_same_whatever_the_stack(shape: str, used: int) -> None:
    def deeper(frames: int, depth: int) -> bytes:
        if frames:
            return deeper(frames - 1, depth)
        return Checked(DocumentFiled).encode(DocumentFiled(document=nested(depth, shape)))

    body = deeper(used, DEPTH_MAX - 1)
    assert Checked(DocumentFiled).decode(body) == DocumentFiled(document=nested(DEPTH_MAX - 1, shape))
    for depth in (DEPTH_MAX, 200, 991, 5_000, 100_000):
        with pytest.raises(InvalidEvent):
            deeper(used, depth)


@given(some.binary(max_size=40).map(lambda text: msgspec.json.encode([text.decode("latin-1")] * 3)))
def test_brackets_in_texts_have_no_depth(document: bytes) -> None:
    assert not is_deeper(document, 1)
    assert is_deeper(b"[" + document + b"]", 1)


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999999", "1E-999999999", "9" * 101])
def test_a_decimal_that_nothing_can_be_counted_with_is_refused_wherever_it_is(number: str) -> None:
    class Priced(Event):
        amount: Decimal = Decimal(1)
        amounts: tuple[Decimal, ...] = ()

    for event in (Priced(amount=Decimal(number)), Priced(amounts=(Decimal(number),))):
        with pytest.raises(InvalidEvent):
            Checked(Priced).encode(event)
