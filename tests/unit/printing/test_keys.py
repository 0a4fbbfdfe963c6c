"""Promise 4, order per key: keys that are equal are one key, whatever their spelling, and different ones never are."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NewType, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from preterite import Event, Justified
from preterite.contracts import Checked, key_fault, partition_of
from preterite.errors import InvalidEvent
from preterite.printing.keys import key_text

ANNA = UUID("2ed3cd8e-b7c2-4557-9442-4f58939c201b")
NOON = datetime(2013, 1, 17, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
CustomerId = NewType("CustomerId", UUID)


class Colour(Enum):
    RED = "red"
    BLUE = "1"


class Floor(IntEnum):
    GROUND = 0
    FIRST = 1


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Counted(int):
    def __str__(self) -> str:
        return f"number {int(self)}"


class OtherId(UUID):
    def __str__(self) -> str:
        return "another id"


def keyed_by(declared: Any) -> Any:
    """An event whose key is of this type."""
    namespace = {"__annotations__": {"k": declared}, "__module__": __name__}
    return cast(Any, type(Event))("Keyed", (Event,), namespace, key="k")


def at(clock: datetime, zone: tzinfo, fold: int) -> datetime:
    return clock.replace(tzinfo=zone, fold=fold)


ZONES = some.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kathmandu"), timezone(timedelta(hours=-11))])
CLOCKS = some.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
TIMES = some.builds(at, CLOCKS, ZONES, some.sampled_from([0, 1]))
WHOLE_TIMES = TIMES.filter(lambda at: not (at.utcoffset() or timedelta()) % timedelta(minutes=1))
DECIMALS = some.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
COUNTABLE = DECIMALS.filter(lambda value: int(value.as_tuple().exponent) >= -100 and value.adjusted() < 100)
NUMBERS = some.integers(-(2**63), 2**63 - 1) | some.booleans() | some.floats(-1e40, 1e40) | DECIMALS
SMALL_NUMBERS = some.integers(-3, 3) | some.booleans() | some.sampled_from([-0.0, 0.0, 1.0, 0.5, -2.0])
ALLOWED: list[tuple[Any, some.SearchStrategy[Any]]] = [
    (str, some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    (int, some.integers(-(2**63), 2**63 - 1)),
    (bool, some.booleans()),
    (float, some.floats(-1e40, 1e40).filter(lambda value: not value or abs(value) > 1e-200)),
    (Decimal, COUNTABLE),
    (UUID, some.uuids()),
    (datetime, WHOLE_TIMES),
    (date, some.dates()),
    (Colour, some.sampled_from(Colour)),
    (Floor, some.sampled_from(Floor)),
    (Side, some.sampled_from(Side)),
    (Literal["a", "b"], some.sampled_from(["a", "b"])),
    (Annotated[Decimal | None, Justified("its number")], COUNTABLE),
    (CustomerId, some.uuids()),
]


def spelled_otherwise(value: Any) -> list[Any]:
    """Values that are equal to this one, and are written otherwise."""
    match value:
        case bool():
            return [int(value), float(value), Decimal(int(value))]
        case int():
            return [Decimal(value), Decimal(value).scaleb(3).scaleb(-3), Counted(value), Decimal(f"{value}.000")]
        case float():
            return [Decimal(value), value if value else -value]
        case Decimal():
            sign, digits, exponent = value.as_tuple()
            assert isinstance(exponent, int)
            return [Decimal((sign, (*digits, 0, 0), exponent - 2)), value + 0 if value == 0 else value]
        case str():
            return [Shouting(value)]
        case UUID():
            return [OtherId(int=value.int)]
        case datetime():
            return [value.astimezone(zone) for zone in (UTC, BERLIN, timezone(timedelta(hours=5, minutes=45)))]
        case _:
            return []


@given(some.one_of([some.tuples(some.just(declared), values) for declared, values in ALLOWED]))
def test_equal_keys_are_one_key_also_after_they_were_read_back(case: tuple[Any, Any]) -> None:
    declared, value = case
    event_type = keyed_by(declared)
    assert key_fault(event_type) is None
    checked = Checked(event_type)
    event = event_type(k=value)
    read: Any = checked.decode(checked.encode(event))

    text = checked.key_of(event)

    assert text is not None
    assert checked.key_of(read) == text
    assert [key_text(other) for other in spelled_otherwise(value)] == [text] * len(spelled_otherwise(value))


@given(NUMBERS | SMALL_NUMBERS, NUMBERS | SMALL_NUMBERS)
def test_numbers_have_the_same_key_where_they_are_equal_and_nowhere_else(one: Any, other: Any) -> None:
    assert (key_text(one) == key_text(other)) == (one == other)


@given(some.integers(-5, 5), some.integers(-5, 5), some.integers(-1200, 1200), some.integers(-1200, 1200))
def test_numbers_of_any_size_have_the_same_key_where_they_are_equal(one: int, other: int, up: int, down: int) -> None:
    left, right = Decimal(f"{one}E{up}"), Decimal(f"{other}E{down}")

    assert (key_text(left) == key_text(right)) == (left == right)
    assert key_text(Decimal(f"{one}.{'0' * 1200}")) == key_text(one)


@given(TIMES, TIMES | some.just(NOON))
def test_times_have_the_same_key_where_they_are_the_same_instant_and_nowhere_else(
    one: datetime, other: datetime
) -> None:
    instants = [at.astimezone(UTC) for at in (one, other)]

    assert (key_text(one) == key_text(other)) == (instants[0] == instants[1])


def test_a_number_from_outside_is_not_written_out() -> None:
    assert key_text(Decimal("10E+999999998")) == "1E999999999"
    assert key_text(Decimal("-0E+999999998")) == "0"


def test_the_first_and_the_last_moment_have_a_key_in_every_zone() -> None:
    ends = [datetime.min, datetime.max]
    zones = [timezone(timedelta(hours=hours)) for hours in (-14, -13, 13, 14)]

    texts = {key_text(end.replace(tzinfo=zone)) for end in ends for zone in zones}

    assert len(texts) == len(ends) * len(zones)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ben", "ben"),
        ("1.0", "1.0"),
        (-17, "-17"),
        (ANNA, "2ed3cd8e-b7c2-4557-9442-4f58939c201b"),
        (NOON, "2013-01-17 12:00:00+00:00"),
        (NOON.astimezone(BERLIN), "2013-01-17 12:00:00+00:00"),
        (date(2013, 1, 17), "2013-01-17"),
        (Decimal("1E0"), "1"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+2"), "100"),
        (-0.0, "0"),
        (1e22, "10000000000000000000000"),
        (True, "1"),
        (Colour.RED, "red"),
        (Floor.FIRST, "1"),
        (Side.LEFT, "left"),
        (Shouting("ben"), "ben"),
    ],
)
def test_the_text_of_a_key_never_changes(value: object, text: str) -> None:
    """Part of the wire contract: the partition follows from it, and it stands in stored rows."""
    assert key_text(value) == text


def test_equal_keys_are_in_one_partition() -> None:
    keys = [Decimal("1"), Decimal("1.0"), Decimal("1E0")]

    assert len({partition_of(key_text(key), 64) for key in keys}) == 1


class Part(msgspec.Struct):
    n: int


class Id(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (bytes, "it may be a value of type bytes"),
        (list[str], "it may be a value of type list"),
        (dict[str, str], "it may be a value of type dict"),
        (tuple[str, str], "it may be a value of type tuple"),
        (Part, "it may be a value of type Part"),
        (Id, "it may be a value of type Id"),
        (Any, "it may be a value of type any"),
        (time, "it may be a value of type time"),
        (timedelta, "it may be a value of type timedelta"),
        (None, "it may be a value of type none"),
        (str | bytes | None, r"may not contain more than one|it may be a value of type bytes"),
        (str | int, "a text and another value of it could be the same key"),
        (Literal["1", 1], "a text and another value of it could be the same key"),
        (Colour | int, "a text and another value of it could be the same key"),
    ],
)
def test_a_type_whose_values_cannot_be_keys_is_refused_where_it_is_declared(declared: Any, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"^Keyed.k cannot be a key: .*({says})"):
        raise AssertionError(key_fault(keyed_by(declared)))


@pytest.mark.parametrize("value", [b"a", ["a"], ("a",), {"a": 1}, time(12), Part(n=1), object()])
def test_a_value_that_cannot_be_a_key_is_refused_where_it_is_published(value: object) -> None:
    with pytest.raises(InvalidEvent, match=r"cannot be a key; a key is a text, a number, a UUID.*Nothing was written"):
        key_text(value)
