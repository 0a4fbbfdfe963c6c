"""Runs simulated worlds, one after the other on each processor, and says which seeds break a promise.

python -m preterite.testing.simulation                  a hundred worlds
python -m preterite.testing.simulation --seeds 2000     so many
python -m preterite.testing.simulation --seed 17        this one: its faults, its verdict, the end of its history
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from preterite.testing.simulation.running import explain, run, silence, until_broken
from preterite.testing.simulation.worlds import shortest, simulate

SEEDS = 100


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
    with silence():
        if options.seed is not None:
            return explain(simulate(options.seed))
        seeds = range(options.first, options.first + options.seeds)
        if options.until_broken:
            return until_broken(simulate, seeds)
        return run(simulate, shortest, seeds, options.processes, options.result)


if __name__ == "__main__":
    sys.exit(main())
