"""After a fault that an event may have caused: events run alone for a while, each attempt counted before it starts.

Whatever ended the process, or the connection, was handled in a batch that took events for `BATCH_SECONDS`. So events
run alone until handlers have run for a multiple of that time. What was to blame later than that ends the process again,
further on, since what ran alone is committed.
"""

from __future__ import annotations

from collections.abc import Callable

from preterite.handling.batch import BATCH_EVENTS, BATCH_SECONDS

CAREFUL_SECONDS = 4 * BATCH_SECONDS
"""Time in handlers after which events run in batches again; alone, they take longer than they did in a batch."""
CAREFUL_EVENTS = 50
"""Events that are parked at a time, to run alone before the next ones are read."""


class Careful:
    """Whether events are to run alone. Used by one thread; `handler_seconds` says for how long handlers have run."""

    def __init__(self, handler_seconds: Callable[[], float]) -> None:
        self._handler_seconds = handler_seconds
        self._events = 0
        self._until = 0.0

    def begin(self) -> None:
        """From now on."""
        self._events = BATCH_EVENTS
        self._until = self._handler_seconds() + CAREFUL_SECONDS

    def __bool__(self) -> bool:
        return self._events > 0 and self._handler_seconds() < self._until

    def passed(self, events: int) -> None:
        """So many more were taken."""
        self._events = max(self._events - events, 0)
