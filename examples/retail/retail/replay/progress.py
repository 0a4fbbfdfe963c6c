"""The progress of a replay on stderr: a bar on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

BAR_CELLS = 30
TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 10.0


class ProgressBar:
    """Shows how many lines are done, how fast, the business date, and how long the rest takes."""

    def __init__(self, total: int, start: int, monotonic: Callable[[], float]) -> None:
        self._total = total
        self._start = start
        self._monotonic = monotonic
        self._began = monotonic()
        self._shown_at = float("-inf")
        self._terminal = sys.stderr.isatty()

    def show(self, done: int, at: datetime, refused: int) -> None:
        """Show the progress, if it is time to."""
        now = self._monotonic()
        if now - self._shown_at < (TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS):
            return
        self._shown_at = now
        text = self._text(done, at, refused, now)
        print(f"\r{text}\x1b[K" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self, done: int, refused: int) -> None:
        """Show the totals."""
        seconds = self._monotonic() - self._began
        newline = "\r\x1b[K" if self._terminal else ""
        print(
            f"{newline}replayed {done - self._start:,} lines in {seconds:.0f} s, {refused:,} refused", file=sys.stderr
        )

    def _text(self, done: int, at: datetime, refused: int, now: float) -> str:
        rate = (done - self._start) / max(now - self._began, 0.001)
        left = (self._total - done) / max(rate, 1.0)
        cells = BAR_CELLS * done // max(self._total, 1)
        bar = "█" * cells + "░" * (BAR_CELLS - cells) + " " if self._terminal else ""
        pace = f"{rate:,.0f} lines/s  about {left:,.0f} s left  " if done > self._start else ""
        return f"replay {bar}{done:>6,} / {self._total:,} lines  {at:%Y-%m-%d}  {pace}{refused:,} refused"
