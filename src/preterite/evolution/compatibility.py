"""Whether what one shape writes another can read: both ways for a change, and against every version there is.

Readers are tolerant: they ignore fields that they do not know, and take the default of an optional one that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from preterite.evolution.shapes import Field, Shape, Type, holds, read, shown, word_of

Rule = Literal[
    "contract-field-required", "contract-field-gone", "contract-type", "contract-values", "contract-limits",
    "contract-key", "contract-gone", "contract-strict", "contract-upcast",
]  # fmt: skip
Whom = Literal["old readers", "stored events", "everybody"]
WAYS: Mapping[Rule, str] = {
    "contract-field-required": "Give the field a default, so that it may be missing in what was written before.",
    "contract-field-gone": "Keep the field for as long as anybody reads it; a fact without it is a new event.",
    "contract-type": "Add a field of the new type beside the old one; or a new version, with an upcast for readers.",
    "contract-values": "Let readers know the value before anybody writes it; or tell it as a field of its own.",
    "contract-limits": "Widen in a version of its own; what was written under the old limits must still be read.",
    "contract-key": "Publish it as a new event: the key decides the order and the place of all that was written.",
    "contract-gone": "Go on declaring it until no log holds it: preterite contracts lock --retire NAME.",
    "contract-upcast": "Write for each reader a function that makes the present version out of an older one.",
    "contract-strict": "Let readers ignore what they do not know: without forbid_unknown_fields.",
}
STRINGS = {"uuid", "datetime", "date", "time", "duration", "decimal", "bytes"}
"""What travels as a string; a reader of plain strings takes all of it."""
NUMBERS = {"float": {"int"}, "decimal": {"int", "float"}}
"""What else a reader of numbers takes."""


@dataclass(frozen=True)
class Fault:
    """Why something that is written cannot be read."""

    rule: Rule
    field: str
    sentence: str

    @property
    def way(self) -> str:
        """What to do instead."""
        return WAYS[self.rule]


def cannot_read(reader: Shape, writer: Shape) -> list[Fault]:
    """Why a reader of one shape cannot read all that is written in another; empty if it can."""
    return list(_fields(reader.fields, writer.fields, ""))


def _fields(reader: Mapping[str, Field], writer: Mapping[str, Field], under: str) -> Iterator[Fault]:
    for name, wanted in reader.items():
        written = writer.get(name)
        where = f"{under}{name}"
        if written is None:
            if not wanted.optional:
                yield Fault("contract-field-required", where, f"{where} must be there, and is not written.")
            continue
        if written.optional and not wanted.optional:
            yield Fault("contract-field-required", where, f"{where} must be there, and may be missing.")
        yield from _types(wanted.type, written.type, where)


def _types(reader: Type, writer: Type, where: str) -> Iterator[Fault]:
    """Why a value of one type is not taken for another."""
    reads, writes = word_of(reader), word_of(writer)
    if reads == "any":
        return
    if writes == "one of":
        for one in holds(writer):
            yield from _types(reader, one, where)
        return
    if reads == "one of":
        tried = [list(_types(one, writer, where)) for one in holds(reader)]
        if all(tried):
            same = [faults for one, faults in zip(holds(reader), tried, strict=True) if word_of(one) == writes]
            yield from same[0] if same else [_mismatch(reader, writer, where)]
        return
    if writes == "enum" and reads != "enum":
        yield from _from_values(reader, holds(writer), where)
        return
    if reads != writes and not _is_taken(reads, writes):
        yield _mismatch(reader, writer, where)
        return
    yield from _within(reader, writer, where)


def _is_taken(reads: str, writes: str) -> bool:
    arrays = ("list", "set")
    structs = ("struct", "strict struct")
    return (
        writes in NUMBERS.get(reads, ())
        or (reads == "str" and writes in STRINGS)
        or (reads in arrays and writes in (*arrays, "tuple"))
        or (reads in (*structs, "dict") and writes in structs)
    )


def _within(reader: Type, writer: Type, where: str) -> Iterator[Fault]:
    """What two types of the same kind hold."""
    reads, wanted, given = word_of(reader), holds(reader), holds(writer)
    if reads == "enum":
        unknown = [value for value in given if value not in wanted]
        if unknown:
            yield Fault("contract-values", where, f"{where} may be {unknown[0]!r}, which readers do not know.")
    elif reads in ("list", "set"):
        yield from _array(wanted, given if word_of(writer) != "tuple" else None, holds(writer), where)
    elif reads == "tuple":
        if len(wanted) != len(given):
            yield _mismatch(reader, writer, where)
            return
        for place, (one, other) in enumerate(zip(wanted, given, strict=True)):
            yield from _types(one, other, f"{where}[{place}]")
    elif reads == "dict" and word_of(writer) != "dict":
        yield from _types(wanted["key"], "str", f"{where} keys")
        for name, one in given.items():
            yield from _types(wanted["value"], read(one).type, f"{where}.{name}")
    elif reads == "dict":
        yield from _types(wanted["key"], given["key"], f"{where} keys")
        yield from _types(wanted["value"], given["value"], f"{where} values")
    elif reads in ("struct", "strict struct"):
        fields = {name: read(one) for name, one in given.items()}
        if reads == "strict struct" and set(fields) - set(wanted):
            extra = sorted(set(fields) - set(wanted))[0]
            yield Fault("contract-strict", f"{where}.{extra}", f"{where} does not allow {extra}, which is written.")
        yield from _fields({name: read(one) for name, one in wanted.items()}, fields, f"{where}.")
    else:
        same = word_of(writer) in (reads, *NUMBERS.get(reads, ()))
        yield from _limits(wanted, given if same else {}, where)


def _array(wanted: Any, given: Any, items: Any, where: str) -> Iterator[Fault]:
    """What an array holds; `given` is nothing where it has as many items as `items` says."""
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


def _limits(wanted: Any, given: Any, where: str) -> Iterator[Fault]:
    """Limits of the reader that what is written may be beyond."""
    if not isinstance(wanted, dict):
        return
    kept = cast(dict[str, Any], given if isinstance(given, dict) else {})
    for limit, value in cast(dict[str, Any], wanted).items():
        if limit != "of" and not _is_kept(limit, value, kept):
            yield Fault("contract-limits", where, f"{where} must keep {limit} {value!r}; what is written need not.")


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


def _from_values(reader: Type, values: Sequence[Any], where: str) -> Iterator[Fault]:
    """Whether single values are taken by a type without values of its own."""
    kinds = {"int" if isinstance(value, int) else "str" for value in values}
    for kind in sorted(kinds):
        if word_of(reader) != kind and not (kind == "int" and "int" in NUMBERS.get(word_of(reader), ())):
            yield _mismatch(reader, {"enum": list(values)}, where)
            return
    limits = holds(reader)
    if isinstance(limits, dict) and limits:
        yield Fault("contract-limits", where, f"{where} is limited for readers, and one of some values where written.")


def _mismatch(reader: Type, writer: Type, where: str) -> Fault:
    sentence = f"{where} is written as {shown(writer)} and read as {shown(reader)}."
    return Fault("contract-type", where, sentence)


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a change: whose reading breaks, old readers' or that of stored events."""

    old: Shape
    new: Shape | None
    faults: tuple[tuple[Whom, Fault], ...]
    notes: tuple[str, ...]

    @property
    def is_allowed(self) -> bool:
        """Whether everybody can read everything."""
        return not self.faults


def judge(old: Shape, new: Shape | None) -> Verdict:
    """What of a change between two shapes of one version breaks whom."""
    if new is None:
        gone = Fault("contract-gone", "", f"{old.name} is no longer published; what is stored can be read by nobody.")
        return Verdict(old, None, (("everybody", gone),), ())
    faults: list[tuple[Whom, Fault]] = []
    if old.key != new.key:
        sentence = f"{old.name} was ordered by {old.key or 'nothing'} and now is by {new.key or 'nothing'}."
        faults.append(("everybody", Fault("contract-key", new.key or "", sentence)))
    for name, field in old.fields.items():
        if name not in new.fields and not field.optional:
            sentence = f"{name} is gone, and whoever reads {old.name} counts on it."
            faults.append(("old readers", Fault("contract-field-gone", name, sentence)))
    gone = {fault.field for _, fault in faults}
    faults.extend(("old readers", fault) for fault in cannot_read(old, new) if fault.field not in gone)
    faults.extend(("stored events", fault) for fault in cannot_read(new, old))
    return Verdict(old, new, tuple(faults), tuple(_notes(old, new)))


def _notes(old: Shape, new: Shape) -> Iterator[str]:
    for name in new.fields.keys() - old.fields.keys():
        yield f"{name} is new; readers that do not know it ignore it."
    for name in old.fields.keys() - new.fields.keys():
        if old.fields[name].optional:
            yield f"{name} is gone; readers take its default."
