"""Rules about events: their names, their fields, their publishers and subscribers."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from preterite.checks.findings import Finding, place_of
from preterite.checks.partition import Partition
from preterite.checks.past_tense import is_past_tense, suggestion
from preterite.checks.personal import is_personal
from preterite.component import Component
from preterite.contracts import Event, Justified

_IDENTIFIER = re.compile(r"(^|_)(id|ids|uuid|identifier|identifiers)$")
_NUMBER = re.compile(r"(^|_)(number|numbers|no|nr|code|sku|isbn|ean|vin|slug|reference)$")
_MANY = (list, tuple, set, frozenset, Sequence)
_SHAPES = (
    (re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", re.IGNORECASE), "an e-mail address"),
    (re.compile(r"\+\d[\d ()/-]{6,}\d"), "a telephone number"),
    (re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}"), "an account number"),
    (re.compile(r"(?:\d{1,3}\.){3}\d{1,3}"), "a network address"),
)
_DATE = re.compile(r"(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])")
OBSERVED_MIN = 5
"""How many different values are needed to detect a sequence or a prefix."""
COUNTING_SPREAD = 10
"""Values are consecutive numbers if their range is less than this many times their count."""


def check_events(partition: Partition) -> Iterator[Finding]:
    """All findings about the declarations of events."""
    handled = {handler.message_type for one in partition.system.components for handler in one.handlers}
    published = {event for one in partition.system.components for event in one.publishes}
    for component in partition.system.components:
        for event in component.publishes:
            yield from _declared(component, event)
            if event not in handled:
                message = f"No component subscribes to {event.__name__} of {component.name}."
                yield _finding("event-without-subscriber", component, event, "", message)
        for handler in component.handlers:
            if issubclass(handler.message_type, Event) and handler.message_type not in published:
                what = handler.message_type.__name__
                message = (
                    f"The handler {handler.name} of {component.name} handles {what}, which no component publishes."
                )
                place = place_of(handler.definition)
                yield Finding("event-without-publisher", component.name, what, handler.name, message, place)


def _declared(component: Component, event: type[Event]) -> Iterator[Finding]:
    name = event.__name__
    if not is_past_tense(name):
        message = f"{name} is not in the past tense; {suggestion(name)} would be."
        yield _finding("event-not-past-tense", component, event, "", message)
    if event.__contract__.key is None:
        yield _finding("event-without-key", component, event, "", f"{name} has no key, so that no order is kept.")
    if event.__mro__[1] is not Event:
        message = f"{name} inherits from {event.__mro__[1].__name__}."
        yield _finding("event-inherits", component, event, "", message)
    for field, hint in get_type_hints(event, include_extras=True).items():
        if field in event.__struct_fields__:
            yield from _field(component, event, field, hint)


def _field(component: Component, event: type[Event], field: str, hint: Any) -> Iterator[Finding]:
    name = f"{event.__name__}.{field}"
    bare = _bare(hint)
    if is_personal(field, UUID if _is_opaque(bare) else bare):
        yield _finding("personal-data", component, event, field, f"{name} is personal data, judging by its name.")
        return
    if _has_reason(hint):
        return
    if bare in (UUID, datetime) or _is_opaque(bare) or (bare is str and _IDENTIFIER.search(field)):
        return
    if _IDENTIFIER.search(field) or (_NUMBER.search(field) and bare in (str, int)):
        message = f"{name} is an identifier of type {_type_name(bare)}, which can carry meaning; a UUID cannot."
        yield _finding("identifier-has-meaning", component, event, field, message)
        return
    message = f"{name} is {_type_name(bare)}, neither an identifier nor an instant, and states no reason."
    yield _finding("event-carries-data", component, event, field, message)


def check_values(component: str, event: str, field: str, values: Sequence[object]) -> Iterator[Finding]:
    """Findings about values of a field in published events."""
    texts = [str(value) for value in dict.fromkeys(values) if value is not None]
    for shape, what in _SHAPES:
        if any(shape.fullmatch(text) for text in texts):
            message = f"{event}.{field} contained {what}."
            yield Finding("personal-data", component, f"{event}.{field}", "observed", message)
            return
    meaning = meaning_of(texts) if _IDENTIFIER.search(field) or _NUMBER.search(field) else None
    if meaning is not None:
        message = f"{event}.{field} contained {meaning}."
        yield Finding("identifier-has-meaning", component, f"{event}.{field}", "observed", message)


def meaning_of(texts: Sequence[str]) -> str | None:
    """The meaning that identifiers carry: consecutive numbers, dates or a prefix; None if they carry none."""
    if len(texts) < OBSERVED_MIN or all(_is_uuid(text) for text in texts):
        return None
    ends = [re.search(r"\d{1,18}$", text) for text in texts]
    numbers = sorted(int(end[0]) for end in ends if end is not None)
    if len(numbers) == len(texts) and numbers[-1] - numbers[0] < COUNTING_SPREAD * len(numbers):
        return "consecutive numbers"
    if all(_DATE.search(text) for text in texts):
        return "dates"
    prefix = texts[0]
    for text in texts:
        while not text.startswith(prefix):
            prefix = prefix[:-1]
    stem = re.match(r"[A-Za-z]+[-_/.]?", prefix)
    return f"the prefix {stem[0]!r}" if stem is not None and len(stem[0]) >= 2 else None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _has_reason(hint: Any) -> bool:
    return get_origin(hint) is Annotated and any(isinstance(note, Justified) for note in get_args(hint)[1:])


def _bare(hint: Any) -> Any:
    """The type without annotations and None; of a collection, the type of its items."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        inner = [one for one in get_args(hint) if one is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else hint
    if get_origin(hint) in _MANY:
        inner = {_bare(one) for one in get_args(hint) if one is not Ellipsis}
        return inner.pop() if len(inner) == 1 else hint
    return hint


def _is_opaque(bare: Any) -> bool:
    """Whether it is a distinct string type for an identifier: NewType("CustomerId", str)."""
    return isinstance(bare, NewType) and bare.__supertype__ in (str, UUID)


def _type_name(bare: Any) -> str:
    return bare.__name__ if isinstance(bare, type) else str(bare).replace("typing.", "")


def _finding(rule: str, component: Component, event: type[Event], field: str, message: str) -> Finding:
    what = event.__name__ if not field else f"{event.__name__}.{field}"
    operation = {"event-not-past-tense": "name", "event-without-subscriber": "publish"}.get(rule, "declare")
    return Finding(rule, component.name, what, operation, message, place_of(event, field))
