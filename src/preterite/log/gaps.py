"""Streams that are stalled at a gap: why, and requests to their publisher to send again what is missing."""

from __future__ import annotations

from typing import NamedTuple

from preterite.clock import Backoff, Clock
from preterite.log.contract import Log, Stream

RESEND_SECONDS_MIN = 2.0
"""The wait before a missing record is requested a second time; each request doubles it."""
RESEND_SECONDS_MAX = 120.0
"""The longest wait between two requests for a missing record."""


class StalledStream(NamedTuple):
    """Why a stream is stalled, and before which number."""

    reason: str
    before: int


class ResendRequests:
    """Hints to publishers: at once, then after growing waits. What is requested twice is sent once."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._requested: dict[Stream, tuple[float, Backoff]] = {}
        """When the next request of a stream is due, and the waits between them."""

    def request(self, stream: Stream, number: int) -> bool:
        """Request this number of a stream, and what follows it, if it is due; whether it was."""
        now = self._clock.monotonic()
        due, backoff = self._requested.get(stream) or (now, Backoff(RESEND_SECONDS_MIN, RESEND_SECONDS_MAX))
        if now >= due:
            self._log.request_resend(stream, number)
            self._requested[stream] = (now + backoff.next(), backoff)
        return now >= due

    def clear(self, stream: Stream) -> None:
        """The stream has recovered; what is missing next is requested at once."""
        self._requested.pop(stream, None)
