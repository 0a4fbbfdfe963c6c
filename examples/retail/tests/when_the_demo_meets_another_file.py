"""`make demo DATA=FILE`: any file of the same columns, with what is wrong in it counted, and compared all the same."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

from retail.demo import SAMPLE

HEADER = "invoice,stock_code,description,quantity,purchased_at,unit_price,customer,country\n"
LINES = """\
1,71053,LANTERN,6,2024-02-10T08:26:00,3.39,17850,United Kingdom
1,71053,LANTERN,broken,2024-02-10T08:26:00,3.39,17850,United Kingdom
1,85123A,HEART,200,2024-02-10T08:26:00,2.55,17850,United Kingdom
2,85123A,HEART,1,2024-01-31T20:00:00,2.75,17847,France
3,POST,POSTAGE,1,2024-02-29T12:00:00,18.00,17847,France
3,85123A,HEART,-1,2024-02-29T12:00:00,2.75,17847,France
4,22423,CAKESTAND,2,2024-03-20T12:00:00,10.95,17850,United Kingdom
5,22423,CAKESTAND,2,2024-05-20T12:00:00,10.95,17850,United Kingdom
"""


def run(tmp_path: Path, content: str, *options: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "lines.csv"
    file.write_text(content)
    command = [sys.executable, "-m", "retail.demo", "--lines", str(file), "--folder", str(tmp_path / "retail")]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path)


def test_a_file_with_bad_lines_is_replayed_and_agrees_with_the_oracle(tmp_path: Path) -> None:
    done = run(tmp_path, HEADER + LINES)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "totals: agree"
    assert "unreadable" in done.stdout
    assert "refused as blocked" in done.stdout


def test_marketing_may_join_at_the_end(tmp_path: Path) -> None:
    done = run(tmp_path, HEADER + LINES, "--late", "marketing")

    assert done.stdout.splitlines()[-1] == "totals: agree", done.stderr


def test_an_interrupt_ends_the_replay_early_with_totals_that_agree(tmp_path: Path) -> None:
    """The whole group gets it, as on a terminal; the rest of the file is replayed by --resume."""
    file = tmp_path / "lines.csv"
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as sample:
        file.write_text("".join(islice(sample, 2001)))
    command = [sys.executable, "-m", "retail.demo", "--lines", str(file), "--folder", str(tmp_path / "retail")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    )
    assert process.stderr is not None
    shown = next(line for line in process.stderr if line.startswith("replay "))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()

    assert "/ 2,000 lines" in shown
    assert process.returncode == 130, out + err
    done = re.findall(r"interrupted after ([\d,]+) of 2,000 lines", out)
    assert 0 < int(done[0].replace(",", "")) < 2000
    assert out.splitlines()[-1] == "totals: agree", out


def test_a_file_of_other_columns_is_one_sentence_and_exit_code_3(tmp_path: Path) -> None:
    done = run(tmp_path, "a,b\n1,2\n")

    assert done.returncode == 3
    assert "has no column 'invoice'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_file_has_no_figures_to_differ(tmp_path: Path) -> None:
    done = run(tmp_path, HEADER)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "totals: agree"
