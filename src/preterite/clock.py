"""Where time, waiting and random values come from; nothing else in the package reads them.

Business time (`now`) can be moved in demos and tests.
Machine time (`wall`, `monotonic`) cannot: leases, epochs and time limits use it.
"""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol
from uuid import UUID

_FREE_BITS = ~(0xF000 << 64 | 0xC000 << 48)


class Clock(Protocol):
    """Time as a component sees it."""

    def now(self) -> datetime:
        """The business time, with zone."""
        ...

    def wall(self) -> float:
        """The machine's time, in seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds from some start; never steps back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait this long in machine time."""
        ...


class Randomness(Protocol):
    """Random values as a component sees them."""

    def uuid(self) -> UUID:
        """A new identifier that carries no meaning."""
        ...

    def fraction(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemRandomness:
    """The machine's own randomness."""

    def uuid(self) -> UUID:
        return _uuid(os.urandom(16), version=4)

    def fraction(self) -> float:
        return random.random()


class Backoff:
    """Waits that double, from `min` seconds up to `max`."""

    def __init__(self, min: float, max: float) -> None:
        self._min = min
        self._max = max
        self._seconds = min

    def next(self) -> float:
        """The seconds to wait now; the next time twice as many."""
        seconds, self._seconds = self._seconds, min(self._seconds * 2, self._max)
        return seconds

    def reset(self) -> None:
        """Start again from `min`."""
        self._seconds = self._min


class DerivedIds:
    """Identifiers that follow from a cause, so that running again makes the same ones (protocol rule 15)."""

    def __init__(self, cause: UUID, component: str, handler: str) -> None:
        self._cause = f"{cause}\0{component}\0{handler}"
        self._ordinals: dict[tuple[str, str | None], int] = {}

    def of(self, kind: str, key: str | None = None) -> UUID:
        """The next identifier for this kind and key; the same sequence of calls gives the same identifiers."""
        ordinal = self._ordinals.get((kind, key), 0)
        self._ordinals[kind, key] = ordinal + 1
        # The key stands last: it alone may hold any character, so no two of these texts are the same.
        text = f"{self._cause}\0{kind}\0{ordinal}\0{key or ''}"
        return _uuid(sha256(text.encode()).digest()[:16], version=8)


def _uuid(octets: bytes, *, version: int) -> UUID:
    """These 16 octets as an identifier of this version: Python 3.11 knows none above 5, and is slow for the others."""
    return UUID(int=int.from_bytes(octets) & _FREE_BITS | version << 76 | 0x8000 << 48)
