"""Publishers and subscribers of each event: read from the declarations, verified before anything is opened. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import CodeType

import msgspec

from preterite.component import Call, Component, Handler, ParameterKind, Upcast, call_of
from preterite.contracts import Checked, Command, Event, Message, key_fault
from preterite.envelope import Envelope
from preterite.errors import SystemRefused
from preterite.log.contract import Kind
from preterite.printing.text import clause
from preterite.recoverability import Recoverability
from preterite.saga import saga_faults
from preterite.schedules import Schedule, schedule_fault
from preterite.settings import shared_names
from preterite.store.rows import SCHEDULED, TICK, HandlerRegistration, tick_name

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class BoundHandler:
    """A handler with its name on disk and the way it is called."""

    name: str
    handler: Handler
    call: Call
    recoverability: Recoverability


@dataclass(frozen=True)
class Subscription:
    """One event type as one component consumes it; or its own command or calendar, whose publisher is `SCHEDULED`."""

    publisher: str
    wire_name: str
    checked: Checked
    handlers: tuple[BoundHandler, ...]
    upcasts: Mapping[int, Upcast] = field(default_factory=dict[int, Upcast])
    """How older versions are read, by their number."""

    def decoded(self, message: Envelope) -> Message:
        """The message as the handlers take it; raises msgspec's error, or what an upcast raises."""
        upcast = self.upcasts.get(message.version) if self.upcasts else None
        if upcast is None:
            return self.checked.decode(message.data)
        return upcast.make(upcast.checked.decode(message.data))

    @property
    def in_runs(self) -> bool:
        """Whether consecutive events of this type are handled together."""
        return any(bound.call.batch for bound in self.handlers)


@dataclass(frozen=True)
class Subscriptions:
    """Everything that one component subscribes to."""

    component: Component
    by_wire_name: Mapping[str, Subscription]
    commands: Mapping[str, Subscription]
    publishers: tuple[str, ...]
    declared: frozenset[str]
    fingerprint: str

    @property
    def registrations(self) -> list[HandlerRegistration]:
        """The handlers as the component's database registers them."""
        return [
            HandlerRegistration(
                bound.name, TICK if bound.handler.schedule else subscription.wire_name, bound.handler.lane
            )
            for subscription in self._all
            for bound in subscription.handlers
        ]

    @property
    def calendars(self) -> dict[str, Schedule]:
        """The component's calendars, by the name of their handler."""
        return {h.name: h.schedule for h in self.component.handlers if h.schedule is not None}

    @property
    def renamed(self) -> dict[str, str]:
        """Former names of handlers, to present ones."""
        return {h.renamed_from: h.name for h in self.component.handlers if h.renamed_from is not None}

    @property
    def given(self) -> set[ParameterKind]:
        """All that the handlers' parameters ask for."""
        bound = [bound for subscription in self._all for bound in subscription.handlers]
        return {given for handler in bound for given in handler.call.given}

    @property
    def _all(self) -> list[Subscription]:
        # A calendar that was renamed is known by both names.
        commands = {id(subscription): subscription for subscription in self.commands.values()}
        return [*self.by_wire_name.values(), *commands.values()]

    def find(self, kind: Kind, wire_name: str) -> Subscription | None:
        """What this component does with records of this kind and type; nothing if it does not subscribe."""
        return (self.commands if kind == "command" else self.by_wire_name).get(wire_name)

    def handler(self, kind: Kind, wire_name: str, name: str) -> BoundHandler | None:
        """The handler of this name for this type, if there is one."""
        subscription = self.find(kind, wire_name)
        return next((bound for bound in subscription.handlers if bound.name == name), None) if subscription else None


@dataclass(frozen=True)
class Topology:
    """All event types by wire name, and what each component subscribes to."""

    events: Mapping[str, tuple[str, type[Event]]]
    subscriptions: Mapping[str, Subscriptions]


def verify(
    system: str,
    components: Sequence[Component],
    connection_types: Mapping[str, type],
    recoverability: Recoverability | None = None,
) -> Topology:
    """Read the declarations; raises `SystemRefused` with every fault found.

    `connection_types` is the type of a bare connection, for each component that is run here.
    """
    faults = [*_name_faults(system, components), *_event_faults(components), *_future_faults(components)]
    events: dict[str, tuple[str, type[Event]]] = {}
    for component in components:
        for event_type, published in component.published.items():
            events.setdefault(published.wire_name, (component.name, event_type))
    subscriptions = {
        component.name: _subscriptions(
            component, events, connection_types[component.name], recoverability or Recoverability(), faults
        )
        for component in components
        if component.name in connection_types
    }
    if faults:
        raise SystemRefused(system, faults)
    return Topology(events, subscriptions)


def _name_faults(system: str, components: Sequence[Component]) -> list[str]:
    faults = [
        f"{name!r} is no name for a {what}: small letters, digits, '_' and '-', a letter first."
        for what, name in [("system", system), *(("component", component.name) for component in components)]
        if not _NAME.fullmatch(name)
    ]
    faults += [
        f"{name!r} is no name for a handler or an event; use characters that can be printed."
        for component in components
        for name in (*(h.name for h in component.handlers), *(p.wire_name for p in component.published.values()))
        if not name or not name.isprintable()
    ]
    faults += shared_names(component.name for component in components)
    for name, count in Counter(component.name for component in components).items():
        if count > 1:
            faults.append(f"{count} components are called {name!r}; each needs a name of its own.")
    for component in components:
        for name, count in Counter(handler.name for handler in component.handlers).items():
            if count > 1:
                faults.append(
                    f"{count} handlers of {component.name!r} are called {name!r}; give one of them another name=."
                )
    return faults


def _event_faults(components: Sequence[Component]) -> list[str]:
    faults: list[str] = []
    owners: dict[str, list[Component]] = {}
    names = {component.name for component in components}
    by_type: dict[type[Event], list[str]] = {}
    for component in components:
        for event_type, published in component.published.items():
            owners.setdefault(published.wire_name, []).append(component)
            by_type.setdefault(event_type, []).append(component.name)
            fault = key_fault(event_type)
            if fault is not None:
                faults.append(fault)
            prefix = published.wire_name.partition(".")[0]
            if prefix != component.name and prefix in names:
                faults.append(
                    f"{component.name!r} publishes {published.wire_name!r}, which is {prefix!r}'s event by its name; "
                    f"only {prefix!r} may."
                )
    for event_type, publishers in by_type.items():
        if len(publishers) > 1:
            faults.append(
                f"{event_type.__name__} is published by {_and(publishers)}; an event has exactly one publisher."
            )
    for wire_name, publishing in owners.items():
        types = {event_type for c in publishing for event_type, p in c.published.items() if p.wire_name == wire_name}
        if len(types) > 1:
            faults.append(
                f"{_and([t.__name__ for t in types])} are both called {wire_name!r} on the wire; "
                "give one of them another name=."
            )
    return faults


def _future_faults(components: Sequence[Component]) -> list[str]:
    """What is wrong with sagas, commands and calendars."""
    faults = [fault for component in components for saga in component.sagas for fault in saga_faults(saga)]
    for component in components:
        schedules = [(h.name, h.schedule) for h in component.handlers if h.schedule is not None]
        found = [(name, schedule_fault(schedule)) for name, schedule in schedules]
        faults += [f"{component.name}.{name}: {clause(fault)}." for name, fault in found if fault is not None]
    handled: dict[type[Message], list[str]] = {}
    for component in components:
        for handler in component.handlers:
            if issubclass(handler.message_type, Command) and handler.schedule is None:
                handled.setdefault(handler.message_type, []).append(f"{component.name}.{handler.name}")
    return faults + [
        f"{command.__name__} is handled by {_and(names)}; a command has exactly one handler, in the component that "
        "asks for it."
        for command, names in handled.items()
        if len(names) > 1
    ]


def _subscriptions(
    component: Component,
    events: Mapping[str, tuple[str, type[Event]]],
    connection_type: type,
    recoverability: Recoverability,
    faults: list[str],
) -> Subscriptions:
    by_type: dict[type[Message], tuple[str, str]] = {
        event_type: (publisher, wire_name) for wire_name, (publisher, event_type) in events.items()
    }
    subscribed: dict[str, list[BoundHandler]] = {}
    commands: dict[str, Subscription] = {}
    for handler in component.handlers:
        bound = _bound(component, handler, connection_type, recoverability, faults)
        if bound is None:
            continue
        name = _command_name(component, handler)
        if name is not None:
            commands[name] = Subscription(SCHEDULED, name, Checked(handler.message_type), (bound,))
            if handler.schedule is not None and handler.renamed_from is not None:
                commands[tick_name(handler.renamed_from)] = commands[name]
        elif handler.message_type in by_type:
            subscribed.setdefault(by_type[handler.message_type][1], []).append(bound)
        else:
            faults.append(
                f"{component.name}.{handler.name} handles {handler.message_type.__name__}, which no component "
                "publishes; add it to its owner's publishes=[…], and the owner to the system."
            )
    by_wire_name = {
        name: _subscription(component, name, *events[name], handlers) for name, handlers in subscribed.items()
    }
    faults += _upcast_faults(component, {events[wire_name][1] for wire_name in subscribed})
    return Subscriptions(
        component,
        by_wire_name,
        commands,
        tuple(sorted({subscription.publisher for subscription in by_wire_name.values()})),
        frozenset(events),
        _fingerprint(component, events, commands),
    )


def _subscription(
    component: Component, wire_name: str, publisher: str, event_type: type[Event], handlers: Sequence[BoundHandler]
) -> Subscription:
    upcasts = {version: upcast for (to, version), upcast in component.upcasters.items() if to is event_type}
    return Subscription(publisher, wire_name, Checked(event_type), tuple(handlers), upcasts)


def _upcast_faults(component: Component, subscribed: set[type[Event]]) -> Iterator[str]:
    for (to, version), upcast in component.upcasters.items():
        old = upcast.checked.message_type.__name__
        if to not in subscribed:
            yield f"{component.name!r} upcasts {old} to {to.__name__}, to which it does not subscribe."
        elif version >= to.__contract__.version:
            yield (
                f"{component.name!r} upcasts {old} of version {version} to {to.__name__} of version "
                f"{to.__contract__.version}; only an older version can be made into a newer one."
            )


def _bound(
    component: Component,
    handler: Handler,
    connection_type: type,
    recoverability: Recoverability,
    faults: list[str],
) -> BoundHandler | None:
    try:
        call = call_of(handler, connection_type)
    except TypeError as error:
        faults.append(f"{component.name}.{handler.name} cannot be called: {clause(error)}.")
        return None
    return BoundHandler(
        handler.name, handler, call, handler.recoverability or component.recoverability or recoverability
    )


def _command_name(component: Component, handler: Handler) -> str | None:
    """The word under which what this handler handles waits for its time; nothing if it handles events."""
    if handler.schedule is not None:
        return tick_name(handler.name)
    found = next((d for command, d in component.commands.items() if command is handler.message_type), None)
    return None if found is None else found.wire_name


def _fingerprint(
    component: Component, events: Mapping[str, tuple[str, type[Event]]], commands: Mapping[str, Subscription]
) -> str:
    """Changes whenever something may be decoded differently: another field or type, a new upcast or a corrected one."""
    known: dict[str, type[Message]] = {name: event_type for name, (_, event_type) in events.items()}
    known |= {name: subscription.checked.message_type for name, subscription in commands.items()}
    read = [f"{name}:{kind.__contract__.version}:{_shape(kind)}" for name, kind in known.items()]
    for (to, version), upcast in component.upcasters.items():
        old = upcast.checked.message_type
        read.append(f"{to.__qualname__} of {version}:{_shape(old)}:{_code(upcast.make)}")
    return sha256("".join(sorted(read)).encode()).hexdigest()


def _shape(message_type: type[Message]) -> str:
    shape = msgspec.json.schema(message_type, schema_hook=lambda kind: {"title": kind.__qualname__})
    return json.dumps(shape, sort_keys=True)


def _code(function: Callable[..., object]) -> str:
    """What a function does by itself; what it calls is not followed."""
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(type(function))
    constants = [one for one in code.co_consts if not isinstance(one, CodeType)]
    return f"{code.co_code.hex()}{code.co_names}{constants}"


def _and(names: Sequence[str]) -> str:
    return " and ".join(sorted(names))
