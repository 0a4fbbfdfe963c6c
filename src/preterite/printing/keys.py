"""The text of a key: which values can be one, and how they are written."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import get_type_hints
from uuid import UUID

import msgspec
from msgspec import inspect as types

from preterite.errors import InvalidEvent
from preterite.printing.arguments import shown

KEY_DIGITS_MAX = 1_100
"""Digits of a number, before its point or after it, up to which its key is written out; every float has fewer."""
KEYS = "a key is a text, a number, a UUID, a date, a time with zone, or an Enum or Literal of these"
"""What a key may be."""
_KEY_TYPES = (
    types.StrType,
    types.BoolType,
    types.IntType,
    types.FloatType,
    types.DecimalType,
    types.UUIDType,
    types.DateTimeType,
    types.DateType,
    types.EnumType,
    types.LiteralType,
)


def key_text(value: object) -> str:
    """The text of a key. Equal values have the same one, whatever their spelling, type or subclass; part of the wire.

    Of a text itself; of a number its exact decimal notation, without an exponent or zeros at its end; of a time with
    zone the same instant in UTC; of an Enum its value's; of a UUID and a date the usual one, in small letters.
    Raises `InvalidEvent` for anything else.
    """
    match value:
        case Enum():
            return key_text(value.value)
        case str():
            return str.__str__(value)
        case int():
            return int.__repr__(value)
        case float() | Decimal():
            return _number_text(Decimal(value))
        case UUID():
            return UUID.__str__(value)
        case datetime():
            return _instant_text(value)
        case date():
            return date.isoformat(value)
        case _:
            raise InvalidEvent(f"{shown(value)} cannot be a key; {KEYS}. Nothing was written.")


def _number_text(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return "0"
    exponent += len(written) - len(significant)
    if exponent < -KEY_DIGITS_MAX or exponent + len(significant) > KEY_DIGITS_MAX:
        # It comes from outside: written out, it could fill the memory.
        return f"{'-' * sign}{significant}E{exponent}"
    return format(Decimal((sign, tuple(map(int, significant)), exponent)), "f")


def _instant_text(value: datetime) -> str:
    offset, clock = value.utcoffset(), datetime.replace(value, tzinfo=None)
    if offset is None:
        return datetime.isoformat(clock, " ")
    try:
        return f"{datetime.isoformat(clock - offset, ' ')}+00:00"
    except OverflowError:
        return f"{clock - datetime.min - offset} after the first moment"


def field_key_fault(owner: type[msgspec.Struct], field: str) -> str | None:
    """Why the values of a field cannot be keys, by its declared type; nothing if they can."""
    hint = get_type_hints(owner, include_extras=True)[field]
    try:
        declared = types.type_info(hint)
    except TypeError as error:
        return str(error)
    union = declared.types if isinstance(declared, types.UnionType) else (declared,)
    kinds = [kind for kind in union if not isinstance(kind, types.NoneType)]
    unfit = [kind for kind in kinds if not isinstance(kind, _KEY_TYPES)]
    if unfit or not kinds:
        kind: object = (unfit or union)[0]
        name = getattr(getattr(kind, "cls", None), "__name__", type(kind).__name__.removesuffix("Type").lower())
        return f"it may be a value of type {name}, and {KEYS}"
    closed = [value for kind in kinds for value in _values_of(kind)]
    if len({key_text(value) for value in closed}) < len(closed) or (len(kinds) > 1 and any(map(_is_text, kinds))):
        return "a text and another value of it could be the same key; declare one of its types"
    return None


def _is_text(kind: types.Type) -> bool:
    """Whether values of this type are texts that may look like a number."""
    values = [value for value in _values_of(kind) if isinstance(value, str)]
    return isinstance(kind, types.StrType) or any(value[:1] in "-0123456789" for value in values if value)


def _values_of(kind: types.Type) -> list[object]:
    """The values of a type that names each of them."""
    if isinstance(kind, types.EnumType):
        return [member.value for member in kind.cls]
    return [value for value in kind.values if value is not None] if isinstance(kind, types.LiteralType) else []
