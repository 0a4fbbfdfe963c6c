"""Events and commands: how a message is declared, and what its declaration promises.

An event is a frozen, keyword-only struct. Class keywords say how it travels:

    class ItemPurchased(Event, key="customer_id"): ...

`key` names the field that orders and partitions it, `name` its chosen word on the wire
(component + class name where left out), `version` its version, 1 where left out.
A command is a component's message to its own future; it never leaves the component.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import Annotated, Any, ClassVar, cast, dataclass_transform, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from preterite.errors import EventTooLarge, InvalidEvent

EVENT_BYTES_MAX = 256 * 1024
PARTITIONS_CACHED = 8192
_MINUTE = timedelta(minutes=1)
_PLAIN_TYPES = (str, int, bool, float, bytes, UUID, Decimal, datetime)


@dataclass(frozen=True)
class Fact:
    """Why a field that is neither an identifier nor a time must travel: `Annotated[int, Fact("…")]`."""

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
        type.__setattr__(cls, "__contract__", Contract(key, name, version))
        return cast(MessageMeta, cls)


class Message(msgspec.Struct, metaclass=MessageMeta):
    """What is written to be handled: an event or a command."""

    __contract__: ClassVar[Contract]


class Event(Message):
    """A fact that happened in its owner's database: past tense, identifiers and the time, nothing more."""


class Command(Message):
    """What a component tells itself to do later: imperative; handled by the component that asked for it, only."""


class Tick(Command):
    """A moment of a calendar: which calendar, and the moment it was meant for, however late it is handled."""

    calendar: str
    at: datetime


def wire_name(message_type: type[Message], component: str) -> str:
    """The message's word on the wire: the chosen one, or component and class name."""
    return message_type.__contract__.name or f"{component}.{message_type.__name__}"


def key_fault(event_type: type[Event]) -> str | None:
    """Say what is wrong with the event's key, or nothing."""
    key = event_type.__contract__.key
    if key is None or key in event_type.__struct_fields__:
        return None
    fields = ", ".join(event_type.__struct_fields__)
    return f"{event_type.__name__} names {key!r} as its key, but has no such field; fields: {fields}."


def own_key_field(event_type: type[Event]) -> str | None:
    """The field that holds the event's own identifier, where one is declared."""
    for field, hint in get_type_hints(event_type, include_extras=True).items():
        if get_origin(hint) is Annotated and any(isinstance(note, OwnKey) for note in get_args(hint)):
            return field
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
        hints = get_type_hints(message_type, include_extras=True)
        self._plain = [_plain_type(hints[field]) for field in message_type.__struct_fields__]
        self._all_plain = None not in self._plain
        self._encode = msgspec.json.Encoder().encode
        self.decode: Callable[[bytes | msgspec.Raw], Message] = msgspec.json.Decoder(message_type).decode
        """The message in these bytes; raises msgspec's error where they are not one."""

    def key_of(self, message: Message) -> str | None:
        """The text of the message's key, or nothing where its type declares none."""
        return None if self._key is None else str(getattr(message, self._key))

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
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidEvent(f"{self.message_type.__name__} is no JSON: {error}; nothing was written.") from error
        if not self._all_plain:
            self._check_by_decoding(message, body)
        if len(body) > EVENT_BYTES_MAX:
            raise EventTooLarge(
                f"{self.message_type.__name__} is {len(body):,} bytes; at most {EVENT_BYTES_MAX:,} may travel. "
                "Nothing was written. Events carry identifiers and times; leave the rest at home."
            )
        return body

    def _check_by_decoding(self, message: Message, body: bytes) -> None:
        try:
            same = self.decode(body) == message
        except msgspec.ValidationError as error:
            raise InvalidEvent(f"{self.message_type.__name__}: {error}; nothing was written.") from error
        naive = _first_naive(message)
        if naive is not None:
            raise InvalidEvent(
                f"{self.message_type.__name__} holds a time without zone ({naive}); "
                "give it one, as in datetime.now(UTC)."
            )
        if not same:
            raise InvalidEvent(
                f"{self.message_type.__name__} does not read back as it was written; check the types of its fields."
            )

    def _of(self, index: int) -> str:
        return f"{self.message_type.__name__}.{self.message_type.__struct_fields__[index]}"


def _plain_type(hint: Any) -> type | None:
    """The one class a value must have for a quick check, or nothing where only decoding can tell."""
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        return _plain_type(bare) if all(isinstance(note, (Fact, OwnKey)) for note in notes) else None
    return hint if hint in _PLAIN_TYPES else None


def _value_fault(plain: type, value: Any) -> str | None:
    """Why a value of the right type would not read back the same."""
    if plain is datetime:
        offset = value.utcoffset()
        if offset is None:
            return f"is a time without zone ({value}); give it one, as in datetime.now(UTC)."
        if offset % _MINUTE:
            return f"is {value}, in a zone that is not whole minutes from UTC; nothing was written."
    elif plain is float and not isfinite(value):
        return f"is {value}, which is no number in JSON; nothing was written."
    return None


def _first_naive(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo is None else None
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, field) for field in value.__struct_fields__]
    elif isinstance(value, dict):
        value = list(cast(dict[Any, Any], value).values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return next(filter(None, map(_first_naive, cast(list[Any], value))), None)
    return None
