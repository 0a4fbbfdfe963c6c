"""Measuring side by side: every way in turns, medians, and how far they spread."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One way, measured several times."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> list[Measured]:
    """Run every way once per round, after one round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            print(
                f"\r  {'warming up' if turn == 0 else f'round {turn} of {rounds}'}: {name}\x1b[K",
                end="",
                file=sys.stderr,
            )
            value = run()
            if turn > 0:
                found[name].append(value)
    print("\r\x1b[K", end="", file=sys.stderr)
    return [Measured(name, tuple(values)) for name, values in found.items()]


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
