"""The year of real purchases, killed at seeded moments and started again; and with Shipping attached at the end.

The totals are the same.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from expected import FIGURES
from processes import until

from retail.replay.lines import read
from retail.replay.notebook import Notebook
from retail.replay.summary import figures
from retail.system import system

KILLS = 20
SEED = 20_101_201
SAMPLE_LINES = 40_000
FINISH_SECONDS = 300.0


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo, in a process group of its own."""
    command = [sys.executable, "-m", "retail.demo", "--folder", str(folder), *options]
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


def test_a_year_killed_twenty_times_ends_with_the_same_totals(tmp_path: Path) -> None:
    """Every other time the whole group is killed, else the replay alone; its workers then stop by themselves."""
    folder = tmp_path / "retail"
    chance = random.Random(SEED)
    resumed: list[int] = []
    for number, moment in enumerate(sorted(chance.sample(range(SAMPLE_LINES), KILLS))):
        running = demo(folder, "--resume")
        until(lambda moment=moment, running=running: lines_done(folder) >= moment or running.poll() is not None, "on")
        assert running.poll() is None, "it was killed before it was done"
        os.killpg(running.pid, signal.SIGKILL) if number % 2 else running.kill()
        _, err = running.communicate()
        resumed.append(int(re.findall(r"from line ([\d,]+) of", err)[0].replace(",", "")))
    last = demo(folder, "--resume")
    out, err = last.communicate(timeout=FINISH_SECONDS)

    assert last.returncode == 0, out[-2000:] + err[-2000:]
    assert out.splitlines()[-1] == "totals: agree"
    assert resumed == sorted(resumed)
    assert resumed[-1] > SAMPLE_LINES / 2
    assert _figures(folder) == FIGURES


def test_a_year_that_shipping_joins_at_the_end_has_the_same_totals(tmp_path: Path) -> None:
    """It ships everything from the first purchase on, and nobody else notices."""
    folder = tmp_path / "retail"
    out, err = demo(folder, "--late", "shipping").communicate(timeout=FINISH_SECONDS)

    assert out.splitlines()[-1] == "totals: agree", out[-2000:] + err[-2000:]
    assert "shipping starts now" in err
    assert _figures(folder) == FIGURES


def _figures(folder: Path) -> dict[str, object]:
    from retail.demo import SAMPLE

    lines, _ = read(SAMPLE)
    databases = {component.name: f"sqlite:///{folder}/{component.name}.sqlite" for component in system.components}
    notebook = Notebook(folder / "replay.sqlite")
    with system.open(databases=databases, log=f"sqlite:///{folder}/log.sqlite") as shop:
        found = figures(shop, notebook, lines)
    notebook.close()
    return {name: found[name] for name in FIGURES}
