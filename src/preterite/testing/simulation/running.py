"""Runs worlds, one after the other on each processor, and says which seeds break a promise."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from preterite.testing.simulation.marks import MARKS, unreached
from preterite.testing.simulation.worlds import Outcome

HISTORY_LINES = 40
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
    faults: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    events = fewest = 0
    broken: list[Outcome] = []
    with ProcessPoolExecutor(processes) as pool:
        for number, outcome in enumerate(pool.map(simulating, seeds, chunksize=SEEDS_AT_ONCE), start=1):
            faults.update(outcome.faults)
            marks.update(outcome.marks)
            events += outcome.events
            fewest = min(fewest or outcome.events, outcome.events)
            if outcome.violations:
                broken.append(outcome)
            print(f"\r{number:,} of {len(seeds):,} worlds, {len(broken)} broken\x1b[K", end="", file=sys.stderr)
    print(file=sys.stderr)
    print("faults")
    for fault, times in sorted(faults.items()):
        print(f"  {fault:<40} {times:>9,}")
    print("reached")
    for mark in MARKS:
        print(f"  {mark:<40} {marks[mark]:>9,}")
    print(
        f"{len(seeds):,} worlds of at least {fewest:,} events, {events:,} events, {sum(faults.values()):,} faults, "
        f"{len(broken)} broken"
    )
    for outcome in broken:
        print(f"  seed {outcome.seed}: {outcome.violations[0]}")
    if broken:
        print(f"the history of seed {broken[0].seed}, with as few faults as it still breaks with:")
        explain(shortening(broken[0].seed))
    if result is not None:
        figures = {"first seed": seeds[0], "worlds": len(seeds), "events": events, "faults": faults, "reached": marks,
                   "broken": [outcome.seed for outcome in broken]}  # fmt: skip
        result.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missing = unreached([marks]) if reaches_all and len(seeds) >= WORLDS_THAT_REACH_ALL else []
    for mark in missing:
        print(f"  no world has reached: {mark}")
    return 1 if broken or missing else 0


def explain(outcome: Outcome) -> int:
    """Show one world: its faults, the end of its history if it broke a promise, and the verdict; 1 if it did."""
    print(f"seed {outcome.seed}, history {outcome.hash}, {len(outcome.faults)} faults: {', '.join(outcome.faults)}")
    for line in outcome.last_lines[-HISTORY_LINES:] if outcome.violations else ():
        print(f"  {line}")
    for violation in outcome.violations:
        print(f"  BROKEN {violation}")
    print("every promise was kept" if not outcome.violations else f"{len(outcome.violations)} promises broken")
    return 1 if outcome.violations else 0
