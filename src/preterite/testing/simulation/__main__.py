"""Runs simulated worlds, one after the other on each processor, and says which seeds break a promise.

python -m preterite.testing.simulation                  a hundred worlds
python -m preterite.testing.simulation --seeds 2000     so many
python -m preterite.testing.simulation --seed 17        this one: its faults, its verdict, the end of its history
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from preterite.testing.simulation import MARKS, Outcome, shortest, simulate, unreached

SEEDS = 100
HISTORY_LINES = 40
SEEDS_AT_ONCE = 4
WORLDS_THAT_REACH_ALL = 500


def main(arguments: list[str] | None = None) -> int:
    """Run the worlds; 1 if any of them breaks a promise."""
    parser = argparse.ArgumentParser(
        prog="python -m preterite.testing.simulation",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"how many worlds ({SEEDS})")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first seed (1)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="only this world, and everything about it")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="worlds at a time (one per processor)"
    )
    parser.add_argument("--result", type=Path, metavar="FILE", help="write what came of it there, as JSON")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first world that breaks a promise")
    options = parser.parse_args(arguments)
    before = logging.root.manager.disable
    # What the core says of every fault would hide the verdict.
    logging.disable(logging.CRITICAL)
    try:
        if options.seed is not None:
            return _explain(simulate(options.seed))
        seeds = range(options.first, options.first + options.seeds)
        return _until_broken(seeds) if options.until_broken else _run(seeds, options.processes, options.result)
    finally:
        logging.disable(before)


def _until_broken(seeds: range) -> int:
    for seed in seeds:
        outcome = simulate(seed)
        if outcome.violations:
            return _explain(outcome)
    print(f"{len(seeds):,} worlds, 0 broken")
    return 0


def _run(seeds: range, processes: int, result: Path | None) -> int:
    faults: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    events = fewest = 0
    broken: list[Outcome] = []
    with ProcessPoolExecutor(processes) as pool:
        for number, outcome in enumerate(pool.map(simulate, seeds, chunksize=SEEDS_AT_ONCE), start=1):
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
        _explain(shortest(broken[0].seed))
    if result is not None:
        figures = {"first seed": seeds[0], "worlds": len(seeds), "events": events, "faults": faults, "reached": marks,
                   "broken": [outcome.seed for outcome in broken]}  # fmt: skip
        result.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missing = unreached([marks]) if len(seeds) >= WORLDS_THAT_REACH_ALL else []
    for mark in missing:
        print(f"  no world has reached: {mark}")
    return 1 if broken or missing else 0


def _explain(outcome: Outcome) -> int:
    print(f"seed {outcome.seed}, history {outcome.hash}, {len(outcome.faults)} faults: {', '.join(outcome.faults)}")
    for line in outcome.last_lines[-HISTORY_LINES:] if outcome.violations else ():
        print(f"  {line}")
    for violation in outcome.violations:
        print(f"  BROKEN {violation}")
    print("every promise was kept" if not outcome.violations else f"{len(outcome.violations)} promises broken")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
