"""Rules about events: what they are called, what they carry, who says and hears them."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from preterite.checks.findings import Finding, place_of
from preterite.checks.partition import Partition
from preterite.checks.words import says_what_happened, suggestion
from preterite.component import Component
from preterite.contracts import Event, Fact

_IDENTIFIER = re.compile(r"(^|_)(id|ids|uuid|identifier|identifiers)$")
_NUMBER = re.compile(r"(^|_)(number|numbers|no|nr|code|sku|isbn|ean|vin|slug|reference)$")
_PERSONAL = re.compile(
    r"(^|_)(e?_?mail|email_address|phone|telephone|mobile|fax|first_name|last_name|surname|given_name|full_name|family_name|"
    r"customer_name|user_name|username|nickname|street|address|postal_code|post_code|postcode|zip|zip_code|birth_?date|"
    r"birthday|date_of_birth|born_at|age|gender|iban|bic|card_number|credit_card|passport|ssn|social_security|tax_id|"
    r"national_id|ip|ip_address|user_agent|latitude|longitude|location|password|photo)$"
)
_MANY = (list, tuple, set, frozenset, Sequence)
_SHAPES = (
    (re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", re.IGNORECASE), "an e-mail address"),
    (re.compile(r"\+\d[\d ()/-]{6,}\d"), "a telephone number"),
    (re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}"), "an account number"),
    (re.compile(r"(?:\d{1,3}\.){3}\d{1,3}"), "a network address"),
)
_DATE = re.compile(r"(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])")
OBSERVED_MIN = 5
"""How many different values it takes to see a sequence or a prefix."""
COUNTING_SPREAD = 10
"""So many times as many numbers as there are values may lie between the least and the greatest of those that count."""


def check_events(partition: Partition) -> Iterator[Finding]:
    """All findings about events, as they are declared."""
    heard = {handler.message_type for one in partition.system.components for handler in one.handlers}
    published = {event for one in partition.system.components for event in one.publishes}
    for component in partition.system.components:
        for event in component.publishes:
            yield from _declared(component, event)
            if event not in heard:
                sentence = f"Nobody hears {event.__name__} of {component.name}."
                yield _finding("event-unheard", component, event, "", sentence)
        for handler in component.handlers:
            if issubclass(handler.message_type, Event) and handler.message_type not in published:
                what = handler.message_type.__name__
                sentence = f"{component.name}'s {handler.name} handles {what}, which no component publishes."
                place = place_of(handler.function)
                yield Finding("event-unpublished", component.name, what, handler.name, sentence, place)


def _declared(component: Component, event: type[Event]) -> Iterator[Finding]:
    name = event.__name__
    if not says_what_happened(name):
        sentence = f"{name} does not say what has happened; {suggestion(name)} would."
        yield _finding("event-not-past", component, event, "", sentence)
    if event.__contract__.key is None:
        yield _finding("event-without-key", component, event, "", f"{name} has no key; nothing orders it.")
    if event.__mro__[1] is not Event:
        sentence = f"{name} inherits from {event.__mro__[1].__name__}."
        yield _finding("event-inherits", component, event, "", sentence)
    for field, hint in get_type_hints(event, include_extras=True).items():
        if field in event.__struct_fields__:
            yield from _field(component, event, field, hint)


def _field(component: Component, event: type[Event], field: str, hint: Any) -> Iterator[Finding]:
    name = f"{event.__name__}.{field}"
    if _PERSONAL.search(field):
        yield _finding("personal-data", component, event, field, f"{name} is personal data by its name.")
        return
    if _has_reason(hint):
        return
    bare = _bare(hint)
    if bare in (UUID, datetime) or _is_opaque(bare) or (bare is str and _IDENTIFIER.search(field)):
        return
    if _IDENTIFIER.search(field) or (_NUMBER.search(field) and bare in (str, int)):
        sentence = f"{name} is an identifier of type {_shown(bare)}: it will be read as more than that; UUID is not."
        yield _finding("identifier-has-meaning", component, event, field, sentence)
        return
    sentence = f"{name} is {_shown(bare)}, neither an identifier nor an instant, and says no reason."
    yield _finding("event-carries", component, event, field, sentence)


def observed(component: str, event: str, field: str, values: Sequence[object]) -> Iterator[Finding]:
    """Findings about the values of a field that were seen in events."""
    texts = [str(value) for value in dict.fromkeys(values) if value is not None]
    for shape, what in _SHAPES:
        if any(shape.fullmatch(text) for text in texts):
            sentence = f"{event}.{field} was seen to hold {what}."
            yield Finding("personal-data", component, f"{event}.{field}", "observed", sentence)
            return
    meaning = meaning_of(texts) if _IDENTIFIER.search(field) or _NUMBER.search(field) else None
    if meaning is not None:
        sentence = f"{event}.{field} was seen to hold {meaning}."
        yield Finding("identifier-has-meaning", component, f"{event}.{field}", "observed", sentence)


def meaning_of(texts: Sequence[str]) -> str | None:
    """What can be read out of identifiers: numbers that count, dates, a prefix; nothing where they mean nothing."""
    if len(texts) < OBSERVED_MIN or all(_is_uuid(text) for text in texts):
        return None
    ends = [re.search(r"\d{1,18}$", text) for text in texts]
    numbers = sorted(int(end[0]) for end in ends if end is not None)
    if len(numbers) == len(texts) and numbers[-1] - numbers[0] < COUNTING_SPREAD * len(numbers):
        return "numbers that count"
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
    return get_origin(hint) is Annotated and any(isinstance(note, Fact) for note in get_args(hint)[1:])


def _bare(hint: Any) -> Any:
    """The type without notes, without None, and of several of a kind the one."""
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
    """A string type of its own that stands for an identifier: NewType("CustomerId", str)."""
    return isinstance(bare, NewType) and bare.__supertype__ in (str, UUID)


def _shown(bare: Any) -> str:
    return bare.__name__ if isinstance(bare, type) else str(bare).replace("typing.", "")


def _finding(rule: str, component: Component, event: type[Event], field: str, sentence: str) -> Finding:
    what = event.__name__ if not field else f"{event.__name__}.{field}"
    operation = {"event-not-past": "name", "event-unheard": "publish"}.get(rule, "declare")
    return Finding(rule, component.name, what, operation, sentence, place_of(event, field))
