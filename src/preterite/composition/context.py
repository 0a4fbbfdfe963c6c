"""What all executions of one composer share: the pools, the threads, the time, and what the log says of parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from preterite.clock import Clock
from preterite.composition.parts import Part
from preterite.composition.pools import CALLS_AT_A_TIME, ComponentPool
from preterite.composition.slots import State
from preterite.errors import UsageError
from preterite.printing.logger import logger

INLINE_SECONDS = 0.03
"""How long one part may block the event loop, where the application has chosen `inline`."""
OVERLAP_SECONDS = 0.01
"""How long a part delays the start of the next one, where the event loop is not blocked."""
INLINE_PAUSE_SECONDS = 0.25
"""How long a page is not inline after one of its parts has taken longer than `INLINE_SECONDS`."""

_logger = logger("preterite.composition")


class InlineBudget:
    """Whether the executions of one page may block the event loop; not for a while after a part was too slow for it."""

    def __init__(self, *, inline: bool) -> None:
        self.overlap_seconds = INLINE_SECONDS if inline else OVERLAP_SECONDS
        """How long one part may delay the others."""
        self._paused_until = 0.0 if inline else float("inf")

    def is_available(self, now: float) -> bool:
        """Whether the event loop may be blocked."""
        return now >= self._paused_until

    def exhaust(self, now: float) -> None:
        """A part was too slow; the page is not inline for `INLINE_PAUSE_SECONDS`."""
        self._paused_until = max(self._paused_until, now + INLINE_PAUSE_SECONDS)


class CompositionContext:
    """Shared by the executions of a composer, which run in several threads."""

    def __init__(
        self, clock: Clock, pools: Mapping[str, ComponentPool], seconds: Mapping[bool, float], stopped: set[str]
    ) -> None:
        self.clock = clock
        self.pools = pools
        """By component."""
        self.stopped = stopped
        """Components that are not called at present."""
        self._seconds = seconds
        self._troubles: dict[str, State] = {}
        self._has_refused = False
        # As many threads as there are places in all pools: a part that has a place never waits for a thread.
        self._threads = ThreadPoolExecutor(max(len(pools), 1) * CALLS_AT_A_TIME, "parts of pages")

    def seconds_of(self, part: Part) -> float:
        """How long a part may take."""
        return self._seconds[part.required] if part.seconds is None else part.seconds

    def run_in_thread(self, work: Callable[[], None]) -> None:
        """Run this in one of the threads; raises `UsageError` once it is closed."""
        try:
            self._threads.submit(work)
        except RuntimeError:
            raise UsageError("This composer is closed; compose pages within its with block.") from None

    def note(self, part: Part, state: State, error: BaseException | None = None) -> None:
        """Log a part's failure once, and its recovery once, rather than at every view."""
        # A part that finds nothing under an identifier says nothing of its component's health.
        if state is State.NOT_FOUND or self._troubles.get(part.full_name, State.FILLED) is state:
            return
        self._troubles[part.full_name] = state
        if state is State.FILLED:
            _logger.info("%s has recovered.", part.full_name)
        elif state is State.LATE:
            seconds = self.seconds_of(part) * 1000
            _logger.warning("%s did not answer within %.0f ms; its slot shows the fallback.", part.full_name, seconds)
        else:
            _logger.warning("%s failed; its slot shows the fallback.", part.full_name, exc_info=error)

    def note_refusal(self, most: int) -> None:
        """Log once that pages are refused."""
        if not self._has_refused:
            self._has_refused = True
            _logger.warning("%d pages are being composed; one more shows the fallback in every slot at once.", most)

    def close(self) -> None:
        """Close threads and connections; a part that is still running ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for pool in self.pools.values():
            pool.close()
