"""Rules of this house that a machine can check, over the source as it stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "preterite"
EXAMPLE = ROOT / "examples" / "retail" / "retail"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ALL_SOURCES = [*SOURCES, *sorted(EXAMPLE.rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]

FOLDERS = ("src", "tests", "examples", "benchmarks", "docs")

FILE_LINES = 400
FUNCTION_LINES = 40
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
# These may be longer than the rule says, up to the maximum; the lists may only shrink.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()

# Time, waiting and randomness come from outside; threads are the host's.
ASKS_THE_MACHINE = {
    "datetime.now",
    "datetime.utcnow",
    "time.time",
    "time.monotonic",
    "time.sleep",
    "uuid4",
    "uuid.uuid4",
    "uuid1",
    "os.urandom",
    "random.random",
    "random.choice",
    "random.randrange",
    "secrets.token_bytes",
}
MAY_ASK = {"preterite/clock.py"}
STARTS_THREADS = {"threading.Thread", "Thread", "ThreadPoolExecutor"}
MAY_START_THREADS = {"preterite/host.py", "preterite/composition/composer.py", "preterite/testing/conformance/log.py"}
VAGUE = {"manager", "helper", "helpers", "util", "utils", "common", "misc", "info", "base"}


def name_of(path: Path) -> str:
    return str(path.relative_to(path.parents[len(path.relative_to(ROOT).parts) - 2]))


def trees(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield name_of(path), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ALL_SOURCES}
    long = {name for name, length in lengths.items() if length > FILE_LINES}

    assert long == LONG_FILES
    assert max(lengths.values()) <= FILE_LINES_MAX


def test_functions_are_short() -> None:
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees(ALL_SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }

    assert {name for name, length in lengths.items() if length > FUNCTION_LINES} == LONG_FUNCTIONS
    assert max(lengths.values()) <= FUNCTION_LINES_MAX


def test_time_waiting_and_randomness_are_passed_in() -> None:
    found = {
        f"{name}: {call}"
        for name, tree in trees(SOURCES)
        if name not in MAY_ASK
        for call in calls(tree)
        if call in ASKS_THE_MACHINE
    }

    assert found == set()


def test_threads_are_the_hosts() -> None:
    found = {
        name
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS_THREADS)
        or (isinstance(node, ast.ClassDef) and any(ast.unparse(base) in STARTS_THREADS for base in node.bases))
    }

    assert found == MAY_START_THREADS


def test_nothing_happens_at_import() -> None:
    """No file, database, environment or clock is touched: importing everything opens nothing but modules."""
    program = """
import importlib, pkgutil, sys
import sqlalchemy.ext.asyncio, sqlalchemy.orm, sqlalchemy.dialects.sqlite, sqlalchemy.dialects.postgresql
import aiosqlite, pytest, msgspec, logging, argparse, psycopg, fastapi
touched = []
def watch(event, arguments):
    if event in ("sqlite3.connect", "socket.__new__", "subprocess.Popen", "os.putenv", "threading.start"):
        touched.append(event)
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith((".py", ".pyc")):
        touched.append(f"open {arguments[0]}")
sys.addaudithook(watch)
import preterite, retail
for package in (preterite, retail):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print("\\n".join(touched))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    opened = [line for line in done.stdout.splitlines() if not line.endswith((".so", "METADATA", "entry_points.txt"))]

    assert done.returncode == 0, done.stderr
    assert [line for line in opened if line] == []


def test_the_core_needs_nothing_but_the_standard_library_and_msgspec() -> None:
    program = "import sys; before = set(sys.modules); import preterite; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}

    # msgspec itself looks for typing_extensions, and does without.
    assert loaded - sys.stdlib_module_names - {"typing_extensions"} == {"preterite", "msgspec"}


@pytest.mark.parametrize("path", ALL_SOURCES, ids=name_of)
def test_every_module_and_everything_public_says_what_it_promises(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
    protocols = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and "Protocol" in ast.unparse(node)}
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            silent.append(node.name)
        if isinstance(node, ast.ClassDef) and (node.name in protocols or not _implements_a_seam(path)):
            silent += [
                f"{node.name}.{method.name}" for method in _public_methods(node) if not ast.get_docstring(method)
            ]
    allowed = {
        "DbCursor.rowcount",
        "DbCursor.execute",
        "DbCursor.executemany",
        "DbCursor.fetchone",
        "DbCursor.fetchall",
    }
    allowed |= {"DbConnection.cursor", "DbConnection.commit", "DbConnection.rollback"}

    assert [name for name in silent if name not in allowed] == []


def _implements_a_seam(path: Path) -> bool:
    """Methods that implement a documented protocol are documented there."""
    relative = name_of(path)
    seams = (
        "preterite/stores/",
        "preterite/logs/",
        "preterite/testing/",
        "retail/",
        "by_hand_",
        "preterite/workplace",
    )
    files = ("clock", "sessions", "host", "sqlite_file", "postgres_server")
    return relative.startswith((*seams, *(f"preterite/{file}" for file in files)))


def _public_methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        method
        for method in node.body
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and not method.name.startswith("_")
    ]


def test_names_are_not_vague() -> None:
    found: set[str] = set()
    for name, tree in trees(ALL_SOURCES):
        words = set(re.split(r"[/_.]", name.removesuffix(".py")))
        names = {node.name.lower() for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        found |= {f"{name}: {word}" for word in (words | names) & VAGUE if word != "base"}

    assert found == set()


def test_nothing_is_left_for_later() -> None:
    """An issue says what is to be done; the source says what is."""
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    texts = [path for folder in FOLDERS for kind in ("py", "md", "sql") for path in (ROOT / folder).rglob(f"*.{kind}")]
    found = [str(path) for path in texts if path != Path(__file__) and later.search(path.read_text(encoding="utf-8"))]

    assert found == []


def test_every_module_of_the_core_has_its_own_unit_test_or_a_suite() -> None:
    elsewhere = {
        "__init__": "tests/house_rules/test_public_api.py",
        "__main__": "tests/unit/test_cli.py",
        "errors": "tests/unit/test_cli.py",
        "failures": "tests/stories/when_a_handler_fails.py",
        "handling": "tests/stories/when_a_handler_misbehaves.py",
        "inbox": "tests/unit/test_receiver.py",
        "instances": "tests/stories/when_a_saga_runs.py",
        "history": "tests/stories/when_history_is_replayed.py",
        "rehearsal": "tests/stories/when_history_is_replayed.py",
        "replay": "tests/stories/when_history_is_replayed.py",
        "letters": "tests/stories/when_a_person_decides.py",
        "items": "tests/stories/when_input_is_bad.py",
        "saga": "tests/stories/when_a_saga_runs.py",
        "sources": "tests/unit/test_receiver.py",
        "timekeeper": "tests/stories/when_something_is_due.py",
        "opened": "tests/unit/test_system.py",
        "preparing": "tests/unit/test_system.py",
        "parking": "tests/stories/when_a_handler_fails.py",
        "sessions": "tests/stories/when_a_unit_of_work_ends.py",
        "rows": "src/preterite/testing/conformance/store.py",
        "standstills": "tests/stories/when_something_is_restored.py",
        "recovery": "tests/stories/when_something_is_restored.py",
        "store_leases": "src/preterite/testing/conformance/store_cursors.py",
        "store_outbox": "src/preterite/testing/conformance/store_outbox.py",
        "store_letters": "src/preterite/testing/conformance/store_letters.py",
        "store_replay": "src/preterite/testing/conformance/store_replay.py",
        "store_time": "src/preterite/testing/conformance/store_time.py",
        "store": "src/preterite/testing/conformance/store.py",
        "unit_of_work": "tests/stories/when_a_unit_of_work_ends.py",
        "workplace": "tests/stories/when_a_handler_misbehaves.py",
        "component": "tests/unit/test_topology.py",
    }
    for path in PACKAGE.glob("*.py"):
        test = elsewhere.get(path.stem, f"tests/unit/test_{path.stem}.py")

        assert (ROOT / test).is_file(), f"{path.name} is tested in {test}"
