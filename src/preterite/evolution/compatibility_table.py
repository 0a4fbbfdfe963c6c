"""The table of typical changes of a field, with the result of comparing their shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from preterite.evolution.compatibility import compare
from preterite.evolution.shapes import Field, Shape

HEADER = ("change of a field", "old readers", "stored events", "result")


class Typical(NamedTuple):
    """A change of one field; None if it does not exist before or after."""

    what: str
    old: Field | None
    new: Field | None


TYPICAL = (
    Typical("an optional field is added", None, Field("int", True)),
    Typical("a required field is added", None, Field("uuid")),
    Typical("an optional field is removed", Field("int", True), None),
    Typical("a required field is removed, or renamed", Field("uuid"), None),
    Typical("a required field becomes optional", Field("int"), Field("int", True)),
    Typical("an optional field becomes required", Field("int", True), Field("int")),
    Typical("a default changes", Field("int", True, "1"), Field("int", True, "2")),
    Typical("a type is widened: int to float", Field("int"), Field("float")),
    Typical("a type is narrowed: str to uuid", Field("str"), Field("uuid")),
    Typical("another type: int to str", Field("int"), Field("str")),
    Typical("a type becomes nullable", Field("int"), Field({"one of": ["int", "null"]})),
    Typical("a value becomes a list", Field("uuid"), Field({"list": "uuid"})),
    Typical("a list becomes a set", Field({"list": "uuid"}), Field({"set": "uuid"})),
    Typical("an enumeration gains a value", Field({"enum": ["s", "m"]}), Field({"enum": ["s", "m", "l"]})),
    Typical(
        "an enumeration with a default for unknown values gains a value",
        Field({"open enum": ["s", "m"]}),
        Field({"open enum": ["s", "m", "l"]}),
    ),
    Typical("an enumeration loses a value", Field({"enum": ["s", "m"]}), Field({"enum": ["s"]})),
    Typical("a limit is tightened", Field({"str": {"max_length": 9}}), Field({"str": {"max_length": 3}})),
    Typical("a limit is loosened", Field({"str": {"max_length": 3}}), Field({"str": {"max_length": 9}})),
    Typical(
        "a struct inside gains an optional field",
        Field({"struct": {"pence": "int"}}),
        Field({"struct": {"pence": "int", "currency": {"optional": "str"}}}),
    ),
    Typical(
        "a struct inside gains a required field",
        Field({"struct": {"pence": "int"}}),
        Field({"struct": {"pence": "int", "currency": "str"}}),
    ),
)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Each change, whether old readers can read new events, whether stored events can be read, and the result."""
    for change in TYPICAL:
        old, new = (Shape("e", 1, None, {} if field is None else {"x": field}) for field in (change.old, change.new))
        verdict = compare(old, new)
        broken = {affected for affected, _ in verdict.problems}
        rules = sorted({one.rule for _, one in verdict.problems})
        yield (
            change.what,
            "cannot read" if "old readers" in broken else "can read",
            "unreadable" if "stored events" in broken else "readable",
            "compatible" if verdict.is_compatible else f"incompatible: {', '.join(rules)}",
        )
