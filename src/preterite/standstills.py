"""Streams that stand still at a gap: why, and asking their publisher to send again what is missing."""

from __future__ import annotations

from typing import NamedTuple

from preterite.clock import Clock
from preterite.log import Log, Stream

ASK_SECONDS_MIN = 2.0
ASK_SECONDS_MAX = 120.0


class Standstill(NamedTuple):
    """Why a stream stands still, and before which number."""

    reason: str
    before: int


class Asking:
    """Hints to publishers: at once, then after growing waits. What is asked for twice is sent once."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._asked: dict[Stream, tuple[float, float]] = {}

    def ask(self, stream: Stream, number: int) -> bool:
        """Ask for this number of a stream, and what follows it, if it is time to; whether it was."""
        now = self._clock.monotonic()
        due, wait = self._asked.get(stream, (now, ASK_SECONDS_MIN))
        if now >= due:
            self._log.ask_again(stream, number)
            self._asked[stream] = (now + wait, min(wait * 2, ASK_SECONDS_MAX))
        return now >= due

    def is_over(self, stream: Stream) -> None:
        """It moves again; what is missing next is asked for at once."""
        self._asked.pop(stream, None)
