"""A bound for what is logged again and again."""

from __future__ import annotations


class LineLimit:
    """At most `lines` in each stretch of `seconds`; what is beyond is counted. Used by one thread at a time."""

    def __init__(self, lines: int, seconds: float) -> None:
        self._lines = lines
        self._seconds = seconds
        self._began_at = float("-inf")
        self._logged = 0
        self._left_out = 0

    def allows(self, now: float) -> bool:
        """Whether one more line may be logged at this monotonic time; it is counted, as logged or as left out."""
        if now - self._began_at >= self._seconds:
            self._began_at, self._logged = now, 0
        if self._logged >= self._lines:
            self._left_out += 1
            return False
        self._logged += 1
        return True

    def left_out(self, now: float) -> int:
        """How many lines were left out in a stretch that is over and were not returned here yet; 0 until then."""
        if not self._left_out or now - self._began_at < self._seconds:
            return 0
        return self.take_left_out()

    def take_left_out(self) -> int:
        """How many lines were left out until now and were not returned yet."""
        count, self._left_out = self._left_out, 0
        return count
