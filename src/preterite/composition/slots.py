"""What came of a page: its slots, each with what its owner answered, or with the owner's sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What became of a slot."""

    FILLED = "filled"
    UNASKED = "not asked"
    """There was no identifier to ask with."""
    LATE = "late"
    FAILED = "failed"
    STOPPED = "stopped"
    """Its component does not run here just now."""
    NOT_THERE = "not there"


MISSING = (State.LATE, State.FAILED, State.STOPPED)


@dataclass(frozen=True)
class Slot:
    """One slot of a composed page.

    `value` is what the part answered; an empty mapping unless the state is `filled`.
    """

    name: str
    part: str
    """Its part, with the owner: finance.prices."""
    state: State
    value: Any
    fallback: str
    unknown: str
    required: bool
    milliseconds: float

    @property
    def is_missing(self) -> bool:
        """Whether the fallback has to be shown: its owner could not say, or not in time."""
        return self.state in MISSING

    def row(self, identifier: Any) -> Any:
        """What is known of one identifier; nothing if the owner does not know it, or could not say."""
        return self.value.get(identifier)

    def of(self, identifier: Any) -> Any:
        """The same, as text where it is not known: the owner's word for that; a dash where the owner could not say."""
        found = self.value.get(identifier)
        if found is not None:
            return found
        return "–" if self.is_missing else self.unknown


@dataclass(frozen=True)
class Composed:
    """A composed page. It is what pages, mails, PDFs and tests are made from."""

    page: str
    slots: Mapping[str, Slot]
    as_of: datetime
    calls: int
    """How many parts were called: never more than the page has."""
    milliseconds: float

    @property
    def status(self) -> int:
        """As HTTP would have it: what the required parts decide."""
        required = [slot for slot in self.slots.values() if slot.required]
        if any(slot.state is State.NOT_THERE for slot in required):
            return 404
        return 503 if any(slot.is_missing for slot in required) else 200

    @property
    def missing(self) -> list[Slot]:
        """The slots in which the owner's sentence stands."""
        return [slot for slot in self.slots.values() if slot.is_missing]

    def __getitem__(self, slot: str) -> Slot:
        return self.slots[slot]
