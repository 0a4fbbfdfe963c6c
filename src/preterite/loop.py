"""A loop: work that is done in steps. A step returns what came of it; the host or `settle` decides what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """What came of one step; true if there was something to do."""

    busy: bool
    published: bool = False
    """Of a receiver: handlers may have published, so that the relay has something to do."""
    drained: bool = False
    """Of a relay: it took all that was in the outbox."""

    def __bool__(self) -> bool:
        return self.busy


class Loop(Protocol):
    """Work that is done in steps, by one thread."""

    @property
    def is_broken(self) -> bool:
        """Whether a connection is lost, so that only a new loop can go on."""
        ...

    def step(self) -> Progress:
        """Do one round and return what came of it; never waits."""
        ...

    def seconds_to_next(self) -> float | None:
        """How long it is until something is due by the business clock; None if nothing is known to be."""
        ...

    def close(self) -> None:
        """Give up leases and connections."""
        ...
