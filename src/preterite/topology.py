"""Who publishes what and who listens: read from the declarations, verified before anything is opened. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from preterite.component import Call, Component, Given, Handler, call_of
from preterite.contracts import Checked, Event, key_fault
from preterite.errors import SystemRefused
from preterite.rows import HandlerRegistration

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class BoundHandler:
    """A handler with its name on disk and the way it is called."""

    name: str
    handler: Handler
    call: Call


@dataclass(frozen=True)
class Subscription:
    """One event type as one component hears it."""

    publisher: str
    wire_name: str
    checked: Checked
    handlers: tuple[BoundHandler, ...]

    @property
    def in_runs(self) -> bool:
        """Whether consecutive events of this type are handled together."""
        return any(bound.call.batch for bound in self.handlers)


@dataclass(frozen=True)
class Subscriptions:
    """Everything one component hears."""

    component: Component
    by_wire_name: Mapping[str, Subscription]
    publishers: tuple[str, ...]
    declared: frozenset[str]
    fingerprint: str

    @property
    def registrations(self) -> list[HandlerRegistration]:
        """The handlers as the component's database registers them."""
        return [
            HandlerRegistration(bound.name, subscription.wire_name, bound.handler.lane_group)
            for subscription in self.by_wire_name.values()
            for bound in subscription.handlers
        ]

    @property
    def renamed(self) -> dict[str, str]:
        """Former names of handlers, to present ones."""
        return {h.formerly: h.name for h in self.component.handlers if h.formerly is not None}

    @property
    def given(self) -> set[Given]:
        """All that the handlers' parameters ask for."""
        bound = [bound for subscription in self.by_wire_name.values() for bound in subscription.handlers]
        return {given for handler in bound for given in handler.call.given}

    def handler(self, wire_name: str, name: str) -> BoundHandler | None:
        """The handler of this name for this type, if there is one."""
        subscription = self.by_wire_name.get(wire_name)
        return next((bound for bound in subscription.handlers if bound.name == name), None) if subscription else None


@dataclass(frozen=True)
class Topology:
    """All event types by wire name, and what each component hears."""

    events: Mapping[str, tuple[str, type[Event]]]
    subscriptions: Mapping[str, Subscriptions]


def verify(system: str, components: Sequence[Component], connection_types: Mapping[str, type]) -> Topology:
    """Read the declarations; raises `SystemRefused` with every fault found.

    `connection_types` says what a bare connection is, for each component that is run here.
    """
    faults = [*_name_faults(system, components), *_event_faults(components)]
    events: dict[str, tuple[str, type[Event]]] = {}
    for component in components:
        for event_type, published in component.published.items():
            events.setdefault(published.wire_name, (component.name, event_type))
    subscriptions = {
        component.name: _subscriptions(component, events, connection_types[component.name], faults)
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


def _subscriptions(
    component: Component, events: Mapping[str, tuple[str, type[Event]]], connection_type: type, faults: list[str]
) -> Subscriptions:
    by_type = {event_type: (publisher, wire_name) for wire_name, (publisher, event_type) in events.items()}
    bound: dict[str, list[BoundHandler]] = {}
    for handler in component.handlers:
        if handler.event_type not in by_type:
            faults.append(
                f"{component.name}.{handler.name} handles {handler.event_type.__name__}, which no component publishes; "
                "add it to its owner's publishes=[…], and the owner to the system."
            )
            continue
        try:
            call = call_of(handler, connection_type)
        except TypeError as error:
            faults.append(f"{component.name}.{handler.name} cannot be called: {error}.")
            continue
        bound.setdefault(by_type[handler.event_type][1], []).append(BoundHandler(handler.name, handler, call))
    by_wire_name = {
        wire_name: Subscription(events[wire_name][0], wire_name, Checked(events[wire_name][1]), tuple(handlers))
        for wire_name, handlers in bound.items()
    }
    publishers = tuple(sorted({subscription.publisher for subscription in by_wire_name.values()}))
    contracts = "".join(
        f"{name}:{event_type.__contract__.version}:{event_type.__struct_encode_fields__}"
        for name, (_, event_type) in sorted(events.items())
    )
    return Subscriptions(component, by_wire_name, publishers, frozenset(events), sha256(contracts.encode()).hexdigest())


def _and(names: Sequence[str]) -> str:
    return " and ".join(sorted(names))
