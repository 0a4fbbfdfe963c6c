"""Memory of the process while a million events go through it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.shop import in_batches, open_shop, publish, purchases

MARKS = (10_000, 100_000, 300_000, 1_000_000)
UNIT_EVENTS = 500
SETTLE_EVENTS = 10_000


class Mark(NamedTuple):
    """Memory after so many events."""

    events: int
    now_mib: float
    peak_mib: float


def measure(marks: tuple[int, ...] = MARKS) -> list[Mark]:
    """Publish and handle on, and look at the marks."""
    found: list[Mark] = []
    with TemporaryDirectory() as folder:
        shop = open_shop(Path(folder), in_batches)
        with shop.opened, shop.opened.connection(shop.sales) as connection:
            done = 0
            for mark in marks:
                while done < mark:
                    publish(shop, connection, purchases(UNIT_EVENTS, done))
                    done += UNIT_EVENTS
                    if done % SETTLE_EVENTS == 0:
                        shop.opened.settle()
                        print(f"\r  {done:,} of {marks[-1]:,} events\x1b[K", end="", file=sys.stderr)
                found.append(Mark(done, _now_mib(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    print("\r\x1b[K", end="", file=sys.stderr)
    return found


def _now_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
