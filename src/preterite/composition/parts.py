"""Parts: what one component fills on pages. A part gets sets of identifiers, so that a query per row cannot be written.

A kind of identifier is a `NewType`: `ProductId = NewType("ProductId", UUID)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from preterite.component import Component
from preterite.composition.forms import Section, place_of
from preterite.errors import UsageError
from preterite.sessions import names_connection, names_session

Identifier = TypeVar("Identifier", bound=Hashable)
Function = TypeVar("Function", bound=Callable[..., Any])
Ids: TypeAlias = frozenset[Identifier]
"""Identifiers of one kind, each once."""
Kind: TypeAlias = Any
"""A `NewType`: Python gives it no type of its own."""


class NotThere(Exception):
    """What the page is about does not exist, or not for this viewer. From a required part it makes the page a 404."""


class AsOf(NamedTuple):
    """An identifier at a moment: what something was called, or was worth, then."""

    id: Any
    at: datetime


@dataclass(frozen=True)
class Ask:
    """What every part may know of the question; it says nothing of what other parts answer."""

    as_of: datetime
    """The moment for which the page is asked."""
    viewer: UUID | None = None
    """Who looks, if that is known."""
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """What else was asked for: a text to search for, the number of a page. Not validated: its owner does that."""


@dataclass(frozen=True)
class Slice:
    """What a part answers, where it gives identifiers to others: its value, and identifiers by kind, in its order."""

    value: Any
    gives: Mapping[Kind, Iterable[Hashable]] = field(default_factory=dict[Kind, Iterable[Hashable]])


class Filled(StrEnum):
    """What fills a parameter that takes no identifiers."""

    ASK = "ask"
    SESSION = "session"
    CONNECTION = "connection"
    DRIVER = "driver's connection"


@dataclass(frozen=True)
class Part:
    """A function that fills one slot, and what it needs, gives and says when it cannot.

    On a page it may be placed under another `slot`, or be asked only with identifiers `of` some sources.
    """

    component: Component
    name: str
    function: Callable[..., Any]
    needs: Mapping[str, Kind]
    """Parameters that take identifiers, and of which kind."""
    filled: Mapping[str, Filled]
    gives: tuple[Kind, ...]
    required: bool
    seconds: float | None
    fallback: str
    unknown: str
    slot: str
    sources: tuple[str, ...] | None = None

    @property
    def place(self) -> str:
        """Where it is declared."""
        return place_of(self.function)

    @property
    def full_name(self) -> str:
        """With its owner, as in finance.prices."""
        return f"{self.component.name}.{self.name}"

    def of(self, *sources: str) -> Part:
        """The same, asked only with identifiers from these: names that the page takes, or slots."""
        return replace(self, sources=sources)

    def at(self, slot: str) -> Part:
        """The same, under another slot: for a page that shows it twice."""
        return replace(self, slot=slot)


@dataclass
class Parts:
    """What one component fills on pages, and takes from forms: `Parts(finance)`."""

    component: Component
    parts: list[Part] = field(default_factory=list[Part])
    sections: list[Section] = field(default_factory=list[Section])

    def part(
        self,
        *,
        fallback: str,
        gives: Sequence[Kind] = (),
        required: bool = False,
        seconds: float | None = None,
        unknown: str = "",
    ) -> Callable[[Callable[..., Any]], Part]:
        """Declare that the decorated function fills the slot of its name.

        Parameters are filled by annotation: `Ids[Kind]`, `Ask`, and, of this component and read-only, SQLAlchemy's
        `Session` or `Connection` (which is faster), or a bare connection of the driver. It answers with anything,
        usually a mapping by identifier of what it knows; or with a `Slice`, where it gives identifiers. Unless it is
        `required` the page is shown without it after so many `seconds` (a quarter of one where left out; two where
        required), with the `fallback`; `unknown` stands for a row that is not in the mapping. It runs in a thread of
        its component.
        """

        def declare(function: Callable[..., Any]) -> Part:
            needs, filled = _parameters(function, self.component)
            name = getattr(function, "__name__", repr(function))
            part = Part(
                self.component,
                name,
                function,
                needs,
                filled,
                tuple(gives),
                required,
                seconds,
                fallback,
                unknown,
                slot=name,
            )
            self.parts.append(part)
            return part

        return declare

    def section(
        self, *fields: str, read: Callable[[Mapping[str, str], Ask], Any], fallback: str
    ) -> Callable[[Callable[..., None]], Section]:
        """Declare that the decorated function writes these fields of a form, under the identifier of the form.

        `read` makes of the fields what it takes, or raises `Invalid` with a sentence for each field that cannot be
        right; or nothing, where there is nothing to write. It may look nothing up. A field that the form does not
        have reads as empty. The function is given the identifier, what was read, a session of this
        component and the `Ask`; it opens its own unit of work, and does nothing the second time with the same
        identifier. `fallback` is said where the component cannot be reached.
        """

        def declare(function: Callable[..., None]) -> Section:
            section = Section(self.component, function.__name__, tuple(fields), read, function, fallback)
            self.sections.append(section)
            return section

        return declare


def _parameters(function: Callable[..., Any], component: Component) -> tuple[dict[str, Kind], dict[str, Filled]]:
    """Read from its annotations what a part is asked with; raises `UsageError` with the fault in one sentence."""
    subject = f"Part {component.name}.{getattr(function, '__name__', function)} ({place_of(function)})"
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"{subject} is async; a part is a plain function, which runs in a thread of its component.")
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise UsageError(f"{subject} has an annotation that cannot be read ({error}).") from None
    needs: dict[str, Kind] = {}
    filled: dict[str, Filled] = {}
    for name in inspect.signature(function).parameters:
        annotation = hints.get(name)
        if get_origin(annotation) is frozenset:
            needs[name] = get_args(annotation)[0]
        elif (what := _filled_by(annotation)) is not None:
            filled[name] = what
        else:
            raise UsageError(
                f"{subject}: nothing can fill its parameter {name!r}; known are Ids[Kind], Ask, Session, "
                "Connection and a driver's connection."
            )
    return needs, filled


def _filled_by(annotation: Any) -> Filled | None:
    if annotation is Ask:
        return Filled.ASK
    if names_session(annotation):
        return Filled.SESSION
    if names_connection(annotation):
        return Filled.CONNECTION
    kind = get_origin(annotation) or annotation
    is_driver = isinstance(kind, type) and hasattr(kind, "cursor")
    return Filled.DRIVER if is_driver else None
