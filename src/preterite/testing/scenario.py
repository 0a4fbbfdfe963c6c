"""Given, when, then: what has happened, what happens now, and what is published because of it.

    given(system, ItemPurchased(…)).when(InvoiceOverdue(…)).then(CustomerBlocked)

Everything is real but the log, which is in memory, and the clock, which only the test moves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from preterite.contracts import Event
from preterite.errors import UsageError
from preterite.printing.arguments import shown
from preterite.testing import StartedSystem

Act = Callable[[StartedSystem], object]


class Scenario:
    """One system under test. Every step settles: handlers have run, and what they have published has been consumed."""

    def __init__(self, shop: StartedSystem) -> None:
        self.shop = shop
        self._published: list[Event] = []
        """What this scenario has published itself."""
        self._before: list[Event] = []
        """What components had published before the last `when`."""

    def given(self, *what: Event | Act) -> Scenario:
        """What has happened: events as their owners publish them, or anything that is done to the system."""
        for one in what:
            self._do(one)
        self._before = self._by_components()
        return self

    def when(self, *what: Event | Act) -> Scenario:
        """What happens now; `then` compares what is published from here on."""
        self._before = self._by_components()
        for one in what:
            self._do(one)
        return self

    def advance(self, by: timedelta) -> Scenario:
        """Time passes; what comes due meanwhile is done, at its moment."""
        self.shop.clock.advance(by)
        return self

    def then(self, *expected: Event | type[Event]) -> Scenario:
        """Components have published exactly these since `when`, in any order; a type stands for any of its events."""
        for one in expected:
            if not isinstance(cast(object, one), Event | type):
                raise UsageError(f"{shown(one)} is no event and no type of events; pass either.")
        left = self._since()
        missing: list[Event | type[Event]] = []
        for one in sorted(expected, key=lambda one: isinstance(one, type)):
            found = next((event for event in left if event == one or type(event) is one), None)
            if found is None:
                missing.append(one)
            else:
                left.remove(found)
        if missing or left:
            raise AssertionError(_difference(missing, left))
        return self

    def _do(self, what: Event | Act) -> None:
        if isinstance(what, Event):
            self._publish(what)
            self._published.append(what)
        elif isinstance(what, type) or not callable(what):
            raise UsageError(f"{shown(what)} is no event; pass one with its fields, or a function of the system.")
        else:
            what(self.shop)
        self.shop.settle()

    def _publish(self, event: Event) -> None:
        owners = [one for one in self.shop.components.values() if type(event) in one.published]
        if not owners:
            raise UsageError(f"No component of {self.shop.name!r} publishes {type(event).__name__}.")
        with self.shop.connection(owners[0]) as connection, owners[0].unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(event)

    def _since(self) -> list[Event]:
        found = self._by_components()
        for event in self._before:
            found.remove(event)
        return found

    def _by_components(self) -> list[Event]:
        """Every event in the log but those that the scenario has published itself."""
        types: list[Any] = [event for one in self.shop.components.values() for event in one.published]
        found: list[Event] = [event for one in types for event in self.shop.published(one)]
        for event in self._published:
            found.remove(event)
        return found


def _difference(missing: list[Event | type[Event]], left: list[Event]) -> str:
    lines = ["The published events are not the expected ones."]
    lines += [f"  not published: {one.__name__ if isinstance(one, type) else one}" for one in missing]
    lines += [f"  not expected: {one}" for one in left]
    return "\n".join(lines)
