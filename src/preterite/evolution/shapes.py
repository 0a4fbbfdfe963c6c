"""The shape of an event on the wire: names, types, and which fields are optional. Plain data that fits in a file.

A type is a word (`"uuid"`) or a word with arguments (`{"list": "uuid"}`, `{"int": {"ge": 1}}`, `{"enum": ["a"]}`). An
`open enum` has a default for values that it does not know. Structs that are written as arrays, and named tuples, are
`array struct`: their fields are read by place. `{"enclosing": 1}` is the struct that directly contains the field,
`{"enclosing": 2}` the one around that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect as types

from preterite.contracts import Event, wire_name
from preterite.errors import UsageError
from preterite.printing.text import clause

Type = str | Mapping[str, Any]
PLAIN: Mapping[type[types.Type], str] = {
    types.AnyType: "any",
    types.NoneType: "null",
    types.BoolType: "bool",
    types.UUIDType: "uuid",
    types.DecimalType: "decimal",
    types.DateType: "date",
    types.TimeDeltaType: "duration",
}
LIMITED: Mapping[type[types.Type], tuple[str, tuple[str, ...]]] = {
    types.IntType: ("int", ("gt", "ge", "lt", "le", "multiple_of")),
    types.FloatType: ("float", ("gt", "ge", "lt", "le", "multiple_of")),
    types.StrType: ("str", ("min_length", "max_length", "pattern")),
    types.BytesType: ("bytes", ("min_length", "max_length")),
    types.ByteArrayType: ("bytes", ("min_length", "max_length")),
    types.DateTimeType: ("datetime", ("tz",)),
    types.TimeType: ("time", ("tz",)),
}
_LIMITS: Mapping[str, type] = {"pattern": str, "tz": bool}
_UNKNOWN = "a value that no enumeration has"
STRUCTS = ("struct", "strict struct", "array struct", "strict array struct")
"""Types with fields; a strict one refuses fields that it does not know."""
ARRAYS: Mapping[type[types.Type], str] = {
    types.ListType: "list",
    types.VarTupleType: "list",
    types.SetType: "set",
    types.FrozenSetType: "set",
}
_EMPTY = (list, dict, set, frozenset, tuple)
"""Factories of defaults that make the same value each time."""


class Field(NamedTuple):
    """A field on the wire; an optional one has a default that readers use if it is missing."""

    type: Type
    optional: bool = False
    default: str | None = None
    """The default as JSON; None if there is none, or if it is not known."""


class Shape(NamedTuple):
    """An event, in one of its versions."""

    name: str
    version: int
    key: str | None
    fields: Mapping[str, Field]


def shape_of(event: type[Event], component: str) -> Shape:
    """The shape of an event of a component; raises `UsageError` for a field of an unsupported type."""
    info = cast(types.StructType, types.type_info(event))
    key = event.__contract__.key
    names = {field.name: field.encode_name for field in info.fields}
    try:
        fields = _fields(info, ())
    except UsageError as error:
        raise UsageError(f"{event.__name__}: {clause(error)}.") from None
    return Shape(wire_name(event, component), event.__contract__.version, None if key is None else names[key], fields)


def _fields(info: Any, around: tuple[Any, ...], is_alternative: bool = False) -> dict[str, Field]:
    """The fields of a struct inside others; first the tag of one, by which only alternatives are distinguished."""
    inside = (*around, info.cls)
    is_array, tag = _is_array(info), getattr(info, "tag", None)
    found = {} if tag is None else {str(info.tag_field): Field({"enum": [tag]}, not is_array and not is_alternative)}
    for place, field in enumerate(info.fields):
        # What is read by place may only be missing at the end.
        after = info.fields[place:] if is_array else (field,)
        kept = Field(_type(field.type, inside), not any(one.required for one in after), _default(field))
        found[field.encode_name] = kept
    return found


def _is_array(info: Any) -> bool:
    return isinstance(info, types.NamedTupleType) or getattr(info, "array_like", False)


def _default(field: types.Field) -> str | None:
    """The default as JSON; unknown if a factory may make another one each time."""
    value = field.default
    if field.default_factory in _EMPTY:
        value = cast(Any, field.default_factory)()
    if value is msgspec.NODEFAULT or value is msgspec.UNSET:
        return None
    return msgspec.json.encode(value, order="deterministic").decode()


def _type(info: types.Type, around: tuple[Any, ...]) -> Type:
    plain = PLAIN.get(type(info))
    if plain is not None:
        return plain
    if type(info) in LIMITED:
        word, limits = LIMITED[type(info)]
        given = {limit: getattr(info, limit) for limit in limits if getattr(info, limit) is not None}
        return {word: given} if given else word
    if type(info) in ARRAYS:
        return _array(ARRAYS[type(info)], cast(Any, info), around)
    match info:
        case types.UnionType():
            of_structs = [one for one in info.types if isinstance(one, types.StructType)]
            made = [
                _struct(one, around, len(of_structs) > 1) if one in of_structs else _type(one, around)
                for one in info.types
            ]
            return {"one of": sorted(made, key=str)}
        case types.EnumType():
            values = sorted((member.value for member in info.cls), key=str)
            return {"open enum" if _is_open(info.cls, values) else "enum": values}
        case types.LiteralType():
            return _literal(info.values)
        case types.TupleType():
            return {"tuple": [_type(one, around) for one in info.item_types]}
        case types.DictType():
            return {"dict": {"key": _type(info.key_type, around), "value": _type(info.value_type, around)}}
        case types.StructType() | types.DataclassType() | types.TypedDictType() | types.NamedTupleType():
            return _struct(info, around)
        case _:
            name = type(info).__name__.removesuffix("Type")
            raise UsageError(f"a field of type {name} cannot be part of a contract")


def _struct(info: Any, around: tuple[Any, ...], is_alternative: bool = False) -> Type:
    """What has fields: a struct, a dataclass, a typed dictionary or a named tuple."""
    if info.cls in around:
        return {"enclosing": len(around) - around.index(info.cls)}
    is_strict = isinstance(info, types.NamedTupleType) or getattr(info, "forbid_unknown_fields", False)
    word = f"{'strict ' if is_strict else ''}{'array ' if _is_array(info) else ''}struct"
    return {word: {name: written(field) for name, field in _fields(info, around, is_alternative).items()}}


def _literal(values: Sequence[Any]) -> Type:
    given = sorted((value for value in values if value is not None), key=str)
    if len(given) == len(values):
        return {"enum": given}
    return {"one of": [{"enum": given}, "null"]} if given else "null"


def _is_open(kind: type[Enum], values: Sequence[Any]) -> bool:
    """Whether an enumeration has a member for values that it does not know: `_missing_` returns it."""
    unknown = _UNKNOWN if isinstance(values[0], str) else max(abs(value) for value in values) + 1
    try:
        return kind(unknown) in kind
    except Exception:  # Whatever the application's `_missing_` raises for a value that it does not know.
        return False


def _array(word: str, info: Any, around: tuple[Any, ...]) -> Type:
    limits = {limit: getattr(info, limit) for limit in ("min_length", "max_length") if getattr(info, limit) is not None}
    item = _type(info.item_type, around)
    return {word: {"of": item, **limits}} if limits else {word: item}


def written(field: Field) -> Any:
    """A field as it is stored in the file: its type, marked if it is optional, and its default."""
    if not field.optional:
        return field.type
    default = {} if field.default is None else {"default": msgspec.json.decode(field.default)}
    return {"optional": field.type, **default}


def read(text: Any) -> Field:
    """The field that is stored in the file."""
    if not isinstance(text, dict) or "optional" not in text:
        return Field(text)
    held = cast(dict[str, Any], text)
    default = msgspec.json.encode(held["default"], order="deterministic").decode() if "default" in held else None
    return Field(held["optional"], True, default)


def require_type(one: Any) -> None:
    """Raise `ValueError` for what is not a type as `written` writes it, however deep inside."""
    if isinstance(one, str):
        return
    if not isinstance(one, dict) or len(cast(dict[str, Any], one)) != 1:
        raise ValueError(f"{one!r:.100} is not a type")
    word, held = next(iter(cast(dict[str, Any], one).items()))
    if word in ("list", "set"):
        limited = isinstance(held, dict) and "of" in held
        require_type(cast(dict[str, Any], held)["of"] if limited else held)
    elif word in ("one of", "tuple") and isinstance(held, list):
        for part in cast(list[Any], held):
            require_type(part)
    elif word in STRUCTS and isinstance(held, dict):
        for part in cast(dict[str, Any], held).values():
            require_field(part)
    elif word == "dict" and isinstance(held, dict) and {*cast(dict[str, Any], held)} == {"key", "value"}:
        for part in cast(dict[str, Any], held).values():
            require_type(part)
    elif not (word == "enclosing" and isinstance(held, int)) and not _holds_plain_values(word, held):
        raise ValueError(f"{one!r:.100} is not a type")


def require_field(text: Any) -> None:
    """Raise `ValueError` for what is not a field as `written` writes it."""
    if isinstance(text, dict) and "optional" in text:
        require_type(cast(dict[str, Any], text)["optional"])
    else:
        require_type(text)


def _holds_plain_values(word: str, held: Any) -> bool:
    """Whether these are the values of an enumeration, or the limits of a plain type."""
    if word in ("enum", "open enum"):
        values = cast(list[Any], held) if isinstance(held, list) else []
        return bool(values) and all(isinstance(value, (str, int)) for value in values)
    limits = next((limits for name, limits in LIMITED.values() if name == word), None)
    given = cast(dict[str, Any], held) if isinstance(held, dict) else {"": None}
    return limits is not None and all(
        limit in limits and isinstance(value, _LIMITS.get(limit, (int, float))) for limit, value in given.items()
    )


def kind_of(one: Type) -> str:
    """The word of a type."""
    return one if isinstance(one, str) else next(iter(one))


def arguments_of(one: Type) -> Any:
    """The arguments of a type: its items, fields, values or limits."""
    return {} if isinstance(one, str) else next(iter(one.values()))


def type_text(one: Type) -> str:
    """A type as text."""
    if isinstance(one, str):
        return one
    word, held = kind_of(one), arguments_of(one)
    if word == "open enum":
        return f"{' or '.join(map(repr, held))} or another value"
    if word in ("one of", "enum"):
        return " or ".join(type_text(part) if word == "one of" else repr(part) for part in held)
    if word in STRUCTS:
        return f"{word.removeprefix('strict ')} of {', '.join(held)}"
    if word == "enclosing":
        return "the struct around it" if held == 1 else f"the struct {held} levels around it"
    if word in ("list", "set"):
        limited = cast(dict[str, Any], held if isinstance(held, dict) and "of" in held else {"of": held})
        return f"{word} of {type_text(limited['of'])}"
    return f"{word} {msgspec.json.encode(held).decode()}"
