"""What is compatible with what, as a table: typical changes of a field, judged by the same rules as any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from preterite.evolution.compatibility import judge
from preterite.evolution.shapes import Field, Shape


class Typical(NamedTuple):
    """A change of one field; nothing where it is not there."""

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
    Typical("a type is widened: int to float", Field("int"), Field("float")),
    Typical("a type is narrowed: str to uuid", Field("str"), Field("uuid")),
    Typical("another type: int to str", Field("int"), Field("str")),
    Typical("may be null as well", Field("int"), Field({"one of": ["int", "null"]})),
    Typical("one becomes a list", Field("uuid"), Field({"list": "uuid"})),
    Typical("a list becomes a set", Field({"list": "uuid"}), Field({"set": "uuid"})),
    Typical("an enumeration gains a value", Field({"enum": ["s", "m"]}), Field({"enum": ["s", "m", "l"]})),
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
    """Each change: whether older readers read what is written now, newer ones what is stored, and the verdict."""
    for one in TYPICAL:
        old, new = (Shape("e", 1, None, {} if field is None else {"x": field}) for field in (one.old, one.new))
        verdict = judge(old, new)
        broken = {whom for whom, _ in verdict.faults}
        rules = sorted({fault.rule for _, fault in verdict.faults})
        yield (
            one.what,
            "break" if "old readers" in broken else "fine",
            "break" if "stored events" in broken else "fine",
            "allowed" if verdict.is_allowed else f"refused: {', '.join(rules)}",
        )
