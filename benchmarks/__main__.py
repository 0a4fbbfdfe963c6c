"""`make bench`: throughput, latency and memory beside the same rows by hand, as ratios in one run.

python -m benchmarks                     everything; a few minutes
python -m benchmarks throughput latency  only these
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path

from benchmarks import latency, memory, throughput
from benchmarks.measure import Measured

RESULTS = Path(__file__).parent / "results"
PARTS = ("throughput", "latency", "memory")
# What this version promises of itself, as ratios in one run.
BATCH_FLOOR = 0.8
PER_EVENT_FLOOR = 0.6
SQLALCHEMY_FLOOR = 2.5
LATENCY_CEILING = 1.5
MEMORY_CEILING = 1.1


def main() -> int:
    """Measure, show, and keep the figures in a file."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", default=[], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.parts or PARTS
    if options.alone:
        print(json.dumps(memory.measure()))
        return 0
    machine = f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    print(f"{machine}, every commit durable (synchronous=FULL)")
    figures: dict[str, object] = {}
    if "throughput" in chosen:
        figures["throughput"] = _throughput()
    if "latency" in chosen:
        figures["latency"] = _latency()
    if "memory" in chosen:
        figures["memory"] = _memory()
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "embedded.json"
    file.write_text(json.dumps(figures, indent=2))
    print(f"\nkept in {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


def _throughput() -> dict[str, object]:
    print(f"\nend to end, {throughput.EVENTS:,} events in units of {throughput.UNIT_EVENTS}, "
          f"medians of {throughput.ROUNDS} rounds")  # fmt: skip
    measured = {one.name: one for one in throughput.measure()}
    for one in measured.values():
        _show(one, "events/s")
    by_hand = measured["by hand, set-wise"].median
    singly = measured["by hand, SQLAlchemy, one transaction per event"].median
    ratios = {
        "batch handler / by hand": measured["batch handler"].median / by_hand,
        "per event, sqlite3 / by hand": measured["per event, sqlite3"].median / by_hand,
        "per event, SQLAlchemy / one transaction per event": measured["per event, SQLAlchemy"].median / singly,
    }
    for (name, ratio), floor in zip(ratios.items(), (BATCH_FLOOR, PER_EVENT_FLOOR, SQLALCHEMY_FLOOR), strict=True):
        _ratio(name, ratio, f"at least {floor}", good=ratio >= floor)
    return {"events per second": {name: one.values for name, one in measured.items()}, "ratios": ratios}


def _latency() -> dict[str, object]:
    print(f"\ncommit to effect, idle, {latency.PURCHASES} purchases one at a time, medians of {latency.ROUNDS} rounds")
    measured = latency.measure()
    for name, (middle, slow) in measured.items():
        print(f"  {name:<48} p50 {middle.median:6.2f} ms   p99 {slow.median:6.2f} ms")
    by_hand, ours = (measured[name][0].median for name in ("by hand, woken by a signal", "with Preterite"))
    _ratio(
        "p50 with Preterite / by hand",
        ours / by_hand,
        f"at most {LATENCY_CEILING}",
        good=ours / by_hand <= LATENCY_CEILING,
    )
    return {name: {"p50 ms": middle.values, "p99 ms": slow.values} for name, (middle, slow) in measured.items()}


def _memory() -> dict[str, object]:
    """In a process of its own: what was measured before leaves its memory behind."""
    print("\nmemory of one process that publishes and handles, batch handler")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--alone"], stdout=subprocess.PIPE, text=True, check=True
    )
    marks = [memory.Mark(*mark) for mark in json.loads(done.stdout)]
    for mark in marks:
        print(f"  after {mark.events:>9,} events   {mark.now_mib:6.1f} MiB   at most {mark.peak_mib:6.1f} MiB")
    ratio = marks[-1].now_mib / marks[0].now_mib
    _ratio("last / first", ratio, f"at most {MEMORY_CEILING}", good=ratio <= MEMORY_CEILING)
    return {str(mark.events): mark.now_mib for mark in marks}


def _show(one: Measured, unit: str) -> None:
    print(f"  {one.name:<48} {one.median:10,.0f} {unit}   ({min(one.values):,.0f} to {max(one.values):,.0f})")


def _ratio(name: str, ratio: float, wanted: str, *, good: bool) -> None:
    print(f"  {'ratio: ' + name:<58} {ratio:5.2f}   {wanted}: {'yes' if good else 'NO'}")


if __name__ == "__main__":
    sys.exit(main())
