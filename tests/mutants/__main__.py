"""Puts each fault of the catalogue into a copy of the core, and says which layers of tests notice: `make mutants`.

python -m mutants                 all, two at a time; each until two layers have noticed
python -m mutants --only 12 13    these, by their number
python -m mutants --write         keep what noticed each, as soon as it is known

Layers that noticed last time are asked first, and in them first the test that failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "mutants.json"
WANTED_LAYERS = 2
AT_A_TIME = os.cpu_count() or 1
LAYER_SECONDS_MAX = 600
SLOW = ("hosting", "cli")
PYTEST = ["-m", "pytest", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", "no:xdist"]
LAYERS = {
    "unit": [*PYTEST, "tests/unit", *(f"--ignore=tests/unit/{name}" for name in SLOW)],
    "suite": [*PYTEST, "tests/stores/test_sqlite.py", "tests/logs/test_memory.py", "tests/logs/test_sqlite.py"],
    "stories": [*PYTEST, "tests/stories"],
    "simulation": ["-m", "preterite.testing.simulation", "--seeds", "150", "--processes", "1", "--until-broken"],
    "crash": [*PYTEST, "--all", "tests/crash"],
}
"""What notices, each as a command for Python at the project's root that fails; of tests, the quick tier."""
NOTHING_RAN = {4, 5}
"""Exit codes of pytest when a test that was named, or every test, is not there."""
_FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (tests/\S+::.*?)(?: - .*)?$", re.MULTILINE)


class Noticed(NamedTuple):
    """A mutant, and what noticed it: the layers, each with the test that failed if it names one."""

    number: int
    mutant: Mutant
    layers: Mapping[str, str]


def main() -> int:
    """Run; 1 if any mutant was noticed by fewer than two layers."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="only these")
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results/mutants.json")
    options = parser.parse_args()
    chosen = options.only or range(1, len(MUTANTS) + 1)
    before = _last_time()
    found: list[Noticed] = []
    with ThreadPoolExecutor(AT_A_TIME) as together:
        for one in together.map(partial(_ask_numbered, before), chosen):
            found.append(one)
            print(f"{len(found)} of {len(chosen)}: {_line(one)}", flush=True)
            if options.write:
                rows = in_catalogue_order([*_rows(), _row(one)])
                RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    missed = [one for one in found if len(one.layers) < WANTED_LAYERS]
    print(f"{len(found) - len(missed)} of {len(found)} mutants noticed by at least two layers")
    return 1 if missed else 0


def _last_time() -> Mapping[str, Mapping[str, str]]:
    """The layers that noticed each fault, with the test that failed, from the result that is kept."""
    return {row["what"]: {name: row.get("tests", {}).get(name, "") for name in row["noticed by"]} for row in _rows()}


def _rows() -> list[dict[str, Any]]:
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else []


def in_catalogue_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each fault of the catalogue that was tried, the last one of several."""
    by_fault = {row["what"]: row for row in rows}
    return [by_fault[mutant.what] for mutant in MUTANTS if mutant.what in by_fault]


def in_order(before: Mapping[str, str]) -> Sequence[str]:
    """The layers, those first that noticed last time."""
    return sorted(LAYERS, key=lambda name: name not in before)


def _ask_numbered(before: Mapping[str, Mapping[str, str]], number: int) -> Noticed:
    return _ask(number, MUTANTS[number - 1], before)


def _ask(number: int, mutant: Mutant, before: Mapping[str, Mapping[str, str]]) -> Noticed:
    """Ask layer after layer until two have noticed."""
    layers: dict[str, str] = {}
    known = before.get(mutant.what, {})
    with tempfile.TemporaryDirectory(prefix="preterite-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        place = source / "preterite" / mutant.file
        place.write_text(mutated(place.read_text(encoding="utf-8"), mutant), encoding="utf-8")
        for name in in_order(known):
            test = known.get(name, "")
            failed = _failed([*PYTEST, test], source) if test else None
            failed = _failed(LAYERS[name], source) if failed is None else failed
            if failed is not None:
                layers[name] = failed
            if len(layers) == WANTED_LAYERS:
                break
    return Noticed(number, mutant, {name: layers[name] for name in LAYERS if name in layers})


def _row(one: Noticed) -> dict[str, Any]:
    tests = {name: test for name, test in one.layers.items() if test}
    return {"what": one.mutant.what, "rule": one.mutant.rule, "noticed by": list(one.layers), "tests": tests}


def mutated(text: str, mutant: Mutant) -> str:
    """The file with the fault in it."""
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file} does not hold once what {mutant.what!r} replaces: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


def _failed(command: list[str], source: Path) -> str | None:
    """The test that failed, "" if something failed without a test's name, None if nothing did."""
    paths = os.pathsep.join([str(source), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=LAYER_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return ""  # it hangs, where it does not without the fault
    finally:
        _end(process)
    return what_failed(process.returncode, output.decode(errors="replace"))


def what_failed(code: int, output: str) -> str | None:
    """What an exit code and a report say: the test that failed, "" without its name, None for nothing."""
    if code == 0 or code in NOTHING_RAN:
        return None
    test = _FAILED_TEST.search(output)
    return test.group(1) if test else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a layer with everything that it has started."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    process.wait()


def _line(one: Noticed) -> str:
    noticed = ", ".join(one.layers) or "NOBODY"
    return f"#{one.number:<3} rule {one.mutant.rule:<10} {one.mutant.what:<66} {noticed}"


if __name__ == "__main__":
    sys.exit(main())
