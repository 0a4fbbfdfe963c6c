"""Runs worlds, one after the other on each processor, and says which seeds break a promise."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from preterite.testing.simulation.machine.marks import MARKS, unreached
from preterite.testing.simulation.worlds import Outcome

HISTORY_LINES = 40
LINES_OF_PROGRESS = 10
"""Lines that a run prints while it goes on."""
SEEDS_AT_ONCE = 4
WORLDS_THAT_REACH_ALL = 500


@contextmanager
def silence() -> Generator[None]:
    """Keep what the core says of every fault from hiding the verdict."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def until_broken(simulating: Callable[[int], Outcome], seeds: range) -> int:
    """Run worlds until one breaks a promise; 1 if one does."""
    for seed in seeds:
        outcome = simulating(seed)
        if outcome.violations:
            return explain(outcome)
    print(f"{len(seeds):,} worlds, 0 broken")
    return 0


@dataclass
class _Tally:
    """What came of many worlds together."""

    faults: Counter[str] = field(default_factory=Counter[str])
    marks: Counter[str] = field(default_factory=Counter[str])
    broken: list[Outcome] = field(default_factory=list[Outcome])
    worlds: int = 0
    events: int = 0
    fewest: int = 0

    def take(self, outcome: Outcome) -> None:
        """Add a world."""
        self.worlds += 1
        self.faults.update(outcome.faults)
        self.marks.update(outcome.marks)
        self.events += outcome.events
        self.fewest = outcome.events if self.worlds == 1 else min(self.fewest, outcome.events)
        if outcome.violations:
            self.broken.append(outcome)

    def show(self, *, with_marks: bool) -> None:
        """Print what happened in them; with which places of the package's own code they have reached."""
        print("faults")
        for fault, times in sorted(self.faults.items()):
            print(f"  {fault:<40} {times:>9,}")
        if with_marks:
            print("reached")
            for mark in MARKS:
                print(f"  {mark:<40} {self.marks[mark]:>9,}")
        print(
            f"{self.worlds:,} worlds of at least {self.fewest:,} events, {self.events:,} events, "
            f"{sum(self.faults.values()):,} faults, {len(self.broken)} broken"
        )
        for outcome in self.broken:
            print(f"  seed {outcome.seed}: {outcome.violations[0]}")

    def keep(self, file: Path, first: int) -> None:
        """Write it to a file."""
        figures = {"first seed": first, "worlds": self.worlds, "events": self.events, "faults": self.faults,
                   "reached": self.marks, "broken": [outcome.seed for outcome in self.broken]}  # fmt: skip
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def run(
    simulating: Callable[[int], Outcome],
    shortening: Callable[[int], Outcome],
    seeds: range,
    processes: int,
    result: Path | None = None,
    *,
    reaches_all: bool = True,
) -> int:
    """Run these worlds and show what came of them; 1 if any breaks a promise, or if they reach too little."""
    tally = _Tally()
    with ProcessPoolExecutor(processes) as pool:
        for outcome in pool.map(simulating, seeds, chunksize=SEEDS_AT_ONCE):
            tally.take(outcome)
            if tally.worlds * LINES_OF_PROGRESS // len(seeds) != (tally.worlds - 1) * LINES_OF_PROGRESS // len(seeds):
                print(f"{tally.worlds:,} of {len(seeds):,} worlds, {len(tally.broken)} broken", file=sys.stderr)
    tally.show(with_marks=reaches_all)
    if result is not None:
        tally.keep(result, seeds[0])
    missing = unreached([tally.marks]) if reaches_all and tally.worlds >= WORLDS_THAT_REACH_ALL else []
    for mark in missing:
        print(f"  no world has reached: {mark}")
    if tally.broken:
        worst = tally.broken[0].seed
        print(f"the history of seed {worst}, with as few faults as it still breaks with:")
        explain(shortening(worst))
    return 1 if tally.broken or missing else 0


def explain(outcome: Outcome) -> int:
    """Show one world: its faults, the end of its history if it broke a promise, and the verdict; 1 if it did."""
    faults = ", ".join(f"{fault} {times}" for fault, times in sorted(Counter(outcome.faults).items()))
    print(f"seed {outcome.seed}, history {outcome.hash}, {len(outcome.faults)} faults: {faults or 'none'}")
    for line in outcome.last_lines[-HISTORY_LINES:] if outcome.violations else ():
        print(f"  {line}")
    for violation in outcome.violations:
        print(f"  BROKEN {violation}")
    print("every promise was kept" if not outcome.violations else f"{len(outcome.violations)} promises broken")
    return 1 if outcome.violations else 0
