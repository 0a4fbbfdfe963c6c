"""What stands inside a field, in every form that msgspec reads: what cannot be decoded is never called compatible."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID, uuid4

import msgspec
import pytest

from preterite import Component, Event, System
from preterite.contracts import Checked, MessageMeta
from preterite.errors import UsageError
from preterite.evolution import lock
from preterite.evolution.compatibility import compare
from preterite.evolution.lock import Lock
from preterite.evolution.shapes import shape_of

Kind = TypeVar("Kind")
Sku = NewType("Sku", str)


@dataclass
class Line:
    pence: int


@dataclass
class LineWithCount(Line):
    count: int = 1


@dataclass
class LineThatNeedsCount(Line):
    count: int


class Pair(NamedTuple):
    pence: int


class PairWithCount(NamedTuple):
    pence: int
    added: int = 1


class Document(TypedDict):
    pence: int
    count: NotRequired[int]


class Plain(msgspec.Struct):
    pence: int


class Card(msgspec.Struct, tag="card"):
    number: int


class Bank(msgspec.Struct, tag="bank"):
    iban: int


class BankWithCode(msgspec.Struct, tag="bank"):
    iban: int
    code: int


class Cash(msgspec.Struct, tag="cash"):
    pence: int


class Row(msgspec.Struct, array_like=True):
    pence: int
    count: int = 1


class OtherRow(msgspec.Struct, array_like=True):
    count: str
    pence: int = 1


class LongerRow(msgspec.Struct, array_like=True):
    pence: int
    count: int = 1
    more: int = 2


class RowOfTwo(msgspec.Struct, array_like=True):
    pence: int
    count: int


class TaggedRow(msgspec.Struct, array_like=True, tag="row"):
    pence: int


class Box(msgspec.Struct, Generic[Kind]):
    content: Kind


class Tree(msgspec.Struct):
    pence: int
    left: Tree | None = None


class Forest(msgspec.Struct):
    pence: int
    left: list[Forest] = []


class Ring(msgspec.Struct):
    pence: int
    left: Link | None = None


class Link(msgspec.Struct):
    pence: int
    left: Ring | None = None


VALUES: dict[str, tuple[Any, list[Any]]] = {
    "number": (int, [1]),
    "text": (str, ["a"]),
    "distinct text": (Sku, ["a"]),
    "number or text": (int | str, [1, "a"]),
    "word": (Literal["a", "b"], ["a", "b"]),
    "word or nothing": (Literal["a", None], ["a", None]),
    "nothing": (Literal[None], [None]),
    "dataclass": (Line, [Line(1)]),
    "dataclass with count": (LineWithCount, [LineWithCount(1, 2)]),
    "dataclass that needs count": (LineThatNeedsCount, [LineThatNeedsCount(1, 2)]),
    "named tuple": (Pair, [Pair(1)]),
    "named tuple with count": (PairWithCount, [PairWithCount(1, 2)]),
    "typed dictionary": (Document, [{"pence": 1}, {"pence": 1, "count": 2}]),
    "struct": (Plain, [Plain(1)]),
    "tagged": (Card, [Card(1)]),
    "other tag": (Bank, [Bank(1)]),
    "alternatives": (Card | Bank, [Card(1), Bank(2)]),
    "more alternatives": (Card | Bank | Cash, [Card(1), Bank(2), Cash(3)]),
    "alternatives of which one changed": (Card | BankWithCode, [Card(1), BankWithCode(2, 3)]),
    "row": (Row, [Row(1, 2)]),
    "other row": (OtherRow, [OtherRow("a", 2)]),
    "longer row": (LongerRow, [LongerRow(1, 2, 3)]),
    "row of two": (RowOfTwo, [RowOfTwo(1, 2)]),
    "tagged row": (TaggedRow, [TaggedRow(1)]),
    "box of a number": (Box[int], [Box(1)]),
    "box of a text": (Box[str], [Box("a")]),
    "tree": (Tree, [Tree(1, Tree(2, Tree(3)))]),
    "forest": (Forest, [Forest(1, [Forest(2)])]),
    "ring": (Ring, [Ring(1, Link(2, Ring(3)))]),
    "numbers": (list[int], [[1]]),
    "dictionary": (dict[str, int], [{"a": 1}]),
    "dictionary by numbers": (dict[int, int], [{1: 1}]),
    "any dictionary": (dict, [{"a": "b"}]),
}


def event(kind: Any) -> type[Event]:
    namespace = {"__annotations__": {"id": UUID, "x": kind}, "__module__": __name__}
    return MessageMeta("Done", (Event,), namespace, key="id")  # pyright: ignore[reportReturnType]


def documents(name: str) -> list[bytes]:
    kind, values = VALUES[name]
    made: Any = event(kind)
    return [Checked(made).encode(made(id=UUID(int=1), x=value)) for value in values]


def is_read(written: str, read: str) -> bool:
    decode = Checked(event(VALUES[read][0])).decode
    for document in documents(written):
        try:
            decode(document)
        except msgspec.ValidationError:
            return False
    return True


def broken(old: str, new: str) -> set[str]:
    before, after = (shape_of(event(VALUES[name][0]), "sales") for name in (old, new))
    return {affected for affected, _ in compare(before, after).problems}


def test_what_cannot_be_decoded_is_never_called_compatible() -> None:
    missed = [
        (old, new, affected)
        for old, new in permutations(VALUES, 2)
        for written, read, affected in ((new, old, "old readers"), (old, new, "stored events"))
        if not is_read(written, read) and affected not in broken(old, new)
    ]

    assert missed == []


BOTH = {"old readers", "stored events"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("dataclass", "dataclass with count", set[str]()),
        ("dataclass", "struct", set[str]()),
        ("typed dictionary", "dataclass", set[str]()),
        ("dataclass", "dataclass that needs count", {"stored events"}),
        ("named tuple", "named tuple with count", {"old readers"}),
        ("struct", "tagged", BOTH),
        ("alternatives", "more alternatives", {"old readers"}),
        ("alternatives", "alternatives of which one changed", {"stored events"}),
        ("row", "longer row", set[str]()),
        ("row", "row of two", set[str]()),
        ("word", "word or nothing", BOTH),
        ("text", "distinct text", set[str]()),
        ("box of a number", "box of a text", BOTH),
        ("dictionary by numbers", "dictionary", {"old readers"}),
        ("any dictionary", "dictionary", {"stored events"}),
    ],
)
def test_a_change_inside_breaks_whom_it_breaks_and_nobody_else(old: str, new: str, expected: set[str]) -> None:
    assert broken(old, new) == expected


def test_an_alternative_that_changed_is_compared_with_the_one_of_its_tag() -> None:
    old, new = (
        shape_of(event(VALUES[one][0]), "sales") for one in ("alternatives", "alternatives of which one changed")
    )

    assert [one.message for _, one in compare(old, new).problems] == ["x.code is required and is not written."]


@pytest.mark.parametrize("name", VALUES)
def test_every_shape_is_read_back_from_the_file_and_has_not_changed(name: str, tmp_path: Path) -> None:
    system = System("shop", [Component("sales", publishes=[event(VALUES[name][0])])])
    lock.save(tmp_path / lock.FILE, lock.extended(system, Lock()))

    assert lock.changes(system, lock.load(tmp_path / lock.FILE)) == []


class Made(Event, key="id"):
    id: UUID = msgspec.field(default_factory=uuid4)
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    ids: tuple[UUID, ...] = ()


def test_a_default_that_is_made_anew_each_time_is_no_change_of_the_contract(tmp_path: Path) -> None:
    system = System("shop", [Component("sales", publishes=[Made])])
    lock.save(tmp_path / lock.FILE, lock.extended(system, Lock()))
    kept = lock.load(tmp_path / lock.FILE)

    assert lock.changes(system, kept) == []
    assert {name: one.default for name, one in shape_of(Made, "sales").fields.items()} == {
        "id": None, "at": None, "ids": "[]",
    }  # fmt: skip


def test_a_type_that_cannot_be_part_of_a_contract_is_named_with_its_event() -> None:
    with pytest.raises(UsageError, match=r"^Done: a field of type Raw cannot be part of a contract\.$"):
        shape_of(event(msgspec.Raw), "sales")
