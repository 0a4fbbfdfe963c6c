"""A component: the only owner of its data, the only publisher of its events, and its handlers.

It holds no URL and opens nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from preterite.contracts import Checked, Event, wire_name
from preterite.envelope import Envelope
from preterite.recoverability import Recoverability
from preterite.sessions import names_async_session, names_session
from preterite.unit_of_work import OwnUnitOfWork, Published, UnitOfWork

TIME_LIMIT_SECONDS = 30.0
Function = TypeVar("Function", bound=Callable[..., Awaitable[None] | None])


class Given(StrEnum):
    """What fills a handler's parameter."""

    EVENT = "event"
    UNIT_OF_WORK = "unit of work"
    ENVELOPE = "envelope"
    SESSION = "session"
    ASYNC_SESSION = "async session"
    CONNECTION = "connection"


@dataclass(frozen=True)
class Handler:
    """A function run for each event of one type; its identity on disk is its name."""

    name: str
    event_type: type[Event]
    function: Callable[..., Any]
    lane_group: str
    formerly: str | None


@dataclass(frozen=True)
class Call:
    """How a handler is called: what fills its parameters, and whether it takes a whole run of events."""

    given: tuple[Given, ...]
    batch: bool


class Component:
    """One part of the business: `Component("sales", publishes=[ItemPurchased], tables=Base.metadata)`.

    `tables` is what it owns, as SQL text or SQLAlchemy metadata; demos and tests create them from it.
    A handler that runs beyond the time limit has its process ended by `preterite run`, and the event is set aside
    if that happens again and again.
    """

    def __init__(
        self,
        name: str,
        *,
        publishes: Sequence[type[Event]] = (),
        tables: Any = None,
        recoverability: Recoverability | None = None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self.name = name
        self.publishes = tuple(publishes)
        self.tables = tables
        self.recoverability = recoverability or Recoverability()
        self.time_limit_seconds = time_limit_seconds
        self.handlers: list[Handler] = []
        self.published = {
            event_type: Published(wire_name(event_type, name), Checked(event_type)) for event_type in self.publishes
        }
        self.in_use: set[int] = set()

    def handles(
        self, event_type: type[Event], *, name: str | None = None, apart: str = "", formerly: str | None = None
    ) -> Callable[[Function], Function]:
        """Run the decorated function for every event of this type, exactly once in this component's database.

        `name` is its identity on disk (the function's name where left out), `formerly` the name it had before.
        Handlers declared `apart` under a word keep an order of their own and do not wait for the others.
        """

        def declare(function: Function) -> Function:
            self.handlers.append(Handler(name or function.__name__, event_type, function, apart, formerly))
            return function

        return declare

    def unit_of_work(self, session: Any) -> OwnUnitOfWork:
        """One transaction on your session or connection: business rows and events commit together at exit.

        Takes a SQLAlchemy Session, an AsyncSession (`async with`), or a bare connection; joins an open
        transaction; refuses nesting. An exception rolls everything back and passes through.
        """
        return OwnUnitOfWork(self.name, self.published, session, self.in_use)

    def __repr__(self) -> str:
        return f"Component({self.name!r})"


def call_of(handler: Handler, connection_type: type) -> Call:
    """Read from its annotations how a handler wants to be called; raises TypeError with the fault in one sentence."""
    parameters = list(inspect.signature(handler.function).parameters.values())
    try:
        # The event may be a class inside a function, whose names nobody else can see.
        hints = get_type_hints(handler.function, localns={handler.event_type.__name__: handler.event_type})
    except NameError as error:
        raise TypeError(f"an annotation cannot be read ({error}); import what it names at run time") from None
    if not parameters:
        raise TypeError("it takes no event; its first parameter is the event")
    first = hints.get(parameters[0].name, handler.event_type)
    batch = get_origin(first) is not None and issubclass(get_origin(first), Sequence)
    if (get_args(first)[0] if batch else first) is not handler.event_type:
        raise TypeError(f"its first parameter is not a {handler.event_type.__name__} nor a Sequence of it")
    if any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters):
        raise TypeError("it takes parameters by keyword only; write them without the *")
    if inspect.isgeneratorfunction(handler.function) or inspect.isasyncgenfunction(handler.function):
        raise TypeError("it yields, so nothing would run it to its end; a handler returns")
    others = tuple(_given(parameter.name, hints.get(parameter.name), connection_type) for parameter in parameters[1:])
    if batch and Given.ENVELOPE in others:
        raise TypeError("a batch handler has no single envelope")
    return Call((Given.EVENT, *others), batch)


def _given(name: str, annotation: Any, connection_type: type) -> Given:
    if annotation is UnitOfWork:
        return Given.UNIT_OF_WORK
    if annotation is Envelope:
        return Given.ENVELOPE
    if names_session(annotation):
        return Given.SESSION
    if names_async_session(annotation):
        return Given.ASYNC_SESSION
    if isinstance(annotation, type) and issubclass(connection_type, annotation) and annotation is not object:
        return Given.CONNECTION
    raise TypeError(
        f"nothing can fill its parameter {name!r}; known are UnitOfWork, Envelope, Session, AsyncSession "
        f"and a {connection_type.__mro__[1].__name__}"
    )
