"""`make bench`: throughput, latency and memory beside the same rows in hand-written SQL, as ratios in one run.

python -m benchmarks                     what needs no server; ten minutes
python -m benchmarks throughput latency  only these
python -m benchmarks --write pages       and keep the figures in benchmarks/results, and the documents' tables with them
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys

from benchmarks import memory, report, targets
from benchmarks.parts import EMBEDDED, PARTS


def main() -> int:
    """Measure, show, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
        epilog="\n".join(
            f"{name:<12} {part.title}; {part.minutes:g} min{', with a server' if part.server else ''}"
            for name, part in PARTS.items()
        ),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help="what to measure")
    parser.add_argument("--write", action="store_true", help="keep the figures")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(memory.measure()))
        return 0
    print(
        f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        "every commit durable (synchronous=FULL)"
    )
    for name in options.parts or EMBEDDED:
        part = PARTS[name]
        print(f"\n{part.title}\n", flush=True)
        figures = part.measure()
        print(part.table(figures))
        for line in targets.lines(name, figures):
            print(line, flush=True)
        if options.write:
            report.keep(name, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
