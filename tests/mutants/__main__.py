"""Puts each fault of the catalogue into a copy of the core, and says which layers of tests notice: `make mutants`.

python -m mutants                 all; each until two layers have noticed
python -m mutants --only 12 13    these, by their number
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs" / "reference" / "mutants.json"
WANTED_LAYERS = 2
LAYER_SECONDS_MAX = 300
SLOW = ("test_host", "test_supervisor", "test_cli", "test_cli_decisions", "test_cli_operations", "test_provisioning")
SLOW_STORIES = ("when_a_year_passes", "when_workers_share", "when_a_process_dies")
PYTEST = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
LAYERS = {
    "unit": [*PYTEST, "tests/unit", *(f"--ignore=tests/unit/{name}.py" for name in SLOW)],
    "suite": [*PYTEST, "tests/stores/test_sqlite.py", "tests/logs/test_memory.py", "tests/logs/test_sqlite.py"],
    "stories": [*PYTEST, "tests/stories", *(f"--ignore=tests/stories/{name}.py" for name in SLOW_STORIES)],
    "simulation": ["-m", "preterite.testing.simulation", "--seeds", "150", "--processes", "1", "--until-broken"],
    "crash": [*PYTEST, "tests/crash"],
}
"""What notices: each a command for Python, run at the project's root, that fails if it does."""


class Noticed(NamedTuple):
    """A mutant, and the layers that noticed it, in the order in which they were asked."""

    number: int
    mutant: Mutant
    layers: tuple[str, ...]
    asked: int


def main() -> int:
    """Run; 1 if any mutant was noticed by fewer than two layers."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="only these")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/reference/mutants.json")
    options = parser.parse_args()
    chosen = options.only or range(1, len(MUTANTS) + 1)
    found: list[Noticed] = []
    for count, number in enumerate(chosen, start=1):
        found.append(_ask(number, MUTANTS[number - 1]))
        print(f"{count} of {len(chosen)}: {_line(found[-1])}", flush=True)
    missed = [one for one in found if len(one.layers) < WANTED_LAYERS]
    print(f"{len(found) - len(missed)} of {len(found)} mutants noticed by at least two layers")
    if options.write:
        rows = [{"what": one.mutant.what, "rule": one.mutant.rule, "noticed by": list(one.layers)} for one in found]
        RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


def _ask(number: int, mutant: Mutant) -> Noticed:
    """Ask layer after layer until two have noticed."""
    layers: list[str] = []
    asked = 0
    with tempfile.TemporaryDirectory(prefix="preterite-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        place = source / "preterite" / mutant.file
        place.write_text(mutated(place.read_text(encoding="utf-8"), mutant), encoding="utf-8")
        for name, command in LAYERS.items():
            asked += 1
            print(f"\r{mutant.what}: {name}\x1b[K", end="", file=sys.stderr, flush=True)
            if _fails(command, source):
                layers.append(name)
            if len(layers) == WANTED_LAYERS:
                break
    print("\r\x1b[K", end="", file=sys.stderr)
    return Noticed(number, mutant, tuple(layers), asked)


def mutated(text: str, mutant: Mutant) -> str:
    """The file with the fault in it."""
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file} does not hold once what {mutant.what!r} replaces: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


def _fails(command: list[str], source: Path) -> bool:
    paths = os.pathsep.join([str(source), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(LAYER_SECONDS_MAX) != 0
    except subprocess.TimeoutExpired:
        return True  # it hangs, where it does not without the fault
    finally:
        _end(process)


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
