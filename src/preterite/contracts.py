"""Events and commands: how a message is declared, and what its declaration promises.

An event is a frozen, keyword-only struct. Class keywords say how it travels:

    class ItemPurchased(Event, key="customer_id"): ...

`key` names the field that orders and partitions it, inherited where left out: a text, a number, a UUID, a date, a time
with zone, or an Enum; values that are equal are one key. `name` is its chosen name on the wire
(component + class name where left out), `version` its version, 1 where left out.
A command is a component's message to its own future; it never leaves the component.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import (
    Annotated,
    Any,
    ClassVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import msgspec

from preterite.errors import EventTooLarge, InvalidEvent, UsageError
from preterite.printing.keys import field_key_fault, key_text
from preterite.printing.text import clause

EVENT_BYTES_MAX = 256 * 1024
"""Size of an event or command as JSON."""
DEPTH_MAX = 64
"""Lists and objects inside each other in an event or command, its own object among them."""
DECIMAL_DIGITS_MAX = 100
"""Digits of a decimal number before its point, and after it."""
NAME_BYTES_MAX = 1_024
"""Bytes of a key, or of the name of a type: both stand in indexes, whose rows PostgreSQL bounds."""
PARTITIONS_CACHED = 8192
"""Keys whose partition is remembered."""
_MINUTE = timedelta(minutes=1)
_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_PLAIN_TYPES = (str, int, bool, float, bytes, UUID, Decimal, datetime)


@dataclass(frozen=True)
class Justified:
    """Why a field that is neither an identifier nor a time must travel: `Annotated[int, Justified("…")]`."""

    reason: str


@dataclass(frozen=True)
class OwnKey:
    """The event's own identifier, made on entry where a foreign message lacks it: `Annotated[UUID, OwnKey()]`."""


@dataclass(frozen=True)
class Contract:
    """What a message class declares about itself."""

    key: str | None
    name: str | None
    version: int


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Makes every message frozen and keyword-only, and keeps its class keywords."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        key: str | None = None,
        name: str | None = None,
        version: int = 1,
    ) -> MessageMeta:
        cls = super().__new__(mcls, class_name, bases, namespace, frozen=True, kw_only=True)
        type.__setattr__(cls, "__contract__", Contract(key or _inherited_key(bases), name, version))
        return cast(MessageMeta, cls)


def _inherited_key(bases: tuple[type, ...]) -> str | None:
    contracts: list[Contract | None] = [getattr(base, "__contract__", None) for base in bases]
    return next((contract.key for contract in contracts if contract is not None and contract.key is not None), None)


class Message(msgspec.Struct, metaclass=MessageMeta):
    """What is written to be handled: an event or a command."""

    __contract__: ClassVar[Contract]


class Event(Message):
    """A fact that happened in its owner's database: past tense, identifiers and the time, nothing more."""


class Command(Message):
    """What a component is to do at a later time: imperative; handled only by the component that scheduled it."""


class Tick(Command):
    """A moment of a calendar: which calendar, and the moment it was meant for, however late it is handled."""

    calendar: str
    at: datetime


def wire_name(message_type: type[Message], component: str) -> str:
    """The message's name on the wire: the chosen one, or component and class name."""
    return message_type.__contract__.name or f"{component}.{message_type.__name__}"


def key_fault(event_type: type[Event]) -> str | None:
    """What is wrong with the event's key, or nothing."""
    key, name = event_type.__contract__.key, event_type.__name__
    if key is None:
        return None
    if key not in event_type.__struct_fields__:
        fields = ", ".join(event_type.__struct_fields__)
        return f"{name} names {key!r} as its key, but has no such field; fields: {fields}."
    fault = field_key_fault(event_type, key)
    return None if fault is None else f"{name}.{key} cannot be a key: {fault}."


def own_key_field(event_type: type[Event]) -> str | None:
    """The field that holds the event's own identifier, where one is declared."""
    for field, hint in get_type_hints(event_type, include_extras=True).items():
        if get_origin(hint) is Annotated and any(isinstance(note, OwnKey) for note in get_args(hint)):
            return field
    return None


def name_fault(text: str) -> str | None:
    """What keeps a key or the name of a type out of the columns and indexes of some database; nothing if it fits."""
    if "\0" in text:
        return "contains NUL"
    if len(text) > NAME_BYTES_MAX // 4 and len(text.encode(errors="replace")) > NAME_BYTES_MAX:
        return f"has over {NAME_BYTES_MAX:,} bytes"
    return None


@lru_cache(maxsize=PARTITIONS_CACHED)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: first 8 bytes of SHA-256 of its text, modulo the number of partitions.

    Part of the wire contract; it never changes.
    """
    return int.from_bytes(sha256(key.encode()).digest()[:8]) % partitions


class Checked:
    """Checks and encodes the messages of one type; made once per type and component.

    msgspec checks types when decoding only, so a message is checked here before anything is written.
    """

    def __init__(self, message_type: type[Message]) -> None:
        self.message_type = message_type
        self._key = message_type.__contract__.key
        try:
            hints = get_type_hints(message_type, include_extras=True)
            decoder = msgspec.json.Decoder(message_type)
        except (TypeError, ValueError, NameError) as error:
            raise UsageError(
                f"{message_type.__name__} has a field of a type that cannot be read back from a message: "
                f"{clause(error)}. Declare its fields with types that JSON carries, such as str, int, UUID or datetime."
            ) from None
        self._plain = [_plain_type(hints[field]) for field in message_type.__struct_fields__]
        self._all_plain = None not in self._plain
        self._encode = msgspec.json.Encoder().encode
        self.decode: Callable[[bytes | msgspec.Raw], Message] = decoder.decode
        """The message in these bytes; raises msgspec's error where they are not one."""

    def key_of(self, message: Message) -> str | None:
        """The text of the message's key, or nothing where its type declares none.

        Raises `InvalidEvent` for None, and for a text that cannot be stored in every database, or is too long.
        """
        if self._key is None:
            return None
        value: object = getattr(message, self._key)
        if value is None:
            raise InvalidEvent(
                f"{self.message_type.__name__}.{self._key} is None, and it is the key; an event needs a key to have a "
                "place in an order. Nothing was written. Publish an event without this key under another type."
            )
        text = key_text(value)
        fault = name_fault(text)
        if fault is not None:
            raise InvalidEvent(
                f"{self.message_type.__name__}.{self._key} {fault}, and it is the key. Nothing was written. "
                "Publish the event with another key."
            )
        return text

    def encode(self, message: Message) -> bytes:
        """The message as JSON; raises before anything is written if it does not fit its declaration."""
        for index, value in enumerate(msgspec.structs.astuple(message)):
            plain = self._plain[index]
            if plain is None:
                continue
            if type(value) is not plain:
                raise InvalidEvent(
                    f"{self._of(index)} must be {plain.__name__}, not {type(value).__name__}; nothing was written."
                )
            fault = _value_fault(plain, value)
            if fault is not None:
                raise InvalidEvent(f"{self._of(index)} {fault}")
        try:
            body = self._encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidEvent(
                f"{self.message_type.__name__} is no JSON: {clause(error)}; nothing was written."
            ) from None
        if not self._all_plain:
            self._check_nested(message, body)
        if len(body) > EVENT_BYTES_MAX:
            raise EventTooLarge(
                f"{self.message_type.__name__} is {len(body):,} bytes; at most {EVENT_BYTES_MAX:,} may travel. "
                "Nothing was written. Events carry identifiers and times; other columns stay in the database."
            )
        return body

    def _check_nested(self, message: Message, body: bytes) -> None:
        if is_deeper(body, DEPTH_MAX):
            raise InvalidEvent(
                f"{self.message_type.__name__} is nested deeper than {DEPTH_MAX}; nothing was written. "
                "A reader could not read it back; keep such a document in the database."
            )
        fault = nested_fault(message)
        if fault is not None:
            raise InvalidEvent(f"{self.message_type.__name__} holds a value that {fault}")
        try:
            same = reads_back(message, self.decode(body))
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidEvent(f"{self.message_type.__name__}: {clause(error)}; nothing was written.") from None
        if not same:
            raise InvalidEvent(
                f"{self.message_type.__name__} does not read back as it was written; check the types of its fields."
            )

    def _of(self, index: int) -> str:
        return f"{self.message_type.__name__}.{self.message_type.__struct_fields__[index]}"


def _plain_type(hint: Any) -> type | None:
    """The one class a value must have for a quick check, or nothing where only decoding checks it."""
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        return _plain_type(bare) if all(isinstance(note, (Justified, OwnKey)) for note in notes) else None
    return hint if hint in _PLAIN_TYPES else None


def _value_fault(plain: type, value: Any) -> str | None:
    """Why a value of the right type would not read back the same, or could not be counted with."""
    if plain is datetime:
        offset = value.utcoffset()
        if offset is None:
            return f"is a time without zone ({value}); give it one, as in datetime.now(UTC)."
        if offset % _MINUTE:
            return f"is {value}, in a zone that is not whole minutes from UTC; nothing was written."
    elif plain is float and not isfinite(value):
        return f"is {value}, which is no number in JSON; nothing was written."
    elif plain is Decimal and not _is_countable(value):
        return (
            f"is {value}, which is no number of at most {DECIMAL_DIGITS_MAX} digits before its point and as many "
            "after it; nothing was written."
        )
    return None


def _is_countable(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMAL_DIGITS_MAX and value.adjusted() < DECIMAL_DIGITS_MAX


def nested_fault(value: Any) -> str | None:
    """What is wrong with a time or number anywhere in a value, or nothing; however deep the value is."""
    left: list[Any] = [value]
    while left:
        one = left.pop()
        if isinstance(one, msgspec.Struct):
            left += [getattr(one, field) for field in one.__struct_fields__]
        elif isinstance(one, dict):
            left += [*cast(dict[Any, Any], one).keys(), *cast(dict[Any, Any], one).values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            left += cast(list[Any], one)
        else:
            kind = next((plain for plain in (datetime, float, Decimal) if isinstance(one, plain)), None)
            fault = None if kind is None else _value_fault(kind, one)
            if fault is not None:
                return fault
    return None


def reads_back(written: Any, read: Any) -> bool:
    """Whether a value was read as it was written: of the same types, and equal.

    Times are compared as instants: Python calls no two times of different zones equal where the one's offset depends
    on `fold`, in the hour that comes twice or not at all when clocks change.
    """
    if isinstance(written, datetime) and isinstance(read, datetime) and written.tzinfo and read.tzinfo:
        return not written - read
    if isinstance(written, msgspec.Struct):
        fields = written.__struct_fields__
        return type(read) is type(written) and all(reads_back(getattr(written, n), getattr(read, n)) for n in fields)
    if isinstance(written, dict) and isinstance(read, dict):
        pairs, others = cast(dict[Any, Any], written), cast(dict[Any, Any], read)
        return pairs.keys() == others.keys() and all(reads_back(one, others[key]) for key, one in pairs.items())
    if isinstance(written, (list, tuple)) and type(cast(object, read)) is type(cast(object, written)):
        items, others = cast(list[Any], written), cast(list[Any], read)
        return len(items) == len(others) and all(map(reads_back, items, others))
    return bool(written == read)


def is_deeper(document: bytes, limit: int) -> bool:
    """Whether lists and objects of a JSON document stand inside each other more than `limit` times; never recurses."""
    if document.count(b"[") + document.count(b"{") <= limit:
        return False
    depth = 0
    for found in _BRACKET_OR_STRING.finditer(document):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > limit:
                return True
        elif token in (b"]", b"}"):
            depth -= 1
    return False
