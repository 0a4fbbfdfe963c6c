"""Who tells whom what: the declarations of a system as plain rows, and what of it has really been seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from preterite.component import Component
from preterite.contracts import Event
from preterite.evolution.shapes import Shape, shape_of
from preterite.system import System


@dataclass(frozen=True)
class Told:
    """An event, who publishes it, and who hears it with which handlers."""

    event: type[Event]
    shape: Shape
    publisher: str
    heard_by: Mapping[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """Its class's name, as people say it."""
        return self.event.__name__

    @property
    def says(self) -> str:
        """The first sentence of what its class says of itself."""
        return (self.event.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True)
class Observed:
    """What was seen in the log: how many events of each type."""

    counts: Mapping[str, int]
    events: int
    whole: bool
    """Whether all that the log holds was looked at."""

    def undeclared(self, told: list[Told]) -> list[str]:
        """Types that were seen and are published by nobody here."""
        return sorted(set(self.counts) - {one.shape.name for one in told})


def tellings(system: System) -> list[Told]:
    """Every event of a system, publisher by publisher."""
    return [
        Told(event, shape_of(event, component.name), component.name, _hearing(system, event))
        for component in system.components
        for event in component.publishes
    ]


def _hearing(system: System, event: type[Event]) -> dict[str, tuple[str, ...]]:
    found = {one.name: _handlers(one, event) for one in system.components}
    return {name: handlers for name, handlers in found.items() if handlers}


def _handlers(component: Component, event: type[Event]) -> tuple[str, ...]:
    return tuple(handler.name for handler in component.handlers if handler.message_type is event)
