"""A component: the only owner of its data, the only publisher of its events, and its handlers.

It holds no URL and opens nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from preterite.contracts import (
    Checked,
    Command,
    Event,
    Message,
    Tick,
    declares,
    wire_name,
)
from preterite.envelope import Envelope
from preterite.errors import UsageError
from preterite.publishing.transaction import names_async_session, names_session
from preterite.publishing.unit_of_work import CommandType, EventType, UnitOfWork, UnitOfWorkContext
from preterite.recoverability import Recoverability
from preterite.saga import Reaction, Saga, reactions
from preterite.schedules import DAILY, MONTHLY, Schedule

OnReplay = Literal["run", "skip"]
TIME_LIMIT_SECONDS = 30.0
"""How long a handler may run where its component sets no `time_limit_seconds`."""
SagaType = TypeVar("SagaType", bound=type[Saga])
Upcasting = TypeVar("Upcasting", bound=Callable[[Any], Event])
Function = TypeVar("Function", bound=Callable[..., Awaitable[None] | None])


class ReplayStatus(StrEnum):
    """How a message came to a handler that has a parameter of this type, so that it can leave out what is done once."""

    LIVE = "live"
    """For the first time, or for a retry of that."""
    REPLAY = "replay"
    """As history: a replay has brought it."""
    REHEARSAL = "rehearsal"
    """As history, on a copy of the database that is thrown away."""


class ParameterKind(StrEnum):
    """What fills a handler's parameter."""

    EVENT = "event"
    UNIT_OF_WORK = "unit of work"
    ENVELOPE = "envelope"
    REPLAY_STATUS = "replay status"
    SESSION = "session"
    ASYNC_SESSION = "async session"
    CONNECTION = "connection"


@dataclass(frozen=True)
class Handler:
    """A function run for each message of one type; its identity on disk is its name."""

    name: str
    message_type: type[Message]
    function: Callable[..., Any]
    lane: str = ""
    renamed_from: str | None = None
    recoverability: Recoverability | None = None
    saga: type[Saga] | None = None
    reaction: Reaction | None = None
    schedule: Schedule | None = None
    on_replay: OnReplay = "run"

    @property
    def definition(self) -> Callable[..., Any]:
        """The function as it stands in the code: what a `partial` calls, or a callable object's `__call__`."""
        return _definition(self.function)


@dataclass(frozen=True)
class Upcast:
    """How an older version of an event is read: as the class that it was, out of which the present one is made."""

    checked: Checked
    make: Callable[[Any], Message]


@dataclass(frozen=True)
class Call:
    """How a handler is called: what fills its parameters, and whether it takes a whole run of events."""

    given: tuple[ParameterKind, ...]
    batch: bool


class Component:
    """One part of the business: `Component("sales", publishes=[ItemPurchased], tables=Base.metadata)`.

    `tables` is what it owns, as SQL text or SQLAlchemy metadata; demos and tests create them from it.
    A handler that runs beyond the time limit has its process ended by `preterite run`, and the event is set aside
    if that happens again and again. A new component starts from the earliest event in the log, or, with
    `start_from="latest"`, from the next one.
    Handlers see one moment of the database and are run again on a conflict (`isolation`, where the database has it);
    "read committed" spares hot rows that, at the price that one worker may overwrite what another has read.
    """

    def __init__(
        self,
        name: str,
        *,
        publishes: Sequence[type[Event]] = (),
        tables: Any = None,
        recoverability: Recoverability | None = None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
        start_from: Literal["earliest", "latest"] = "earliest",
        isolation: Literal["repeatable read", "read committed"] = "repeatable read",
    ) -> None:
        self.name = name
        # Where its code is: `preterite check` finds by it which modules belong to the component.
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        self.module: str | None = caller.f_globals.get("__name__")
        self.line = caller.f_lineno
        self.publishes = tuple(publishes)
        self.tables = tables
        self.recoverability = recoverability
        self.time_limit_seconds = time_limit_seconds
        self.start_from = start_from
        self.isolation = isolation
        self.handlers: list[Handler] = []
        self.sagas: list[type[Saga]] = []
        self.commands: dict[type[Command], CommandType] = {}
        self.upcasters: dict[tuple[type[Event], int], Upcast] = {}
        self.published = {
            event_type: EventType(wire_name(event_type, name), Checked(event_type)) for event_type in self.publishes
        }
        self.in_use: set[int] = set()

    @declares("(ItemPurchased)")
    def handles(
        self,
        message_type: type[Event] | type[Command],
        *,
        name: str | None = None,
        lane: str = "",
        renamed_from: str | None = None,
        recoverability: Recoverability | None = None,
        on_replay: OnReplay = "run",
    ) -> Callable[[Function], Function]:
        """Run the decorated function for every event of this type, exactly once in this component's database.

        Also for a command that this component has asked for by `unit_of_work.schedule`.
        `name` is its identity on disk (the function's name where left out), `renamed_from` the name it had before.
        A `partial` and an object with `__call__` are handlers, too; the object needs a `name`.
        Handlers with a `lane` of their own keep their own order and do not wait for handlers in other lanes.
        `recoverability` replaces the component's own. With `on_replay="skip"` no replay or rehearsal brings it history,
        as is right for a handler that only calls other systems.
        """

        def declare(function: Function) -> Function:
            self._declare(
                Handler(
                    name or _name_of(function),
                    message_type,
                    function,
                    lane,
                    renamed_from,
                    recoverability,
                    on_replay=on_replay,
                )
            )
            return function

        return declare

    @declares("(OldItemPurchased, to=ItemPurchased)")
    def upcasts(self, old: type[Event], *, to: type[Event]) -> Callable[[Upcasting], Upcasting]:
        """Read what was written in an older version of an event through the decorated function.

        `old` is the class as it was, with its `version=`, no longer published; the function makes of it what
        this component's handlers take. If it raises, the event becomes a dead letter, as one that cannot be decoded.
        """

        def declare(function: Upcasting) -> Upcasting:
            self.upcasters[to, old.__contract__.version] = Upcast(Checked(old), function)
            return function

        return declare

    @declares()
    def saga(self, saga: SagaType) -> SagaType:
        """Let the functions of a saga run in this component, each under the name SAGA.FUNCTION."""
        self.sagas.append(saga)
        for name, (function, reaction) in reactions(saga).items():
            self._declare(
                Handler(f"{saga.__saga__.name}.{name}", reaction.message_type, function, saga=saga, reaction=reaction)
            )
        return saga

    @declares("('0 6 * * *')")
    def cron(
        self, expression: str, *, timezone: str = "UTC", name: str | None = None, renamed_from: str | None = None
    ) -> Callable[[Function], Function]:
        """Run the decorated function at every moment of a calendar, from the first start of the component on.

        Its first parameter is the `Tick`. Each moment is handled once, in order; those missed while the component did
        not run come late, each with the time it was meant for. Needs the extra `preterite[calendar]`.
        """

        def declare(function: Function) -> Function:
            schedule = Schedule(expression, timezone)
            self._declare(
                Handler(name or _name_of(function), Tick, function, renamed_from=renamed_from, schedule=schedule)
            )
            return function

        return declare

    @declares("()")
    def monthly(self, *, timezone: str = "UTC") -> Callable[[Function], Function]:
        """Run the decorated function at the start of every month, as `cron` does."""
        return self.cron(MONTHLY, timezone=timezone)

    @declares("()")
    def daily(self, *, timezone: str = "UTC") -> Callable[[Function], Function]:
        """Run the decorated function at the start of every day, as `cron` does."""
        return self.cron(DAILY, timezone=timezone)

    def unit_of_work(self, session: Any) -> UnitOfWorkContext:
        """One transaction on your session or connection: business rows and events commit together at exit.

        Takes a SQLAlchemy Session, an AsyncSession (`async with`), or a bare connection. Joins a transaction that is
        open, and commits all of it at its own exit, whatever block stands around it; refuses another unit inside.
        An exception rolls everything back and passes through.
        """
        return UnitOfWorkContext(self.name, self.published, self.commands, session, self.in_use)

    def _declare(self, handler: Handler) -> None:
        self.handlers.append(handler)
        message_type = handler.message_type
        if issubclass(message_type, Command) and handler.schedule is None:
            is_timeout = handler.reaction is not None and handler.reaction.kind == "times out"
            saga = handler.saga.__saga__.name if handler.saga is not None and is_timeout else None
            self.commands.setdefault(
                message_type, CommandType(wire_name(message_type, self.name), Checked(message_type), saga)
            )

    def __repr__(self) -> str:
        return f"Component({self.name!r})"


def _without_partials(function: Any) -> Any:
    return _without_partials(function.func) if _is_partial(function) else function


def _is_partial(function: Any) -> bool:
    return isinstance(function, partial)


def _definition(function: Callable[..., Any]) -> Callable[..., Any]:
    function = _without_partials(function)
    return function if inspect.isroutine(function) or hasattr(function, "__wrapped__") else type(function).__call__


def _name_of(function: Callable[..., Any]) -> str:
    """The name of a function; what has none of its own is refused, for the name is a handler's identity on disk."""
    function = _without_partials(function)
    name: str | None = getattr(function, "__name__", None)
    if name is None:
        raise UsageError(
            f"{type(function).__name__} objects have no name of their own, which a handler needs as its identity on "
            "disk; nothing was declared. Give it one by name=."
        )
    return name


def call_of(handler: Handler, connection_type: type) -> Call:
    """Read from its annotations how a handler wants to be called; raises TypeError with the fault in one sentence."""
    takes = _takes(connection_type)
    parameters = _parameters(handler, takes)
    # The event may be a class inside a function, whose names are visible only there.
    local = {handler.message_type.__name__: handler.message_type}
    try:
        hints = get_type_hints(handler.definition, localns=local)
    except Exception as error:
        raise TypeError(
            f"an annotation cannot be read ({error}); import what it names at run time; a handler takes {takes}"
        ) from None
    batch = _is_batch(hints.get(parameters[0].name, handler.message_type), handler.message_type)
    if inspect.isgeneratorfunction(handler.definition) or inspect.isasyncgenfunction(handler.definition):
        raise TypeError("it yields, so nothing would run it to its end; a handler returns")
    others = tuple(_given(parameter.name, hints.get(parameter.name), connection_type) for parameter in parameters[1:])
    if batch and ParameterKind.ENVELOPE in others:
        raise TypeError("a batch handler has no single envelope")
    if batch and (handler.saga is not None or issubclass(handler.message_type, Command)):
        raise TypeError("sagas and commands are handled one by one, not as a Sequence")
    return Call((ParameterKind.EVENT, *others), batch)


def _parameters(handler: Handler, takes: str) -> list[inspect.Parameter]:
    """What is to be passed, by position."""
    try:
        signature = inspect.signature(handler.function)
    except (TypeError, ValueError):
        raise TypeError("its parameters cannot be read; write a function of your own that calls it") from None
    filled: dict[str, Any] = getattr(handler.function, "keywords", {}) if _is_partial(handler.function) else {}
    parameters = [one for one in signature.parameters.values() if one.name not in filled]
    parameters = parameters[0 if handler.saga is None else 1 :]
    if not parameters:
        raise TypeError("it takes no message; its first parameter is the event or command")
    if any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters):
        raise TypeError("it takes parameters by keyword only; write them without the *")
    for one in parameters:
        if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise TypeError(
                f"it takes {one}, which does not say what it gets; name its parameters one by one: the message, then "
                f"any of {takes}"
            )
    return parameters


def _is_batch(annotation: Any, message_type: type[Message]) -> bool:
    """Whether the first parameter takes a Sequence; raises TypeError if it is not made for this message."""
    origin = get_origin(annotation) or annotation
    batch = isinstance(origin, type) and issubclass(origin, Sequence)
    parts = get_args(annotation) or (None,)
    if (parts[0] if batch else annotation) is not message_type:
        raise TypeError(f"its first parameter is not a {message_type.__name__} nor a Sequence of it")
    return batch


def _takes(connection_type: type) -> str:
    """What a handler's parameters may be on this kind of database."""
    driver = next(base for base in connection_type.__mro__ if not base.__module__.startswith("preterite"))
    return f"UnitOfWork, Envelope, ReplayStatus, Session, AsyncSession and {driver.__module__}.{driver.__qualname__}"


def _given(name: str, annotation: Any, connection_type: type) -> ParameterKind:
    if annotation is UnitOfWork:
        return ParameterKind.UNIT_OF_WORK
    if annotation is Envelope:
        return ParameterKind.ENVELOPE
    if annotation is ReplayStatus:
        return ParameterKind.REPLAY_STATUS
    if names_session(annotation):
        return ParameterKind.SESSION
    if names_async_session(annotation):
        return ParameterKind.ASYNC_SESSION
    if isinstance(annotation, type) and issubclass(connection_type, annotation) and annotation is not object:
        return ParameterKind.CONNECTION
    takes = _takes(connection_type)
    if annotation is None:
        raise TypeError(
            f"its parameter {name!r} has no annotation, which decides what it gets; write one, as in "
            f"session: Session; a handler takes {takes}"
        )
    raise TypeError(f"nothing can fill its parameter {name!r}; a handler takes {takes}")
