"""`make demo`: a year of real purchases through five components, each in a process of its own.

python -m retail.demo                     the sample that comes with the example
python -m retail.demo --lines FILE        another file with the same columns
python -m retail.demo --store postgres    on PostgreSQL, a database and roles for each component
python -m retail.demo --resume            continue an interrupted replay
python -m retail.demo --late shipping     start Shipping only after the last line: the totals are the same

Ctrl-C ends the replay early; its totals so far are compared with the oracle's up to that line. Again, it ends at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from preterite import Component
from preterite.clock import SystemClock
from preterite.demo_clock import SharedClock
from preterite.errors import PreteriteError
from preterite.hosting.supervisor import Supervisor, worker_command
from preterite.printing.text import printable
from retail.databases import ADMIN_URL, create_tables, on_postgres, on_sqlite
from retail.replay.calendar import first_of_month
from retail.replay.lines import Line, Unreadable, WrongFile, read
from retail.replay.notebook import Notebook
from retail.replay.progress import ProgressBar
from retail.replay.summary import differences, figures, oracle_figures, text
from retail.replay.year import Year, enter_lists
from retail.system import system

EXAMPLE = Path(__file__).parents[1]
SAMPLE = EXAMPLE / "data" / "online-retail-sample.csv.gz"
ORACLE = EXAMPLE / "oracle.py"
INTERRUPTED = 130
LATECOMERS = ("shipping", "marketing")
FOLDER = Path(".preterite") / "retail"


def main() -> int:
    """Replay, show the summary, and compare it with the oracle's."""
    parser = argparse.ArgumentParser(
        prog="make demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lines", type=Path, default=SAMPLE, metavar="FILE", help="the purchases to replay")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted replay")
    parser.add_argument("--late", choices=LATECOMERS, help="a component that starts only after the last line")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the databases are, or the replay's notes")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="the kind of databases")
    parser.add_argument(
        "--admin", default=os.environ.get("PRETERITE_ADMIN_URL", ADMIN_URL), help="an administrator's way to PostgreSQL"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        admin = options.admin if options.store == "postgres" else None
        return replay(options.lines, options.folder, resume=options.resume, late=options.late, admin=admin)
    except (WrongFile, PreteriteError) as error:
        print(f"demo: {printable(str(error))}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\ninterrupted; make demo RESUME=1 continues", file=sys.stderr)
        return INTERRUPTED


def replay(data: Path, folder: Path, *, resume: bool, late: str | None, admin: str | None = None) -> int:
    """Replay a file into databases in a folder, or on `admin`'s server.

    Return 0 if all figures agree, 1 if one differs, 130 if they agree after an interrupt.
    """
    lines, unreadable = read(data)
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for file in folder.glob("replay.sqlite*"):
            file.unlink()
    urls = folder / "urls"
    owners = on_sqlite(folder, resume=resume) if admin is None else on_postgres(admin, urls, resume=resume)
    if owners is not None:
        if lines:
            system.begin_clock(first_of_month(lines[0].at))
        create_tables(owners)
    notebook = Notebook(folder / "replay.sqlite")
    _enter_lists(lines, unreadable, notebook)
    done = _play(
        lines,
        notebook,
        str(folder) if admin is None else f"PostgreSQL (to look around: set -a; . {urls}; set +a)",
        late,
    )
    found = _sum_up(lines, notebook)
    print(text(found))
    faults = differences(found, oracle_figures(ORACLE, data, done))
    for fault in faults:
        print(fault)
    if done is not None:
        print(f"interrupted after {done:,} of {len(lines):,} lines; make demo RESUME=1 continues")
    print(f"totals: {'DIFFER' if faults else 'agree'}")
    return 1 if faults else 0 if done is None else INTERRUPTED


def _enter_lists(lines: list[Line], unreadable: list[Unreadable], notebook: Notebook) -> None:
    """Enter every component's lists, also those of a component that starts late."""
    with system.open() as shop:
        enter_lists(shop, lines)
    for line in unreadable:
        notebook.set_aside(line.number, line.reason)


def _play(lines: list[Line], notebook: Notebook, where: str, late: str | None) -> int | None:
    """Replay the lines; return how many were done if it was interrupted."""
    start = notebook.progress().lines_done
    print(f"components in {where}, from line {start + 1:,} of {len(lines):,}", file=sys.stderr)
    punctual = [component for component in system.components if component.name != late]
    with system.open(only=punctual) as shop, _workers(punctual) as workers, _interrupts() as interrupted:
        clock = SharedClock(shop.log)
        year = Year(shop, clock, notebook, lines, workers.step)
        progress = ProgressBar(len(lines), start, SystemClock().monotonic)
        done = start
        for done, _ in year.play(interrupted=interrupted):
            progress.show(done, clock.now(), year.refused)
        progress.end(done, year.refused)
    if late is not None:
        print(f"{late} starts now", file=sys.stderr)
        with system.open() as shop, _workers(system.components) as workers:
            shop.wait_settled(workers.step)
    return done if year.ended_early else None


@contextmanager
def _interrupts() -> Generator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed. Pressed again it interrupts at once."""
    pressed = False

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nending after this basket; Ctrl-C again ends at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _workers(components: Sequence[Component]) -> Generator[Supervisor]:
    """Each component in its own process; `step` supervises them."""
    limits = {component.name: component.time_limit_seconds for component in components}
    workers = Supervisor(limits, worker_command("retail.system:system"), SystemClock())
    try:
        yield workers
    finally:
        workers.end()


def _sum_up(lines: list[Line], notebook: Notebook) -> dict[str, object]:
    with system.open() as shop:
        found = figures(shop, notebook, lines)
    notebook.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
