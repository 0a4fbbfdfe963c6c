"""Months of real purchases, killed at seeded moments and started again; and with Shipping attached at the end.

The totals are the same. `make demo` replays the whole year.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from support.processes import until

from retail.demo import ORACLE, SAMPLE
from retail.replay.summary import oracle_figures

KILLS = 20
SEED = 20_101_201
LINES = 8_000
"""Until the middle of February: customers pay, others are overdue and refused."""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first months of the sample, in a file."""
    file = tmp_path_factory.mktemp("months") / "lines.csv"
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as sample:
        file.write_text("".join(islice(sample, LINES + 1)))
    happened = oracle_figures(ORACLE, file, None)
    assert all(happened[figure] for figure in ("refused as blocked", "of these cancelled", "OverdueInvoicesPaid"))
    return file


def demo(lines: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo, in a process group of its own."""
    command = [sys.executable, "-m", "retail.demo", "--lines", str(lines), "--folder", str(folder), *options]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=folder.parent
    )


def lines_done(folder: Path) -> int:
    """How far the replay was when it last saved."""
    try:
        notebook = sqlite3.connect(f"file:{folder}/replay.sqlite?mode=ro", uri=True)
        try:
            row = notebook.execute("select lines_done from progress").fetchone()
        finally:
            notebook.close()
    except sqlite3.OperationalError:
        return 0
    return row[0] if row else 0


def test_months_killed_twenty_times_end_with_the_same_totals(months: Path, tmp_path: Path) -> None:
    """Every other time the whole group is killed, else the replay alone; its workers then stop by themselves."""
    folder = tmp_path / "retail"
    chance = random.Random(SEED)
    resumed: list[int] = []
    for number, moment in enumerate(sorted(chance.sample(range(LINES), KILLS))):
        running = demo(months, folder, "--resume")
        assert running.stderr is not None
        began = next(found for line in running.stderr if (found := re.search(r"from line ([\d,]+) of", line)))
        until(lambda moment=moment, running=running: lines_done(folder) >= moment or running.poll() is not None, "on")
        assert running.poll() is None, "it was killed before it was done"
        os.killpg(running.pid, signal.SIGKILL) if number % 2 else running.kill()
        running.communicate()
        resumed.append(int(began[1].replace(",", "")))
    last = demo(months, folder, "--resume")
    out, err = last.communicate()

    assert last.returncode == 0, out[-2000:] + err[-2000:]
    assert out.splitlines()[-1] == "totals: agree"
    assert resumed == sorted(resumed)
    assert resumed[-1] > LINES / 2


def test_months_that_shipping_joins_at_the_end_have_the_same_totals(months: Path, tmp_path: Path) -> None:
    """It ships everything from the first purchase on, and no other component notices."""
    out, err = demo(months, tmp_path / "retail", "--late", "shipping").communicate()

    assert out.splitlines()[-1] == "totals: agree", out[-2000:] + err[-2000:]
    assert "shipping starts now" in err
