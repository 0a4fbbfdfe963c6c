"""Rules of this house that a machine can check, over the source as it stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
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
MAY_START_THREADS = {
    "preterite/hosting/host.py",
    "preterite/hosting/openings.py",
    "preterite/composition/context.py",
    "preterite/testing/conformance/log.py",
}
# What is raised while another error is handled hides that one (`from None`), which its sentence holds; not so here.
KEEPS_ITS_CAUSE = {
    # The cause is raised by code of the user's, or shows the line of it.
    "preterite/handling/invoker.py",
    "preterite/publishing/unit_of_work.py",
    "preterite/store/contract.py",
    "preterite/testing/pytest_plugin.py",
    "preterite/cli/application.py",
    # The cause says where in the package a database has raised it; `--debug` prints it.
    "preterite/cli/command_line.py",
    # Errors of the core's own loops, which log them.
    "preterite/log/postgres/reader.py",
    "preterite/log/sqlite/translating.py",
}
VAGUE = {"manager", "helper", "helpers", "util", "utils", "common", "misc", "info", "base"}


def name_of(path: Path) -> str:
    return str(path.relative_to(path.parents[len(path.relative_to(ROOT).parts) - 2]))


def trees(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield name_of(path), tree_of(path)


@cache
def tree_of(path: Path) -> ast.Module:
    """Parsed once for all tests, which only read it."""
    return ast.parse(path.read_text(encoding="utf-8"))


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
    # -B: Python itself would write what it compiles.
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
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
    tree = tree_of(path)
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
        "preterite/store/",
        "preterite/log/",
        "preterite/drivers/",
        "preterite/hosting/host",
        "preterite/testing/",
        "retail/",
        "handwritten_",
        "preterite/handling/transaction",
        "preterite/publishing/transaction",
    )
    return relative.startswith((*seams, "preterite/clock"))


def _public_methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        method
        for method in node.body
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and not method.name.startswith("_")
    ]


PRINTS = re.compile(
    r"print|pprint|pp|(logging\.)?getLogger|logging\.(debug|info|warning|error|exception|critical|log)|os\.write"
    r"|(warnings\.)?warn|traceback\.print_\w+|sys\.(__)?std(out|err)(__)?\.write\w*|getpass|input"
)
"""Everything that Python has to write a text on a terminal or into a log."""


def test_commands_print_through_one_module_and_loggers_are_made_in_one() -> None:
    """So that no text of others reaches a terminal or a log as it is."""
    found = {
        f"{name}: {ast.unparse(node.func)}"
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and PRINTS.fullmatch(ast.unparse(node.func))
    }
    allowed = {
        "preterite/cli/output.py: print",
        "preterite/printing/logger.py: logging.getLogger",
        # The logger of the parser of SQL, to filter what it says.
        "preterite/checks/sql/sqlglot_reader.py: logging.getLogger",
        # A worker's report, in JSON, to its supervisor; and the traceback of --debug, behind `printable_output`.
        "preterite/cli/worker.py: os.write",
        "preterite/cli/command_line.py: traceback.print_exc",
        "preterite/testing/simulation/running.py: print",
        "preterite/testing/simulation/__main__.py: print",
        "preterite/cli/simulate.py: print",
    }

    assert {one for one in found if one.startswith("preterite/")} - allowed == set()


def test_an_error_whose_sentence_says_all_has_one_traceback() -> None:
    keeps = {
        name
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.cause is not None and ast.unparse(node.cause) != "None"
    }

    assert keeps - {"preterite/testing/simulation/machine/faults.py"} == KEEPS_ITS_CAUSE


FOREIGN = {"error", "reason", "why", "said"}
"""What a text is called that an exception or another program has given."""
NOT_QUOTED = -1
GOES_ON = re.compile(r"['\"]?[.;,](\s|$)")


def _written_before_more(node: ast.AST) -> Iterator[ast.expr]:
    """What a text or a line of the log gets in the middle of a sentence, before a mark of the sentence's own."""
    if isinstance(node, ast.JoinedStr):
        for part, then in zip(node.values, node.values[1:], strict=False):
            goes_on = isinstance(then, ast.Constant) and GOES_ON.match(str(then.value))
            if isinstance(part, ast.FormattedValue) and part.conversion == NOT_QUOTED and goes_on:
                yield part.value
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        pieces = re.split(r"%[sd]|%\.\df", str(node.args[0].value))
        for argument, then in zip(node.args[1:], pieces[1:], strict=False):
            if ast.unparse(node.func).startswith("_logger.") and GOES_ON.match(then):
                yield argument


def test_what_an_error_says_is_put_into_a_sentence_without_its_own_period() -> None:
    """By `clause`: else a log says "cannot be opened: no such file.. Nothing was written."."""
    found = {
        f"{name}: {ast.unparse(value)}"
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        for value in _written_before_more(node)
        if not ast.unparse(value).startswith(("clause(", "type(", "number_of("))
        if (isinstance(value, ast.Call) and isinstance(node, ast.Call))
        or FOREIGN & {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}
    }

    assert found == set()


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


ROOT_MODULES_MAX = 18
FOLDER_FILES = range(3, 13)
# A file for each command, and for each framework.
AS_MANY_AS_IT_TAKES = {"cli", "integrations"}


def test_the_root_and_every_folder_can_be_taken_in_at_a_glance() -> None:
    folders = [folder for folder in PACKAGE.rglob("*") if (folder / "__init__.py").is_file()]
    sizes = {str(folder.relative_to(PACKAGE)): len(list(folder.glob("*.py"))) for folder in folders}
    wrong = {name: size for name, size in sizes.items() if size not in FOLDER_FILES and name not in AS_MANY_AS_IT_TAKES}

    assert len(list(PACKAGE.glob("*.py"))) <= ROOT_MODULES_MAX
    assert wrong == {}


# Tested through what uses them, or by a suite that every implementation passes.
TESTED_ELSEWHERE = {
    "store/sqlite/running": "tests/stores/test_sqlite.py",
    "publishing/forgotten": "tests/stories/when_something_is_restored.py",
    "__init__": "tests/architecture/test_public_api.py",
    "__main__": "tests/unit/cli/test_command_line.py",
    "errors": "tests/unit/cli/test_command_line.py",
    "saga": "tests/stories/when_a_saga_runs.py",
    "open_system": "tests/unit/test_system.py",
    "component": "tests/unit/test_topology.py",
    "loop": "tests/unit/receiving/test_receiver.py",
    "handling/plan": "tests/unit/receiving/test_receiver.py",
    "publishing/sessions": "tests/unit/test_system.py",
    "publishing/transaction": "tests/unit/publishing/test_units_that_user_code_ends.py",
    "publishing/session_hooks": "tests/unit/publishing/test_units_that_user_code_ends.py",
    "publishing/adapted": "tests/unit/publishing/test_units_that_user_code_ends.py",
    "publishing/pending": "tests/unit/publishing/test_unit_of_work.py",
    "drivers/postgres_guard": "tests/unit/drivers/test_postgres.py",
    "drivers/sqlite_guard": "tests/unit/drivers/test_sqlite.py",
    "operations/proof": "tests/unit/operations/test_provisioning.py",
    "log/sqlite/databases": "tests/logs/test_sqlite.py",
    "log/sqlite/schema": "tests/stories/when_a_schema_is_newer.py",
    "log/postgres/schema": "tests/stories/when_a_schema_is_newer.py",
    "log/sqlite/translating": "tests/stories/when_a_database_is_away.py",
    "log/postgres/databases": "tests/logs/test_postgres.py",
    "log/gaps": "tests/stories/when_something_is_restored.py",
    "log/memory": "tests/logs/test_memory.py",
    "log/numbered": "tests/logs/test_sqlite.py",
    "hosting/openings": "tests/stories/when_a_database_is_away.py",
    "hosting/runtime": "tests/unit/test_system.py",
    "receiving/parking": "tests/stories/when_a_handler_fails.py",
    "receiving/streams": "tests/unit/receiving/test_receiver.py",
    "receiving/scheduler": "tests/stories/when_something_is_due.py",
    "receiving/replayer": "tests/stories/when_history_is_replayed.py",
    "handling/batch": "tests/unit/receiving/test_receiver.py",
    "handling/delivery": "tests/stories/when_input_is_bad.py",
    "handling/failure": "tests/stories/when_a_handler_fails.py",
    "handling/transaction": "tests/stories/when_a_handler_misbehaves.py",
    "operations/dead_letters": "tests/stories/when_an_operator_decides.py",
    "operations/replays": "tests/stories/when_history_is_replayed.py",
    "operations/rehearsal": "tests/stories/when_history_is_replayed.py",
    "operations/recovery": "tests/stories/when_something_is_restored.py",
    "operations/startup": "tests/unit/test_system.py",
}
STATIONS = ("", "publishing", "log", "receiving", "handling", "drivers", "hosting", "operations")


def test_unit_tests_stand_in_the_same_folders_as_what_they_test() -> None:
    for station in STATIONS:
        for path in (PACKAGE / station).glob("*.py"):
            module = f"{station}/{path.stem}".lstrip("/")
            if path.stem == "__init__" and station:
                continue
            test = TESTED_ELSEWHERE.get(module, f"tests/unit/{station}/test_{path.stem}.py".replace("//", "/"))

            assert (ROOT / test).is_file(), f"{module} is tested in {test}"
