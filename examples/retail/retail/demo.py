"""`make demo`: a year of real purchases through five components, each in a process of its own.

python -m retail.demo                     the sample that comes with the example
python -m retail.demo --lines FILE        another file with the same columns
python -m retail.demo --resume            go on where a killed replay stopped
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path

from preterite.clock import SystemClock
from preterite.errors import PreteriteError
from preterite.supervisor import Supervisor, worker_command
from preterite.testing import MovableClock
from retail.replay.calendar import first_of_month
from retail.replay.lines import Line, Unreadable, WrongFile, read
from retail.replay.notebook import Notebook
from retail.replay.progress import ProgressBar
from retail.replay.summary import differences, figures, oracle_figures, text
from retail.replay.year import Year
from retail.system import system

EXAMPLE = Path(__file__).parents[1]
SAMPLE = EXAMPLE / "data" / "online-retail-sample.csv.gz"
ORACLE = EXAMPLE / "oracle.py"
FOLDER = Path(".preterite") / "retail"


def main() -> int:
    """Replay, show the summary, and compare it with the oracle's."""
    parser = argparse.ArgumentParser(
        prog="make demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lines", type=Path, default=SAMPLE, metavar="FILE", help="the purchases to replay")
    parser.add_argument("--resume", action="store_true", help="go on where a killed replay stopped")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the databases are")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        return replay(options.lines, options.folder, resume=options.resume)
    except (WrongFile, PreteriteError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 3


def replay(data: Path, folder: Path, *, resume: bool) -> int:
    """Replay a file into a folder; 0 if all figures agree, 1 if one differs."""
    lines, unreadable = read(data)
    if not resume and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for component in system.components:
        os.environ[f"PRETERITE_{component.name.upper()}_URL"] = f"sqlite:///{folder.absolute()}/{component.name}.sqlite"
    os.environ["PRETERITE_LOG_URL"] = f"sqlite:///{folder.absolute()}/log.sqlite"
    found = _play(lines, unreadable, folder)
    print(text(found))
    faults = differences(found, oracle_figures(ORACLE, data))
    for fault in faults:
        print(fault)
    print(f"totals: {'DIFFER' if faults else 'agree'}")
    return 1 if faults else 0


def _play(lines: list[Line], unreadable: list[Unreadable], folder: Path) -> dict[str, object]:
    machine = SystemClock()
    notebook = Notebook(folder / "replay.sqlite")
    start = notebook.progress()
    clock = MovableClock(first_of_month(lines[0].at) if lines else machine.now())
    print(f"five components in {folder}, from line {start.lines_done + 1:,} of {len(lines):,}", file=sys.stderr)
    limits = {component.name: component.time_limit_seconds for component in system.components}
    with system.open(create_tables=True, clock=clock) as shop:
        workers = Supervisor(limits, worker_command("retail.system:system"), machine)
        year = Year(shop, clock, notebook, lines, workers.step)
        year.enter_lists(unreadable)
        progress = ProgressBar(len(lines), start.lines_done, machine.monotonic)
        done = start.lines_done
        try:
            for done, _ in year.play():
                progress.show(done, clock.now(), year.refused)
        finally:
            workers.end()
        progress.end(done, year.refused)
        found = figures(shop, notebook, lines)
    notebook.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
