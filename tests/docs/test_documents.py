"""What the documents show is so: every Python example runs, every file that is named exists, tables are as declared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import report
from support import postgres

from preterite.contracts import Event, wire_name
from retail.system import system

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/*.md")]
)
# These are projects of several files; test_tutorial.py and test_migrations.py run them.
PROJECTS = {"tutorial.md", "migrate-your-tables.md"}
WITH_EXAMPLES = [
    path for path in DOCUMENTS if "```python" in path.read_text(encoding="utf-8") and path.name not in PROJECTS
]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def examples(path: Path) -> str:
    """The Python of a document, as one program."""
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=named)
def test_every_example_runs(path: Path, tmp_path: Path) -> None:
    program = tmp_path / "document.py"
    program.write_text(examples(path), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_tests_on_the_page_about_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(examples(ROOT / "docs" / "how-to" / "test-a-system.md"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "3 passed" in done.stdout, done.stdout


def test_the_example_of_the_readme_runs_on_sqlite(tmp_path: Path) -> None:
    program = examples(ROOT / "README.md")

    assert run_shop(tmp_path, program, {}) == "1 bill\n"
    assert len(program.splitlines()) <= 60


def test_the_next_commands_of_the_readme_import_its_example(tmp_path: Path) -> None:
    run_shop(tmp_path, examples(ROOT / "README.md"), {})
    preterite = Path(sys.executable).parent / "preterite"
    command = [preterite, "-A", "shop:system", "describe"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "sales.ItemPurchased" in done.stdout
    assert not done.stdout.startswith("1 bill")


@pytest.mark.slow("PostgreSQL")
def test_the_example_of_the_readme_runs_unchanged_on_postgresql(tmp_path: Path) -> None:
    with postgres.databases() as make:
        urls = {f"PRETERITE_{name.upper()}_URL": make(name) for name in ("sales", "finance", "log")}

        assert run_shop(tmp_path, examples(ROOT / "README.md"), urls) == "1 bill\n"
    assert not (tmp_path / ".preterite").exists()


def run_shop(folder: Path, program: str, environment: dict[str, str]) -> str:
    (folder / "shop.py").write_text(program)
    command = [sys.executable, "-W", "error", "shop.py"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
    done = subprocess.run(command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (path.parent / link).exists()]

    assert missing == []


def test_the_architecture_names_every_room_and_only_those() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "preterite"
    files = set(re.findall(r"`([\w/]+\.py)`", text))
    folders = set(re.findall(r"`([\w/]+/)`", text))
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    # In the row of a folder its files stand without it.
    known = {path.name for path in package.rglob("*.py")} | {
        str(path.relative_to(package)) for path in package.rglob("*.py")
    }

    assert modules <= files
    assert rooms <= folders
    assert files <= known
    assert {one for one in folders if not (package / one).is_dir() and not list(package.glob(f"*/{one}"))} == set()


def test_the_ownership_table_of_the_shop_is_as_declared() -> None:
    text = (ROOT / "examples" / "retail" / "README.md").read_text(encoding="utf-8")
    rows = {
        cells[0].partition("]")[0].strip("[ ").lower(): cells
        for line in text.splitlines()
        if line.startswith("| [")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }

    for component in system.components:
        publishes = ", ".join(f"`{event.__name__}`" for event in component.publishes) or "–"
        events = [h.message_type.__name__ for h in component.handlers if issubclass(h.message_type, Event)]
        listens = ", ".join(f"`{name}`" for name in events) or "–"
        assert rows[component.name][2:] == [publishes, listens]
        assert all(wire_name(event, component.name).startswith(component.name) for event in component.publishes)


def test_the_readme_states_the_promises_that_stories_are_named_after() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    stories = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "stories").glob("*.py"))

    assert re.findall(r"^(\d)\. \*", text, re.MULTILINE) == [str(number) for number in range(1, 10)]
    for number in (1, 2, 3, 4, 5, 6, 7, 8):
        assert f"Promise {number}" in stories or f"Promises {number}" in stories


def test_tables_and_pictures_of_the_benchmarks_are_what_the_kept_figures_say() -> None:
    for path, text in report.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is older: python -m benchmarks.report"


def test_every_command_of_the_makefile_is_explained() -> None:
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "help",
        "setup",
        "servers",
        "browser",
        "test",
        "test-all",
        "check",
        "demo",
        "shop",
        "bench",
        "simulate",
        "crash",
        "mutants",
        "peers",
        "storm",
        "fuzz",
        "lock",
    ]


def test_the_lock_file_names_no_registry_and_pins_every_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z][\w.-]*==", text, re.MULTILINE)

    assert "://" not in text
    assert "index" not in text
    assert len(pins) > 20
    assert text.count("--hash=sha256:") > len(pins)
