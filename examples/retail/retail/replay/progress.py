"""What a person sees while the replay runs: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

BAR_CELLS = 30
TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 10.0


class ProgressBar:
    """Shows how many lines are done, how fast, and which day it is in the year that is replayed."""

    def __init__(self, total: int, start: int, monotonic: Callable[[], float]) -> None:
        self._total = total
        self._start = start
        self._monotonic = monotonic
        self._began = self._shown_at = monotonic()
        self._terminal = sys.stderr.isatty()

    def show(self, done: int, at: datetime, refused: int) -> None:
        """Show where the replay is, if it is time to."""
        now = self._monotonic()
        if now - self._shown_at < (TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS):
            return
        self._shown_at = now
        text = self._text(done, at, refused, now)
        print(f"\r{text}\x1b[K" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self, done: int, refused: int) -> None:
        """Say how it went."""
        seconds = self._monotonic() - self._began
        newline = "\r\x1b[K" if self._terminal else ""
        print(
            f"{newline}replayed {done - self._start:,} lines in {seconds:.0f} s, {refused:,} refused", file=sys.stderr
        )

    def _text(self, done: int, at: datetime, refused: int, now: float) -> str:
        rate = (done - self._start) / max(now - self._began, 0.001)
        left = (self._total - done) / max(rate, 1.0)
        cells = BAR_CELLS * done // max(self._total, 1)
        bar = "█" * cells + "░" * (BAR_CELLS - cells)
        return (
            f"replay {bar} {done:>6,} / {self._total:,}  {at:%Y-%m-%d}  {rate:,.0f} lines/s  "
            f"about {left:.0f} s left  {refused:,} refused"
        )
