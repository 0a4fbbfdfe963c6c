"""What goes wrong in a simulated world, and when: decided by the seed alone."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field
from typing import Any

CRASH = "crash"
LOCKED = "locked"
FULL = "disk full"
COMMIT_UNKNOWN = "commit unknown"
PAUSE = "pause"
UNREACHABLE = "log unreachable"
UNANSWERED = "append unanswered"
PARTLY = "append broken off"
LOSES = "log loses what it had"
LOSES_OLD = "log loses what is old"
REPEAT = "records repeated"
DELAY = "records held back"

RATES = {
    CRASH: 0.001,
    LOCKED: 0.004,
    FULL: 0.002,
    COMMIT_UNKNOWN: 0.01,
    PAUSE: 0.0005,
    UNREACHABLE: 0.02,
    UNANSWERED: 0.05,
    PARTLY: 0.05,
    LOSES: 0.15,
    LOSES_OLD: 0.1,
    REPEAT: 0.1,
    DELAY: 0.1,
}
"""How often each happens, of the points at which it may."""


class Crashed(KeyboardInterrupt):
    """The worker's process has ended, here and now. No failure of a handler: nothing in the worker may survive it."""


@dataclass
class Faults:
    """The faults of one world. While `active`, each point may meet one; `kept` says which, by their order."""

    random: random.Random
    rates: dict[str, float]
    kept: frozenset[int] | None = None
    """Only these happen, where a history is made shorter; all of them otherwise."""
    active: bool = True
    happened: list[str] = field(default_factory=list[str])
    _drawn: int = 0

    def strikes(self, *kinds: str) -> str | None:
        """Which of these faults happens here, if any."""
        if not self.active:
            return None
        drawn = self.random.random()
        for kind in kinds:
            drawn -= self.rates[kind]
            if drawn < 0:
                self._drawn += 1
                if self.kept is not None and self._drawn - 1 not in self.kept:
                    return None
                self.happened.append(kind)
                return kind
        return None

    @property
    def drawn(self) -> int:
        """How many faults there would have been."""
        return self._drawn


def sqlite_error(message: str, code: int) -> sqlite3.OperationalError:
    """What SQLite raises, with its code."""
    error: Any = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error
