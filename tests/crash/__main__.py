"""Kills every flow at every write and sync, and takes its power away: `make crash`.

python -m crash                          all flows; 5,000 power losses in all; the result as a file with --write
python -m crash --flows publish receive  only these
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from crash.cuts import Cut, Recorded
from crash.flows import FLOWS

POWER_LOSSES = 5_000
RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "crash.json"


def main() -> int:
    """Run; 1 if any end of any flow has broken a promise."""
    parser = argparse.ArgumentParser(
        prog="make crash", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS), metavar="FLOW", help=", ".join(FLOWS))
    parser.add_argument(
        "--power-losses", type=int, default=POWER_LOSSES, metavar="N", help=f"over all flows ({POWER_LOSSES:,})"
    )
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results/crash.json")
    options = parser.parse_args()
    # What the core says of every crash would hide the verdict.
    logging.disable(logging.CRITICAL)
    rows: dict[str, dict[str, int]] = {}
    each = -(-options.power_losses // len(options.flows))
    with tempfile.TemporaryDirectory(prefix="preterite-crash-") as folder:
        for flow in options.flows:
            recorded = Recorded(flow, Path(folder))
            kills, broken = _count(flow, "killed", recorded.kills(), len(recorded.steps) + 1)
            losses, broken_by_loss = _count(flow, "power lost", recorded.power_losses(each, 1), each)
            rows[flow] = {"kills": kills, "power losses": losses, "broken": broken + broken_by_loss}
    print(f"{'flow':<10}{'killed':>8}{'power lost':>12}{'broken':>8}")
    for flow, row in rows.items():
        print(f"{flow:<10}{row['kills']:>8,}{row['power losses']:>12,}{row['broken']:>8,}")
    if options.write:
        RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 1 if any(row["broken"] for row in rows.values()) else 0


def _count(flow: str, what: str, cuts: Iterator[Cut], total: int) -> tuple[int, int]:
    count = broken = 0
    for cut in cuts:
        count += 1
        if cut.violations:
            broken += 1
            print(f"\r{flow} {what} before step {cut.step} ({cut.doing}): {cut.violations[0]}\x1b[K")
        print(f"\r{flow}: {what} {count:,} of {total:,} times, {broken} broken\x1b[K", end="", file=sys.stderr)
    print(file=sys.stderr)
    return count, broken


if __name__ == "__main__":
    sys.exit(main())
