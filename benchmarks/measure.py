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


def both_in_turns(
    ways: Mapping[str, Callable[[], tuple[float, float]]], rounds: int
) -> dict[str, tuple[Measured, Measured]]:
    """The same for ways that measure two things at once."""
    return {name: (found[0], found[1]) for name, found in several_in_turns(ways, rounds).items()}


def several_in_turns(
    ways: Mapping[str, Callable[[], tuple[float, ...]]], rounds: int
) -> dict[str, tuple[Measured, ...]]:
    """The same for ways that measure several things at once."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}

    def noting(name: str, run: Callable[[], tuple[float, ...]]) -> Callable[[], float]:
        def once() -> float:
            found[name].append(run())
            return 0.0

        return once

    in_turns({name: noting(name, run) for name, run in ways.items()}, rounds)
    return {
        name: tuple(Measured(name, values) for values in zip(*rows[1:], strict=True)) for name, rows in found.items()
    }


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
