"""Streams that are stalled at a gap: why, and requests to their publisher to send again what is missing."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass
class _Request:
    """What is requested of a stream, when the next time, and the waits after that."""

    number: int
    due: float
    backoff: Backoff


class ResendRequests:
    """Hints to publishers: at once, then after growing waits. What is requested twice is sent once."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._requested: dict[Stream, _Request] = {}

    def request(self, stream: Stream, number: int, *, at_once: bool = True) -> bool:
        """Request this number of a stream, and what follows it, if it is due; whether it was.

        Not `at_once`, the first request waits as a second one does: the publisher may be sending it already.
        """
        now = self._clock.monotonic()
        request = self._requested.get(stream)
        if request is None or request.number != number:
            backoff = Backoff(RESEND_SECONDS_MIN, RESEND_SECONDS_MAX)
            request = self._requested[stream] = _Request(number, now if at_once else now + backoff.next(), backoff)
        if now < request.due:
            return False
        self._log.request_resend(stream, number)
        request.due = now + request.backoff.next()
        return True

    def clear(self, stream: Stream) -> None:
        """The stream has recovered; what is missing next is requested at once."""
        self._requested.pop(stream, None)
