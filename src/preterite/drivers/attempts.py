"""Attempts to open a database or a log that is out of reach, with growing waits between them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from preterite.clock import Backoff, Clock
from preterite.errors import StoreUnavailable

OPEN_SECONDS_MIN = 0.5
"""The wait after an attempt to open what is out of reach; each further one doubles it."""
OPEN_SECONDS_MAX = 5.0
"""The longest wait between two such attempts."""


class Attempts:
    """Attempts to open something that is out of reach, with growing waits between them. For several threads."""

    def __init__(self, clock: Clock, error: StoreUnavailable) -> None:
        self._clock = clock
        self._backoff = Backoff(OPEN_SECONDS_MIN, OPEN_SECONDS_MAX)
        self._lock = threading.Lock()
        self._error = error
        self._again_at = clock.monotonic() + self._backoff.next()

    @property
    def reason(self) -> str:
        """Why the last attempt failed."""
        return str(self._error)

    def run(self, attempt: Callable[[], None]) -> None:
        """Make one attempt if it is time to; raises `StoreUnavailable` if it failed, or the last one and it is not.

        One thread at a time attempts it; others get the error of the last attempt.
        """
        if not self._lock.acquire(blocking=False):
            raise StoreUnavailable(self.reason)
        try:
            if self._clock.monotonic() < self._again_at:
                raise StoreUnavailable(self.reason)
            try:
                attempt()
            except StoreUnavailable as error:
                self._error = error
                self._again_at = self._clock.monotonic() + self._backoff.next()
                raise
        finally:
            self._lock.release()
