"""Flows of events: the declarations of a system as plain rows, and how many events of each the log contains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preterite.component import Component
from preterite.contracts import Event
from preterite.evolution.shapes import Shape, shape_of
from preterite.system import System


@dataclass(frozen=True)
class Flow:
    """An event, its publisher, and its subscribers with their handlers."""

    event: type[Event]
    shape: Shape
    publisher: str
    subscribers: Mapping[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """The name of the event's class."""
        return self.event.__name__

    @property
    def summary(self) -> str:
        """The first line of the docstring of the event's class."""
        return (self.event.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True)
class ObservedFlows:
    """What the log contains: the number of events by type."""

    counts: Mapping[str, int]
    events: int
    is_complete: bool
    """Whether the whole log was read."""

    def undeclared(self, flows: Sequence[Flow]) -> list[str]:
        """Types in the log that no component of the system publishes."""
        return sorted(set(self.counts) - {flow.shape.name for flow in flows})


def flows_of(system: System) -> list[Flow]:
    """Every event of a system, in the order of the publishers."""
    return [
        Flow(event, shape_of(event, component.name), component.name, _subscribers(system, event))
        for component in system.components
        for event in component.publishes
    ]


def _subscribers(system: System, event: type[Event]) -> dict[str, tuple[str, ...]]:
    found = {one.name: _handlers(one, event) for one in system.components}
    return {name: handlers for name, handlers in found.items() if handlers}


def _handlers(component: Component, event: type[Event]) -> tuple[str, ...]:
    return tuple(handler.name for handler in component.handlers if handler.message_type is event)
