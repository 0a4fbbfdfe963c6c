"""Whether events that are written in one shape can be read in another; a change is compared in both directions.

Readers are tolerant: they ignore unknown fields, and use the default of a missing optional field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from preterite.evolution.shapes import STRUCTS, Field, Shape, Type, arguments_of, kind_of, read, type_text

Rule = Literal[
    "contract-field-required", "contract-field-removed", "contract-type", "contract-values", "contract-limits",
    "contract-key", "contract-removed", "contract-strict", "contract-upcast",
]  # fmt: skip
Affected = Literal["old readers", "stored events", "all readers"]
REMEDIES: Mapping[Rule, str] = {
    "contract-field-required": "Give the field a default, so that it may be missing in stored events.",
    "contract-field-removed": "Keep the field as long as programs read it, or publish a new event without it.",
    "contract-type": "Add a field of the new type beside the old one, or a new version with upcasts.",
    "contract-values": "Give the enumeration a default for values that it does not know, and deploy its readers before "
    "a value is written; or add a new field for it.",
    "contract-limits": "Change the limits in a new version, with upcasts in its subscribers.",
    "contract-key": "Publish a new event with the other key.",
    "contract-removed": "Keep the declaration until no log contains the event: preterite contracts lock --retire NAME.",
    "contract-upcast": "Write an upcast from the older version in each component that subscribes.",
    "contract-strict": "Read it as a struct without forbid_unknown_fields, which ignores unknown fields.",
}
STRINGS = {"uuid", "datetime", "date", "time", "duration", "decimal", "bytes"}
"""Types that are encoded as strings; a reader of plain strings accepts them."""
NUMBERS = {"float": {"int"}, "decimal": {"int", "float"}}
"""The other types that a reader of a number accepts."""


@dataclass(frozen=True)
class Problem:
    """Why an event that is written in one shape cannot be read in another."""

    rule: Rule
    field: str
    message: str

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return REMEDIES[self.rule]


def find_problems(reader: Shape, writer: Shape) -> list[Problem]:
    """Why a reader of one shape cannot read every event that is written in another; empty if it can."""
    return list(_fields(reader.fields, writer.fields, ""))


def _fields(reader: Mapping[str, Field], writer: Mapping[str, Field], under: str) -> Iterator[Problem]:
    for name, wanted in reader.items():
        written = writer.get(name)
        where = f"{under}{name}"
        if written is None:
            if not wanted.optional:
                yield Problem("contract-field-required", where, f"{where} is required and is not written.")
            continue
        if written.optional and not wanted.optional:
            message = (
                f"{where} is required and may be missing: JSON in the log contains every field, XML (write_xml) leaves "
                "out what has its default, and so do structs with omit_defaults."
            )
            yield Problem("contract-field-required", where, message)
        yield from _types(wanted.type, written.type, where)


def _types(reader: Type, writer: Type, where: str) -> Iterator[Problem]:
    """Why a value of one type is not accepted as another."""
    reads, writes = kind_of(reader), kind_of(writer)
    if reads == "any":
        return
    if writes == "one of":
        for one in arguments_of(writer):
            yield from _types(reader, one, where)
        return
    if reads == "one of":
        tried = [list(_types(one, writer, where)) for one in arguments_of(reader)]
        if all(tried):
            same = [
                problems for one, problems in zip(arguments_of(reader), tried, strict=True) if kind_of(one) == writes
            ]
            yield from min(same, key=_distance) if same else [_mismatch(reader, writer, where)]
        return
    if writes == "open enum":
        yield from _types(reader, {"enum": arguments_of(writer)}, where)
        return
    if reads == "open enum":
        if not _written_kinds(writer) <= _kinds(arguments_of(reader)):
            yield _mismatch(reader, writer, where)
        return
    if writes == "enum" and reads != "enum":
        yield from _from_values(reader, arguments_of(writer), where)
        return
    if reads != writes and not _is_accepted(reads, writes):
        yield _mismatch(reader, writer, where)
        return
    yield from _within(reader, writer, where)


def _distance(problems: Sequence[Problem]) -> tuple[int, int]:
    """How far a written alternative is from one that is read: those with another tag are the farthest."""
    return sum(one.rule == "contract-values" for one in problems), len(problems)


def _kinds(values: Sequence[Any]) -> set[str]:
    """Whether the values of an enumeration are numbers, strings or both."""
    return {"int" if isinstance(value, int) else "str" for value in values}


def _written_kinds(writer: Type) -> set[str]:
    """As what values of a type are written, if an enumeration could read them."""
    word = kind_of(writer)
    if word == "enum":
        return _kinds(arguments_of(writer))
    return {"str"} if word in STRINGS else {word}


def _is_accepted(reads: str, writes: str) -> bool:
    arrays, by_place = ("list", "set"), ("array struct", "strict array struct")
    structs = ("struct", "strict struct")
    return (
        writes in NUMBERS.get(reads, ())
        or (reads == "str" and writes in STRINGS)
        or (reads in arrays and writes in (*arrays, "tuple"))
        or (reads in (*structs, "dict") and writes in structs)
        or (reads in by_place and writes in by_place)
    )


def _within(reader: Type, writer: Type, where: str) -> Iterator[Problem]:
    """Compare the items, fields, values or limits of two types of the same kind."""
    reads, wanted, given = kind_of(reader), arguments_of(reader), arguments_of(writer)
    if reads == "enum":
        unknown = [value for value in given if value not in wanted]
        if unknown:
            yield Problem("contract-values", where, f"{where} may be {unknown[0]!r}, which readers do not know.")
    elif reads in ("list", "set"):
        yield from _array(wanted, given if kind_of(writer) != "tuple" else None, arguments_of(writer), where)
    elif reads == "tuple":
        if len(wanted) != len(given):
            yield _mismatch(reader, writer, where)
            return
        for place, (one, other) in enumerate(zip(wanted, given, strict=True)):
            yield from _types(one, other, f"{where}[{place}]")
    elif reads == "enclosing" and wanted != given:
        yield _mismatch(reader, writer, where)
    elif reads in ("array struct", "strict array struct"):
        yield from _places(reads, wanted, given, where)
    elif reads == "dict":
        yield from _entries(wanted, writer, where)
    elif reads in ("struct", "strict struct"):
        fields = {name: read(one) for name, one in given.items()}
        if reads == "strict struct" and set(fields) - set(wanted):
            extra = sorted(set(fields) - set(wanted))[0]
            yield Problem("contract-strict", f"{where}.{extra}", f"{where} does not allow {extra}, which is written.")
        yield from _fields({name: read(one) for name, one in wanted.items()}, fields, f"{where}.")
    else:
        same = kind_of(writer) in (reads, *NUMBERS.get(reads, ()))
        yield from _limits(wanted, given if same else {}, where)


def _entries(wanted: Mapping[str, Type], writer: Type, where: str) -> Iterator[Problem]:
    """Compare a dictionary with another, or with a struct; keys are always written as strings."""
    held = arguments_of(writer)
    is_struct = kind_of(writer) != "dict"
    key = "str" if is_struct or held["key"] == "any" else held["key"]
    if wanted["key"] != "str":
        yield from _types(wanted["key"], key, f"{where} keys")
    values = {f".{name}": read(one).type for name, one in held.items()} if is_struct else {" values": held["value"]}
    for name, one in values.items():
        yield from _types(wanted["value"], one, f"{where}{name}")


def _places(reads: str, wanted: Mapping[str, Any], given: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Compare fields that are read by place; a writer writes all of its own."""
    values = [read(one).type for one in given.values()]
    for place, (name, text) in enumerate(wanted.items()):
        field = read(text)
        if place < len(values):
            yield from _types(field.type, values[place], f"{where}.{name}")
        elif not field.optional:
            message = f"{where}.{name} is required and is not written."
            yield Problem("contract-field-required", f"{where}.{name}", message)
    if reads == "strict array struct" and len(given) > len(wanted):
        extra = list(given)[len(wanted)]
        yield Problem("contract-strict", f"{where}.{extra}", f"{where} does not allow {extra}, which is written.")


def _array(wanted: Any, given: Any, items: Any, where: str) -> Iterator[Problem]:
    """Compare the items and lengths of arrays; `given` is None for a tuple, whose items are `items`."""
    if given is None:
        for one in items:
            yield from _types(_item(wanted), one, f"{where}[]")
        given = {"of": "", "min_length": len(items), "max_length": len(items)}
    else:
        yield from _types(_item(wanted), _item(given), f"{where}[]")
    if _is_limited(wanted):
        yield from _limits(wanted, given if _is_limited(given) else {}, where)


def _item(held: Any) -> Type:
    return held["of"] if _is_limited(held) else held


def _is_limited(held: Any) -> bool:
    return isinstance(held, dict) and "of" in held


def _limits(wanted: Any, given: Any, where: str) -> Iterator[Problem]:
    """Limits of the reader that a written value may exceed."""
    if not isinstance(wanted, dict):
        return
    kept = cast(dict[str, Any], given if isinstance(given, dict) else {})
    for limit, value in cast(dict[str, Any], wanted).items():
        if limit != "of" and not _is_kept(limit, value, kept):
            yield Problem("contract-limits", where, f"{where} is read with {limit} {value!r} and written without it.")


def _is_kept(limit: str, value: Any, given: Mapping[str, Any]) -> bool:
    """Whether whatever keeps the writer's limits keeps this one."""
    if limit == "ge":
        return given.get("ge", float("-inf")) >= value or given.get("gt", float("-inf")) >= value
    if limit == "gt":
        return given.get("gt", float("-inf")) >= value or given.get("ge", float("-inf")) > value
    if limit == "le":
        return given.get("le", float("inf")) <= value or given.get("lt", float("inf")) <= value
    if limit == "lt":
        return given.get("lt", float("inf")) <= value or given.get("le", float("inf")) < value
    if limit == "min_length":
        return given.get("min_length", 0) >= value
    if limit == "max_length":
        return given.get("max_length", float("inf")) <= value
    if limit == "multiple_of":
        return given.get("multiple_of") is not None and given["multiple_of"] % value == 0
    return given.get(limit) == value


def _from_values(reader: Type, values: Sequence[Any], where: str) -> Iterator[Problem]:
    """Whether the values of an enumeration are accepted by a type that is not one."""
    for kind in sorted(_kinds(values)):
        if kind_of(reader) != kind and not (kind == "int" and "int" in NUMBERS.get(kind_of(reader), ())):
            yield _mismatch(reader, {"enum": list(values)}, where)
            return
    limits = arguments_of(reader)
    if isinstance(limits, dict) and limits:
        yield Problem("contract-limits", where, f"{where} is read with limits and written as an enumeration.")


def _mismatch(reader: Type, writer: Type, where: str) -> Problem:
    message = f"{where} is written as {type_text(writer)} and read as {type_text(reader)}."
    return Problem("contract-type", where, message)


@dataclass(frozen=True)
class Verdict:
    """The comparison of two shapes: the problems of old readers, and those of reading stored events."""

    old: Shape
    new: Shape | None
    problems: tuple[tuple[Affected, Problem], ...]
    notes: tuple[str, ...]

    @property
    def is_compatible(self) -> bool:
        """Whether all readers can read all events."""
        return not self.problems


def compare(old: Shape, new: Shape | None) -> Verdict:
    """Compare two shapes of one version."""
    if new is None:
        removed = Problem("contract-removed", "", f"{old.name} is no longer declared; stored events cannot be read.")
        return Verdict(old, None, (("all readers", removed),), ())
    problems: list[tuple[Affected, Problem]] = []
    if old.key != new.key:
        message = f"The key of {old.name} was {old.key or 'not set'} and is now {new.key or 'not set'}."
        problems.append(("all readers", Problem("contract-key", new.key or "", message)))
    for name, field in old.fields.items():
        if name not in new.fields and not field.optional:
            message = f"{name} was removed, and readers of {old.name} require it.{_renamed(name, old, new)}"
            problems.append(("old readers", Problem("contract-field-removed", name, message)))
    removed = {one.field for _, one in problems}
    problems.extend(("old readers", one) for one in find_problems(old, new) if one.field not in removed)
    problems.extend(("stored events", one) for one in find_problems(new, old))
    return Verdict(old, new, tuple(problems), tuple(_notes(old, new)))


def _renamed(name: str, old: Shape, new: Shape) -> str:
    """How to keep the name on the wire, if one field of the same type was added."""
    added = [one for one, field in new.fields.items() if one not in old.fields and field.type == old.fields[name].type]
    if len(added) != 1:
        return ""
    return f" If {added[0]} is its new name, keep the old one on the wire: {added[0]} = msgspec.field(name={name!r})."


def _notes(old: Shape, new: Shape) -> Iterator[str]:
    for name in new.fields.keys() - old.fields.keys():
        yield f"{name} was added; readers that do not know it ignore it."
    for name in old.fields.keys() - new.fields.keys():
        if old.fields[name].optional:
            yield f"{name} was removed; readers use its default."
    yield from _notes_inside(old.fields, new.fields, "")


def _notes_inside(old: Mapping[str, Field], new: Mapping[str, Field], under: str) -> Iterator[str]:
    """What is compatible and means something else: other defaults, and values that are read as the default."""
    for name in sorted(old.keys() & new.keys()):
        before, after, where = old[name], new[name], f"{under}{name}"
        if before.default != after.default and None not in (before.default, after.default):
            yield (
                f"The default of {where} was {before.default} and is now {after.default}: where it is missing, old and "
                "new readers see different values, also in stored events."
            )
        for inner in zip(_parts(before.type), _parts(after.type), strict=False):
            yield from _notes_of_types(*inner, where)


def _parts(one: Type) -> Iterator[Type]:
    """A type, and those of which it is made: of items, keys, values and alternatives."""
    word, held = kind_of(one), arguments_of(one)
    yield one
    if word in ("list", "set"):
        yield from _parts(_item(held))
    elif word in ("one of", "tuple"):
        for part in held:
            yield from _parts(part)
    elif word == "dict":
        yield from _parts(held["value"])


def _notes_of_types(before: Type, after: Type, where: str) -> Iterator[str]:
    if kind_of(after) == "open enum" and kind_of(before) in ("enum", "open enum"):
        for value in arguments_of(before):
            if value not in arguments_of(after):
                yield f"{value!r} of {where} was removed; it is read as the default for unknown values."
    if kind_of(before) == "open enum" and kind_of(after) in ("enum", "open enum"):
        for value in arguments_of(after):
            if value not in arguments_of(before):
                yield f"{value!r} of {where} was added; old readers read it as their default for unknown values."
    if kind_of(before) in STRUCTS and kind_of(after) in STRUCTS:
        old, new = ({name: read(one) for name, one in arguments_of(it).items()} for it in (before, after))
        yield from _notes_inside(old, new, f"{where}.")
