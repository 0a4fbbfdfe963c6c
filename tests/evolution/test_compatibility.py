"""Changes of a contract with their expected verdicts, each verified by encoding and decoding events."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast
from uuid import UUID, uuid4

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from msgspec import Meta
from support.tiers import sample

from preterite import Component, Event, System
from preterite.codecs import read_json, write_xml
from preterite.contracts import Checked, MessageMeta
from preterite.evolution.compatibility import REMEDIES, compare, find_problems
from preterite.evolution.lock import Lock, load, save
from preterite.evolution.shapes import Field, Shape, Type, arguments_of, kind_of, read, shape_of
from preterite.testing import started

OLD_READERS, STORED = "old readers", "stored events"
EXAMPLES = sample(10, 60)
BREAKING_TIMES = sample(30, 5)


class Size(enum.Enum):
    S = "s"
    M = "m"


class MoreSizes(enum.Enum):
    S = "s"
    M = "m"
    L = "l"


class OpenSize(enum.Enum):
    S = "s"
    M = "m"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> OpenSize:
        return cls.OTHER


class OpenMoreSizes(enum.Enum):
    S = "s"
    M = "m"
    L = "l"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> OpenMoreSizes:
        return cls.OTHER


class SizeInAnyCase(enum.Enum):
    S = "s"
    M = "m"

    @classmethod
    def _missing_(cls, value: object) -> SizeInAnyCase:
        return {"S": cls.S, "M": cls.M}[str(value)]


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


class OpenRank(enum.IntEnum):
    LOW = 1
    OTHER = 0

    @classmethod
    def _missing_(cls, value: object) -> OpenRank:
        return cls.OTHER


class Money(msgspec.Struct):
    pence: int


class MoneyWithCurrency(msgspec.Struct):
    pence: int
    currency: str = "GBP"


class MoneyThatNeedsCurrency(msgspec.Struct):
    pence: int
    currency: str


class StrictMoney(msgspec.Struct, forbid_unknown_fields=True):
    pence: int


class StrictMoneyWithCurrency(msgspec.Struct, forbid_unknown_fields=True):
    pence: int
    currency: str = "GBP"


class Change(NamedTuple):
    """A change of the field `x`, and what it breaks. A pair of annotation and default is an optional field."""

    what: str
    old: Any
    new: Any
    breaks: tuple[str, ...] = ()


NONE = object()
Small, Large = Annotated[int, Meta(ge=0, le=10)], Annotated[int, Meta(ge=0, le=100)]
Short, Long = Annotated[str, Meta(max_length=3)], Annotated[str, Meta(max_length=9)]
Sixes, Threes = Annotated[int, Meta(multiple_of=6)], Annotated[int, Meta(multiple_of=3)]
BOTH = (OLD_READERS, STORED)
CHANGES = (
    Change("nothing", UUID, UUID),
    Change("an optional field is added", NONE, (int, 1)),
    Change("a field that may be null is added", NONE, (UUID | None, None)),
    Change("a required field is added", NONE, UUID, (STORED,)),
    Change("an optional field is removed", (int, 1), NONE),
    Change("a required field is removed", UUID, NONE, (OLD_READERS,)),
    Change("a required field becomes optional", int, (int, 1), (OLD_READERS,)),
    Change("an optional field becomes required", (int, 1), int, (STORED,)),
    Change("another default", (int, 1), (int, 2)),
    Change("int to str", int, str, BOTH),
    Change("str to int", str, int, BOTH),
    Change("int to float", int, float, (OLD_READERS,)),
    Change("float to int", float, int, (STORED,)),
    Change("uuid to str", UUID, str, (OLD_READERS,)),
    Change("str to uuid", str, UUID, (STORED,)),
    Change("datetime to str", datetime, str, (OLD_READERS,)),
    Change("datetime to date", datetime, date, BOTH),
    Change("duration to str", timedelta, str, (OLD_READERS,)),
    Change("bool to int", bool, int, BOTH),
    Change("int to bool", int, bool, BOTH),
    Change("decimal to str", Decimal, str, (OLD_READERS,)),
    Change("decimal to float", Decimal, float, (STORED,)),
    Change("int to decimal", int, Decimal, (OLD_READERS,)),
    Change("bytes to str", bytes, str, (OLD_READERS,)),
    Change("anything to int", Any, int, (STORED,)),
    Change("int to anything", int, Any, (OLD_READERS,)),
    Change("may be null", int, int | None, (OLD_READERS,)),
    Change("may be null no more", int | None, int, (STORED,)),
    Change("one more kind", int | None, int | str | None, (OLD_READERS,)),
    Change("one kind less", int | str, int, (STORED,)),
    Change("another kind", int | None, str | None, BOTH),
    Change("a list of it", UUID, list[UUID], BOTH),
    Change("a list of another type", list[UUID], list[int], BOTH),
    Change("a list of a wider type", list[int], list[float], (OLD_READERS,)),
    Change("a list becomes a set", list[UUID], frozenset[UUID]),
    Change("a set becomes a tuple of any length", set[int], tuple[int, ...]),
    Change("a pair becomes a list", tuple[int, int], list[int], (OLD_READERS,)),
    Change("a pair becomes three", tuple[int, int], tuple[int, int, int], BOTH),
    Change("a pair of other types", tuple[int, str], tuple[int, int], BOTH),
    Change("a list must hold something", list[int], Annotated[list[int], Meta(min_length=1)], (STORED,)),
    Change("a list need not hold anything", Annotated[list[int], Meta(min_length=1)], list[int], (OLD_READERS,)),
    Change("values of a dict change", dict[str, int], dict[str, str], BOTH),
    Change("values of a dict widen", dict[str, int], dict[str, float], (OLD_READERS,)),
    Change("keys of a dict widen", dict[UUID, int], dict[str, int], (OLD_READERS,)),
    Change("an enumeration grows", Size, MoreSizes, (OLD_READERS,)),
    Change("an enumeration shrinks", MoreSizes, Size, (STORED,)),
    Change("an enumeration becomes a string", Size, str, (OLD_READERS,)),
    Change("a string becomes an enumeration", str, Size, (STORED,)),
    Change("an open enumeration grows", OpenSize, OpenMoreSizes),
    Change("an open enumeration shrinks", OpenMoreSizes, OpenSize),
    Change("an enumeration becomes open", Size, OpenSize, (OLD_READERS,)),
    Change("an enumeration is no longer open", OpenSize, MoreSizes, (STORED,)),
    Change("an enumeration that is read in any case grows", SizeInAnyCase, MoreSizes, (OLD_READERS,)),
    Change("an open enumeration may be null", OpenSize, OpenMoreSizes | None, (OLD_READERS,)),
    Change("open enumerations in a list grow", list[OpenSize], list[OpenMoreSizes]),
    Change("an open enumeration becomes a string", OpenSize, str),
    Change("a uuid becomes an open enumeration", UUID, OpenSize, (OLD_READERS,)),
    Change("an enumeration of numbers becomes open", Rank, OpenRank, (OLD_READERS,)),
    Change("an open enumeration of numbers becomes one of strings", OpenRank, OpenSize, BOTH),
    Change("an int becomes an open enumeration", int, OpenRank),
    Change("literals grow", Literal["a"], Literal["a", "b"], (OLD_READERS,)),
    Change("literals become an enumeration of the same", Literal["s", "m"], Size),
    Change("literals become numbers", Literal["a"], Literal[1], BOTH),
    Change("numbers of literals become an int", Literal[1, 2], int, (OLD_READERS,)),
    Change("numbers of literals become a float", Literal[1, 2], float, (OLD_READERS,)),
    Change("a range widens", Small, Large, (OLD_READERS,)),
    Change("a range narrows", Large, Small, (STORED,)),
    Change("a range goes", Small, int, (OLD_READERS,)),
    Change("a range comes", int, Small, (STORED,)),
    Change("at least becomes more than", Annotated[int, Meta(ge=1)], Annotated[int, Meta(gt=1)], (STORED,)),
    Change("more than becomes at least", Annotated[int, Meta(gt=1)], Annotated[int, Meta(ge=1)], (OLD_READERS,)),
    Change("less than becomes at most", Annotated[int, Meta(lt=9)], Annotated[int, Meta(le=9)], (OLD_READERS,)),
    Change("a length widens", Short, Long, (OLD_READERS,)),
    Change("a length narrows", Long, Short, (STORED,)),
    Change("multiples of less", Sixes, Threes, (OLD_READERS,)),
    Change("a range under another type", Small, Annotated[float, Meta(ge=0, le=10)], (OLD_READERS,)),
    Change("a struct gains an optional field", Money, MoneyWithCurrency),
    Change("a struct gains a required field", Money, MoneyThatNeedsCurrency, (STORED,)),
    Change("a struct loses a required field", MoneyThatNeedsCurrency, Money, (OLD_READERS,)),
    Change("a strict struct gains a field", StrictMoney, StrictMoneyWithCurrency, (OLD_READERS,)),
    Change("a struct becomes strict", Money, StrictMoney),
    Change("a wider struct becomes strict", MoneyWithCurrency, StrictMoney, (STORED,)),
    Change("an optional struct gains a field", Money | None, MoneyWithCurrency | None),
    Change("a struct becomes a dict", Money, dict[str, int], (OLD_READERS,)),
    Change("structs in a list gain a required field", list[Money], list[MoneyThatNeedsCurrency], (STORED,)),
)  # fmt: skip


def event(field: Any) -> type[Event]:
    """An event with a key and the field `x`."""
    namespace: dict[str, Any] = {"__annotations__": {"id": UUID}, "__module__": __name__}
    if field is not NONE:
        with_default = cast(tuple[Any, ...], field if isinstance(field, tuple) else (field,))
        namespace["__annotations__"]["x"] = with_default[0]
        if len(with_default) > 1:
            namespace["x"] = with_default[1]
    return MessageMeta("Done", (Event,), namespace, key="id")  # pyright: ignore[reportReturnType]


def documents(shape: Shape) -> st.SearchStrategy[dict[str, Any]]:
    """All documents of a shape; optional fields may be missing."""
    required = {name: values(one.type) for name, one in shape.fields.items() if not one.optional}
    optional = {name: values(one.type) for name, one in shape.fields.items() if one.optional}
    return st.fixed_dictionaries(required, optional=optional)


def values(one: Type) -> st.SearchStrategy[Any]:
    """The JSON values of a type."""
    word, held = kind_of(one), arguments_of(one)
    plain: dict[str, st.SearchStrategy[Any]] = {
        "any": st.one_of(st.integers(-9, 9), st.text(max_size=3), st.none(), st.booleans()),
        "null": st.none(),
        "bool": st.booleans(),
        "uuid": st.uuids().map(str),
        "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99).map(str),
        "date": st.dates().map(str),
        "datetime": st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
        "duration": st.integers(0, 9).map(lambda hours: f"PT{hours}H"),
        "bytes": st.sampled_from(["", "YQ==", "YWI="]),
        "float": st.floats(-50, 50).map(lambda number: number + 0.25),
    }
    if word in plain and not held:
        return plain[word]
    if word in ("int", "float"):
        low = max(held.get("ge", -1000), held.get("gt", -1001) + 1)
        high = min(held.get("le", 1000), held.get("lt", 1001) - 1)
        step = held.get("multiple_of", 1)
        numbers = st.integers(low, high).map(lambda number: number // step * step)
        return numbers if word == "int" else numbers.map(float)
    if word == "str":
        return st.text(min_size=held.get("min_length", 0), max_size=held.get("max_length", 12))
    if word in ("list", "set"):
        limited = cast(dict[str, Any], held if isinstance(held, dict) and "of" in held else {"of": held})
        return st.lists(values(limited["of"]), min_size=limited.get("min_length", 0), max_size=4)
    if word == "tuple":
        return st.tuples(*(values(part) for part in held)).map(list)
    if word == "dict":
        return st.dictionaries(values(held["key"]), values(held["value"]), max_size=3)
    if word in ("struct", "strict struct"):
        return documents(Shape("", 1, None, {name: read(field) for name, field in held.items()}))
    if word == "one of":
        return st.one_of([values(part) for part in held])
    assert word in ("enum", "open enum"), word
    return st.sampled_from(held)


def is_read(writer: type[Event], reader: type[Event], document: dict[str, Any]) -> bool:
    """Whether the reader decodes what the writer encodes, with and without optional fields."""
    message = msgspec.json.decode(json.dumps(document), type=writer)
    for text in (msgspec.json.encode(message), json.dumps(document).encode()):
        try:
            msgspec.json.decode(text, type=reader)
        except msgspec.ValidationError:
            return False
    return True


@pytest.mark.parametrize("change", CHANGES, ids=[one.what for one in CHANGES])
def test_a_change_breaks_exactly_what_the_table_says(change: Change) -> None:
    old, new = event(change.old), event(change.new)
    before, after = shape_of(old, "sales"), shape_of(new, "sales")
    verdict = compare(before, after)

    assert {affected for affected, _ in verdict.problems} == set(change.breaks)
    assert verdict.is_compatible == (not change.breaks)
    for writer, reader, shape, affected in ((new, old, after, OLD_READERS), (old, new, before, STORED)):
        prove(writer, reader, documents(shape), breaks=affected in change.breaks)


def prove(writer: type[Event], reader: type[Event], written: st.SearchStrategy[Any], *, breaks: bool) -> None:
    """Encode and decode many events: all are read, or some are not."""
    settings = hypothesis.settings(
        max_examples=EXAMPLES * (BREAKING_TIMES if breaks else 1), database=None, derandomize=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
    )  # fmt: skip
    if breaks:
        # One is enough: it need not be the shortest.
        found = hypothesis.settings(settings, phases=[hypothesis.Phase.generate])
        hypothesis.find(written, lambda document: not is_read(writer, reader, document), settings=found)
        return

    @settings
    @hypothesis.given(written)
    def every(document: dict[str, Any]) -> None:
        assert is_read(writer, reader, document)

    every()


def test_the_table_is_long_enough_and_every_rule_has_a_remedy() -> None:
    assert len(CHANGES) >= 60
    assert len({one.what for one in CHANGES}) == len(CHANGES)
    assert all(remedy.endswith(".") for remedy in REMEDIES.values())


def test_a_change_of_the_key_is_incompatible() -> None:
    shape = shape_of(event(UUID), "sales")

    assert [one.rule for _, one in compare(shape, shape._replace(key="x")).problems] == ["contract-key"]


def test_compatible_steps_may_be_incompatible_together() -> None:
    """An optional field is removed and added with another type: each step is compatible, both together are not."""
    first, second, third = (shape_of(event(field), "sales") for field in ((int, 1), NONE, (str, "")))

    assert compare(first, second).is_compatible
    assert compare(second, third).is_compatible
    assert not compare(first, third).is_compatible
    assert [one.rule for one in find_problems(third, first)] == ["contract-type"]


def test_shapes_contain_names_on_the_wire() -> None:
    class Done(Event, key="customer_id"):
        customer_id: UUID = msgspec.field(name="customerIdentifier")

    shape = shape_of(Done, "sales")

    assert (shape.key, dict(shape.fields)) == ("customerIdentifier", {"customerIdentifier": Field("uuid")})


def notes(old: Any, new: Any) -> list[str]:
    verdict = compare(shape_of(event(old), "sales"), shape_of(event(new), "sales"))
    assert verdict.is_compatible
    return list(verdict.notes)


class Box(msgspec.Struct):
    size: str = "s"
    pence: int = 0


class OtherBox(msgspec.Struct):
    size: str = "m"
    pence: int = 0


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ((int, 1), (int, 2), "The default of x was 1 and is now 2:"),
        ((Size, Size.S), (Size, Size.M), 'The default of x was "s" and is now "m":'),
        ((int | None, None), (int | None, 0), "The default of x was null and is now 0:"),
        (Box, OtherBox, 'The default of x.size was "s" and is now "m":'),
        (list[Box | None], list[OtherBox | None], 'The default of x.size was "s" and is now "m":'),
        (OpenSize, OpenMoreSizes, "'l' of x was added; old readers read it as their default"),
        (OpenMoreSizes, OpenSize, "'l' of x was removed; it is read as the default"),
    ],
)
def test_what_stays_readable_and_means_something_else_is_noted(old: Any, new: Any, note: str) -> None:
    (found,) = notes(old, new)

    assert found.startswith(note)
    assert notes(old, old) == []


@pytest.mark.parametrize("field", [(int, 1), (Size, Size.S), Box, (list[int], []), (UUID | None, None), OpenSize])
def test_a_shape_in_the_file_is_the_shape(field: Any, tmp_path: Path) -> None:
    shape = shape_of(event(field), "sales")
    kept = Lock("shop", {shape.name: {1: (shape,)}})
    save(tmp_path / "contracts.lock", kept)

    assert load(tmp_path / "contracts.lock") == kept


def test_a_default_that_an_older_file_does_not_know_is_not_noted() -> None:
    shape = shape_of(event((int, 1)), "sales")
    older = shape._replace(fields={**shape.fields, "x": Field("int", True)})

    assert compare(older, shape).notes == ()


def test_a_field_that_was_renamed_may_keep_its_name_on_the_wire() -> None:
    class Done(Event, key="id"):
        id: UUID
        y: int

    old, new = shape_of(event(int), "sales"), shape_of(Done, "sales")
    (removed,) = [one for affected, one in compare(old, new).problems if affected == OLD_READERS]

    assert removed.message.endswith("keep the old one on the wire: y = msgspec.field(name='x').")


def test_a_field_that_becomes_optional_names_who_leaves_it_out() -> None:
    old, new = shape_of(event(int), "sales"), shape_of(event((int, 1)), "sales")
    ((_, problem),) = compare(old, new).problems

    written: Any = event((int, 1))
    done = written(id=UUID(int=1))
    assert "JSON in the log contains every field, XML (write_xml) leaves out" in problem.message
    assert b'"x":1' in Checked(written).encode(done)
    assert b"<x>" not in write_xml([done])


class Bought(Event, key="buyer", name="sales.Bought"):
    buyer: UUID = msgspec.field(name="customer_id")
    size: OpenSize = OpenSize.S


def test_a_renamed_field_and_an_unknown_value_are_read_from_the_log_and_from_documents() -> None:
    sales, seen = Component("sales", publishes=[Bought]), list[Bought]()

    @sales.handles(Bought)
    def note(event: Bought) -> None:
        seen.append(event)

    one = Bought(buyer=UUID(int=1))
    document = b'{"type": "sales.Bought", "data": {"customer_id": "%s", "size": "huge"}}' % str(one.buyer).encode()
    (read,) = read_json(document, {"sales.Bought": Bought}, uuid4)
    with started(System("shop", [sales])) as shop:
        with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(one)
            unit_of_work.publish(read)  # pyright: ignore[reportArgumentType]
        shop.settle()

    assert seen == [one, Bought(buyer=one.buyer, size=OpenSize.OTHER)]
