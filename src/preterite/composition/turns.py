"""Turns: views whose parts read files in this process have their parts asked one view at a time.

Threads of one interpreter that all compute hinder each other: eight at once do half of what one does. So a thread waits
for its turn; but where one part is slow, whoever has the turn is passed by.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

PATIENCE_SECONDS = 0.02
"""So long one part may keep the turn before another view goes on beside it."""


class Turns:
    """Whose turn it is. Used by many threads, each in the order in which it came."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._holder: threading.Event | None = None
        self._since = 0.0

    @contextmanager
    def one(self) -> Generator[Callable[[], None]]:
        """Wait for the turn, or until whoever has it is too slow; give it up at the end, if it is still one's own.

        What is given is to be called before each part: so long one keeps the turn.
        """
        mine = threading.Event()
        with self._lock:
            if self._holder is None:
                self._hold(mine)
            else:
                self._waiting.append(mine)
        while not mine.is_set():
            mine.wait(max(self._since + PATIENCE_SECONDS - self._monotonic(), 0.0))
            self._pass_by(mine)
        try:
            yield lambda: self._go_on(mine)
        finally:
            with self._lock:
                if self._holder is mine:
                    self._holder = None
                    if self._waiting:
                        self._hold(self._waiting.popleft())

    def _hold(self, one: threading.Event) -> None:
        self._holder, self._since = one, self._monotonic()
        one.set()

    def _pass_by(self, mine: threading.Event) -> None:
        with self._lock:
            if not mine.is_set() and self._monotonic() >= self._since + PATIENCE_SECONDS:
                self._waiting.remove(mine)
                self._hold(mine)

    def _go_on(self, mine: threading.Event) -> None:
        # Read and written without the lock: at worst somebody passes by a little early.
        if self._holder is mine:
            self._since = self._monotonic()


@contextmanager
def no_turns() -> Generator[Callable[[], None]]:
    """For parts that wait for servers: they go on side by side."""
    yield lambda: None
