"""JSON and XML documents of one or more events, from and for other systems.

Names in XML match without regard to case and underscores, because messages of other systems vary in them.
A document with a DTD is refused before anything in it is read: no entity bombs, no external entities. Nothing is read
that another reader could read in another way: names that come twice, numbers that are none, documents that are nested
deeper than events may be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from math import isfinite
from typing import Any
from uuid import UUID
from xml.parsers import expat

import msgspec

from preterite.contracts import DEPTH_MAX, Event, is_deeper, nested_fault, own_key_field
from preterite.errors import InvalidEvent, Undecodable
from preterite.printing.text import clause, printable

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
"""Size of an XML or JSON document from which events are published."""
FIELDS_MAX = 1_000
"""Fields of one message in an XML document, known or not."""
NAME_CHARACTERS_SHOWN = 100
"""Characters of a foreign name in an error."""
_MESSAGE_DEPTH = 2
_FIELD_DEPTH = 3
_ENVELOPES = 2
_NOT_ALLOWED_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw


def read_json(document: bytes, event_types: Mapping[str, type[Event]], make_key: Callable[[], UUID]) -> list[Event]:
    """The events in a JSON document `{"type": …, "data": {…}}` or a list of such; one bad message refuses all."""
    _refuse_oversize(document)
    _refuse_ambiguous(document)
    try:
        decoded: _Message | list[_Message] = msgspec.json.decode(document, type=_Message | list[_Message])
        messages = decoded if isinstance(decoded, list) else [decoded]
        fields = [msgspec.json.decode(message.data, type=dict[str, Any]) for message in messages]
        types = [_known(event_types, message.type) for message in messages]
        return [_event(kind, given, make_key, strict=True) for kind, given in zip(types, fields, strict=True)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This JSON document cannot be read: {clause(error)}. Nothing was published.") from None


def read_xml(document: bytes, event_types: Mapping[str, type[Event]], make_key: Callable[[], UUID]) -> list[Event]:
    """The events in an XML document whose root wraps one or more messages; one bad message refuses all.

    A time without zone is read as UTC, a missing own key is made with `make_key`.
    """
    _refuse_oversize(document)
    by_name = {_folded(event_type.__name__): event_type for event_type in event_types.values()}
    events: list[Event] = []
    for name, texts in _Messages().parse(document):
        event_type = _known(by_name, _folded(name))
        fields = {_folded(field): field for field in event_type.__struct_encode_fields__}
        known = {fields[_folded(element)]: text for element, text in texts if _folded(element) in fields}
        events.append(_event(event_type, known, make_key, strict=False))
    return events


def write_xml(events: Sequence[Event]) -> bytes:
    """One document with these events: UTC times without zone, fields that have their default left out.

    Raises `InvalidEvent` for what is no single text (a list, a struct, or None where that is not the default), and for
    values that would not read back: a time without zone, infinity, what is no character of XML.
    """
    lines = ['<?xml version="1.0"?>', "<messages>"]
    for event in events:
        name = type(event).__name__.lower()
        lines.append(f"    <{name}>")
        lines += [f"        <{element}>{text}</{element}>" for element, text in _elements(event)]
        lines.append(f"    </{name}>")
    return "\n".join([*lines, "</messages>", ""]).encode()


def _elements(event: Event) -> list[tuple[str, str]]:
    defaults = {field.name: field.default for field in msgspec.structs.fields(event)}
    elements: list[tuple[str, str]] = []
    for field, written in zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True):
        value = getattr(event, field)
        if value == defaults[field]:
            continue
        fault = nested_fault(value)
        if fault is not None:
            raise InvalidEvent(f"{type(event).__name__}.{field} {fault}")
        elements.append((_folded(written), escape(_text_of(f"{type(event).__name__}.{field}", value), quote=False)))
    return elements


def _text_of(field: str, value: object) -> str:
    """A field's value as one text that reads back as the same value; raises `InvalidEvent` if there is none."""
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC).replace(tzinfo=None).isoformat()
        except OverflowError:
            raise InvalidEvent(f"{field} is {value}, which is no time in UTC; nothing was written.") from None
    plain = msgspec.to_builtins(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    if not isinstance(plain, (str, int, float)):
        raise InvalidEvent(f"{field} holds {type(value).__name__}, and a field of this XML is one text. Write JSON.")
    text = str(plain)
    if _NOT_ALLOWED_IN_XML.search(text):
        raise InvalidEvent(f"{field} holds a control character or half of a surrogate pair, which XML cannot carry.")
    return text


def _event(event_type: type[Event], fields: dict[str, Any], make_key: Callable[[], UUID], *, strict: bool) -> Event:
    names = dict(zip(event_type.__struct_fields__, event_type.__struct_encode_fields__, strict=True))
    own_key = own_key_field(event_type)
    if own_key is not None and names[own_key] not in fields:
        fields = {**fields, names[own_key]: str(make_key())}
    try:
        event = msgspec.convert(fields, event_type, strict=strict)
    except (msgspec.ValidationError, ValueError, ArithmeticError, RecursionError) as error:
        raise Undecodable(f"{event_type.__name__}: {clause(error)}. Nothing was published.") from None
    if not strict:
        event = _in_utc(event, names)
    fault = nested_fault(event)
    if fault is not None:
        raise Undecodable(f"{event_type.__name__} holds a value that {fault} Nothing was published.")
    return event


def _in_utc(event: Event, names: Iterable[str]) -> Event:
    naive = {
        name: value for name in names if isinstance(value := getattr(event, name), datetime) and value.tzinfo is None
    }
    return msgspec.structs.replace(event, **{name: value.replace(tzinfo=UTC) for name, value in naive.items()})


def _known(event_types: Mapping[str, type[Event]], name: str) -> type[Event]:
    if name not in event_types:
        raise Undecodable(
            f"No event is called {_cut(name)!r}; known are {', '.join(sorted(event_types)) or 'none'}. "
            "Nothing was published."
        )
    return event_types[name]


def _refuse_oversize(document: bytes) -> None:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Undecodable(
            f"The document has {len(document):,} bytes; at most {DOCUMENT_BYTES_MAX:,} are read. Nothing was published."
        )


def _refuse_ambiguous(document: bytes) -> None:
    """Refuse a document that is nested too deep, names a field twice, or holds what is no number."""
    if is_deeper(document, DEPTH_MAX + _ENVELOPES):
        raise Undecodable(f"This JSON document is nested deeper than {DEPTH_MAX}. Nothing was published.")
    try:
        json.loads(document, object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"This JSON document cannot be read: {clause(error)}. Nothing was published.") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise ValueError(f"it names {_cut(name)!r} twice")
        names.add(name)


def _finite(text: str) -> None:
    if not isfinite(float(text)):
        raise ValueError(f"{_cut(text)} is no number")


def _cut(name: str) -> str:
    return printable(name, limit=NAME_CHARACTERS_SHOWN)


def _folded(name: str) -> str:
    return name.rsplit(":", 1)[-1].replace("_", "").lower()


class _Messages:
    """Reads root / message / field, and refuses everything else that XML can do."""

    def __init__(self) -> None:
        self._depth = 0
        self._messages: list[tuple[str, list[tuple[str, str]]]] = []
        self._text: list[str] = []
        self._fields: set[str] = set()

    def parse(self, document: bytes) -> list[tuple[str, list[tuple[str, str]]]]:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(document, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise Undecodable(f"This XML document cannot be read: {clause(error)}. Nothing was published.") from None
        return self._messages

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise Undecodable(
            "This XML document declares a document type, which is refused: it could define entities. "
            "Nothing was published."
        )

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        self._text.clear()
        if self._depth == _MESSAGE_DEPTH:
            self._messages.append((name, []))
            self._fields.clear()
        elif self._depth > _FIELD_DEPTH:
            raise Undecodable(
                f"Element {_cut(name)!r} stands inside a field; a message holds plain fields only. "
                "Nothing was published."
            )

    def _end(self, name: str) -> None:
        if self._depth == _FIELD_DEPTH:
            message, fields = self._messages[-1]
            if _folded(name) in self._fields:
                raise Undecodable(f"{_cut(message)} names {_cut(name)!r} twice. Nothing was published.")
            if len(fields) == FIELDS_MAX:
                raise Undecodable(f"{_cut(message)} has more than {FIELDS_MAX:,} fields. Nothing was published.")
            self._fields.add(_folded(name))
            fields.append((name, "".join(self._text).strip()))
        self._depth -= 1
        self._text.clear()
