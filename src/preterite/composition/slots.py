"""The result of composing a page: its slots, each with what its part returned, or with the fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from preterite.errors import UsageError


class State(StrEnum):
    """How a slot was filled, or why it was not."""

    FILLED = "filled"
    NOT_CALLED = "not called"
    """There was no identifier to call its part with."""
    LATE = "late"
    FAILED = "failed"
    STOPPED = "stopped"
    """Its component is stopped."""
    NOT_FOUND = "not found"


MISSING = (State.LATE, State.FAILED, State.STOPPED)


@dataclass(frozen=True)
class Slot:
    """One slot of a composed page.

    `value` is what the part returned; an empty mapping unless the state is `filled`.
    """

    name: str
    part: str
    """Its part, with the component: finance.prices."""
    state: State
    value: Any
    fallback: str
    unknown: str
    required: bool
    milliseconds: float

    @property
    def is_missing(self) -> bool:
        """Whether the fallback has to be shown: the part failed, was late, or its component is stopped."""
        return self.state in MISSING

    def row(self, identifier: Any) -> Any:
        """The value of one identifier; nothing if the component does not know it, or the slot is missing."""
        try:
            return self.value.get(identifier)
        except AttributeError:
            raise UsageError(
                f"{self.part} returns a {type(self.value).__name__}, which has no values by identifier; show its value "
                "or return a mapping."
            ) from None

    def of(self, identifier: Any) -> Any:
        """The same, but `unknown` if the component does not know the identifier, and a dash if the slot is missing."""
        found = self.row(identifier)
        if found is not None:
            return found
        return "–" if self.is_missing else self.unknown


@dataclass(frozen=True)
class ComposedPage:
    """A composed page: the source of HTML, mails, PDFs and tests."""

    page: str
    slots: Mapping[str, Slot]
    as_of: datetime
    calls: int
    """How many parts were called: at most as many as the page has."""
    milliseconds: float

    @property
    def status(self) -> int:
        """The HTTP status, which the required parts decide."""
        required = [slot for slot in self.slots.values() if slot.required]
        if any(slot.state is State.NOT_FOUND for slot in required):
            return 404
        return 503 if any(slot.is_missing for slot in required) else 200

    @property
    def missing(self) -> list[Slot]:
        """The slots that show their fallback."""
        return [slot for slot in self.slots.values() if slot.is_missing]

    def __getitem__(self, slot: str) -> Slot:
        return self.slots[slot]
