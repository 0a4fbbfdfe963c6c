"""`make fuzz`: hostile input for so many minutes each: messages, the command line, and the shop's routes.

python -m fuzz                             all three, a minute each
python -m fuzz --minutes 10 --only shop    one of them
python -m fuzz --only documents --seed 17  one case
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from random import SystemRandom

from web_shop import forget

from fuzz import command_lines, documents, requests
from fuzz.judging import Case, Judge, limited_memory

FUZZES: dict[str, Callable[[], AbstractContextManager[Case]]] = {
    "documents": documents.ready,
    "commands": command_lines.ready,
    "shop": requests.ready,
}
SHOWN = 20
"""Kinds of findings that are printed, each with one seed."""


def main() -> int:
    """Run; 1 if anything was found."""
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1, metavar="N", help="of each fuzz (1)")
    parser.add_argument(
        "--only", nargs="+", choices=FUZZES, default=list(FUZZES), metavar="FUZZ", help=", ".join(FUZZES)
    )
    parser.add_argument("--seed", type=int, metavar="SEED", help="only the case of this seed")
    parser.add_argument("--from", dest="first", type=int, metavar="SEED", help="seeds from this one on (a random one)")
    options = parser.parse_args()
    # What is logged of every bad message would hide the findings.
    logging.disable(logging.CRITICAL)
    first = SystemRandom().randrange(10**6) * 1_000 if options.first is None else options.first
    seeds = itertools.count(first) if options.seed is None else [options.seed]
    try:
        return max(run(name, seeds, options.minutes * 60) for name in options.only)
    finally:
        forget()


def run(name: str, seeds: Iterable[int], seconds: float) -> int:
    """Run one fuzz until its time is over; 1 if it has found anything."""
    judge = Judge()
    with limited_memory(), FUZZES[name]() as case:
        ends = shows = time.monotonic()
        ends += seconds
        for seed in seeds:
            judge.run(case, seed)
            now = time.monotonic()
            if now >= shows:
                shows = now + 1
                left = f"{max(ends - now, 0):.0f} s left, seed {seed}"
                shown = f"{name}: {judge.cases:,} cases, {len(judge.findings):,} findings, {left}"
                print(f"\r{shown}\x1b[K", end="", file=sys.stderr)
            if now >= ends:
                break
    print(file=sys.stderr)
    print(
        f"{name}: {judge.cases:,} cases, {len(judge.findings):,} findings, {judge.memory / 2**20:.0f} MiB more memory"
    )
    for kind, count in sorted(judge.kinds.items(), key=lambda one: -one[1])[:SHOWN]:
        seed, what = next(one for one in judge.findings if one.what.startswith(kind.partition("…")[0]))
        print(f"  {count:,} x {what!r}\n    seed {seed}: make fuzz FUZZ='--only {name} --seed {seed}'")
    return 1 if judge.findings else 0


if __name__ == "__main__":
    sys.exit(main())
