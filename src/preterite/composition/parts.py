"""Parts: what one component fills on pages. A part gets sets of identifiers, so that one query serves all rows.

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
from preterite.printing.arguments import declares, shown
from preterite.publishing.transaction import names_connection, names_session

Identifier = TypeVar("Identifier", bound=Hashable)
Function = TypeVar("Function", bound=Callable[..., Any])
Ids: TypeAlias = frozenset[Identifier]
"""Identifiers of one kind, each once."""
Kind: TypeAlias = Any
"""A `NewType`, for which Python has no type."""


class NotFound(Exception):
    """The subject of the page does not exist, or not for this viewer. From a required part it makes the page a 404."""


class AsOf(NamedTuple):
    """An identifier at a moment, for a value as it was then: a name, a price."""

    id: Any
    at: datetime


@dataclass(frozen=True)
class PageRequest:
    """What every part may read of the request for a page. It holds nothing that other parts returned."""

    as_of: datetime
    """The moment for which the page is composed."""
    viewer: UUID | None = None
    """Who requests the page, if that is known."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further parameters: a text to search for, a page number. Not validated: the part does that."""


@dataclass(frozen=True)
class PartResult:
    """What a part returns if it provides identifiers to other parts: its value, and identifiers by kind."""

    value: Any
    provides: Mapping[Kind, Iterable[Hashable]] = field(default_factory=dict[Kind, Iterable[Hashable]])


class Injected(StrEnum):
    """What is passed to a parameter that takes no identifiers."""

    REQUEST = "request"
    SESSION = "session"
    CONNECTION = "connection"
    DRIVER = "driver's connection"


_PASSED_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Part:
    """A function that fills one slot, with what it needs, what it provides, and its fallback.

    A page may place it in another slot with `at`, or restrict its identifiers to some sources with `of`.
    """

    component: Component
    name: str
    function: Callable[..., Any]
    needs: Mapping[str, Kind]
    """The parameters that take identifiers, and the kind of each."""
    injected: Mapping[str, Injected]
    provides: tuple[Kind, ...]
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
        """With its component, as in finance.prices."""
        return f"{self.component.name}.{self.name}"

    def of(self, *sources: str) -> Part:
        """The same part, with identifiers from these sources only: names that the page takes, or slots."""
        return replace(self, sources=sources)

    def at(self, slot: str) -> Part:
        """The same part in another slot, for a page that shows it twice."""
        return replace(self, slot=slot)


@dataclass
class Parts:
    """The parts and form sections of one component: `Parts(finance)`."""

    component: Component
    parts: list[Part] = field(default_factory=list[Part])
    sections: list[Section] = field(default_factory=list[Section])

    @declares("(fallback='no price')")
    def part(
        self,
        *,
        fallback: str,
        provides: Sequence[Kind] = (),
        required: bool = False,
        seconds: float | None = None,
        unknown: str = "",
    ) -> Callable[[Callable[..., Any]], Part]:
        """Declare that the decorated function fills the slot of its name.

        Parameters are passed by annotation: `Ids[Kind]`, `PageRequest`, and, for reading this component's database,
        SQLAlchemy's `Session` or `Connection` (which is faster), or a connection of the driver. The function returns
        any value, usually a mapping by identifier; or a `PartResult`, if it provides identifiers. After `seconds` (by
        default 0.25, or 2 if `required`) the page is shown without it, with the `fallback`; without a `required` part
        it is not shown. `unknown` is shown for a row that is not in the mapping. The function runs in a thread.
        """

        def declare(function: Callable[..., Any]) -> Part:
            needs, injected = _parameters(function, self.component)
            name = function.__name__
            if seconds is not None and not seconds > 0:
                raise UsageError(f"Part {self.component.name}.{name} has {seconds} seconds; write more than 0.")
            part = Part(
                self.component,
                name,
                function,
                needs,
                injected,
                tuple(provides),
                required,
                seconds,
                fallback,
                unknown,
                slot=name,
            )
            self.parts.append(part)
            return part

        return declare

    @declares("('price', read=read_price, fallback='no price')")
    def section(
        self, *fields: str, read: Callable[[Mapping[str, str], PageRequest], Any], fallback: str
    ) -> Callable[[Callable[..., None]], Section]:
        """Declare that the decorated function writes these fields of a form, under the identifier of the form.

        `read` makes a value of the fields, or raises `ValidationError` with a message for each field that is not
        valid; it returns None if there is nothing to write. It must not query a database. A field that the form does
        not have reads as empty. The function gets the identifier, the value, a session of this component and the
        `PageRequest`; it opens its own unit of work, and does nothing the second time with the same identifier.
        `fallback` is shown if the component cannot be reached.
        """

        def declare(function: Callable[..., None]) -> Section:
            subject = _require_plain("section", self.component, function)
            if inspect.iscoroutinefunction(read):
                raise UsageError(f"{subject} has a read that is async; write a plain function, which queries nothing.")
            section = Section(self.component, function.__name__, tuple(fields), read, function, fallback)
            self.sections.append(section)
            return section

        return declare


def _parameters(function: Callable[..., Any], component: Component) -> tuple[dict[str, Kind], dict[str, Injected]]:
    """Read from its annotations what a part is called with; raises `UsageError` with the fault in one sentence."""
    subject = _require_plain("part", component, function)
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise UsageError(f"{subject} has an annotation that cannot be read ({error}).") from None
    needs: dict[str, Kind] = {}
    injected: dict[str, Injected] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name)
        if parameter.kind not in _PASSED_BY_NAME:
            raise UsageError(f"{subject}: parameter {name!r} cannot be passed by its name; write it without * or /.")
        if get_origin(annotation) is frozenset:
            needs[name] = get_args(annotation)[0]
        elif (what := _injected_by(annotation)) is not None:
            injected[name] = what
        else:
            raise UsageError(
                f"{subject}: parameter {name!r} cannot be passed; annotate it as Ids[Kind], PageRequest, Session, "
                "Connection or a connection of the driver."
            )
    reading = [name for name, what in injected.items() if what is not Injected.REQUEST]
    if len(reading) > 1:
        raise UsageError(f"{subject} reads by {' and '.join(reading)}; one session or connection is enough.")
    return needs, injected


def _require_plain(what: str, component: Component, function: Callable[..., Any]) -> str:
    """The part or section in a sentence; raises `UsageError` if a call of its function would not do its work."""
    plain = inspect.unwrap(function)
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        raise UsageError(f"A {what} of {component.name} is {shown(function)}, which is no function; write it with def.")
    subject = f"{what.capitalize()} {component.name}.{function.__name__} ({place_of(function)})"
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise UsageError(f"{subject} is async; a {what} is a plain function, which runs in a thread.")
    if inspect.isgeneratorfunction(plain):
        raise UsageError(f"{subject} yields; a {what} does its work and returns.")
    return subject


def _injected_by(annotation: Any) -> Injected | None:
    if annotation is PageRequest:
        return Injected.REQUEST
    if names_session(annotation):
        return Injected.SESSION
    if names_connection(annotation):
        return Injected.CONNECTION
    kind = get_origin(annotation) or annotation
    is_driver = isinstance(kind, type) and hasattr(kind, "cursor")
    return Injected.DRIVER if is_driver else None
