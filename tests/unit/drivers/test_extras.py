"""Where the packages of an extra are not installed, whatever needs them says so in one sentence; the rest works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from preterite.cli.command_line import COMMANDS
from preterite.drivers.extras import EXTRAS, needing
from preterite.errors import ExtraMissing

ROOT = Path(__file__).parents[3]
SHOP = """
from datetime import datetime
from uuid import UUID
from preterite import Component, Event, System, UnitOfWork
from preterite.composition import Page

class ItemPurchased(Event, key="customer_id"):
    customer_id: UUID
    purchased_at: datetime

sales = Component("sales", publishes=[ItemPurchased])
finance = Component("finance", tables="create table bill (purchase text primary key)")

@finance.handles(ItemPurchased)
def bill(event: ItemPurchased, unit_of_work: UnitOfWork) -> None: ...

shop = System("shop", [sales, finance])
pages: list[Page] = []
clocked = Component("clocked")

@clocked.daily()
def tidy(tick) -> None: ...

def use(shop, chance) -> None: ...
"""
POSTGRES = "postgresql://127.0.0.1:1/"
PROGRAM = f"""
import contextlib, importlib, io, sys, traceback

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
from preterite.cli.command_line import main
from preterite.errors import PreteriteError
from preterite import System

def tried(what, step):
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            step()
        answer = said.getvalue()
    except PreteriteError as error:
        answer = f"{{type(error).__name__}}: {{error}}"
    except SystemExit:
        answer = said.getvalue()
    except BaseException:
        answer = traceback.format_exc()
    print(f"== {{what}}\\n{{answer}}")

for module in {
    (
        "composition",
        "composition.web",
        "checks",
        "checks.recording",
        "integrations.fastapi",
        "testing",
        "testing.simulation",
        "testing.conformance",
        "operations",
        "operations.replays",
        "codecs",
    )
}:
    tried(f"import preterite.{{module}}", lambda: importlib.import_module(f"preterite.{{module}}"))

sys.path.insert(0, "")
import shop

def session():
    with shop.shop.open(create_tables=True) as opened, opened.session(shop.sales) as session:
        session.connection()

async def later():
    async with shop.shop.open(create_tables=True) as opened, opened.session(shop.sales) as session:
        await session.connection()

def asynchronous():
    import asyncio
    asyncio.run(later())

def postgres():
    shop.shop.open(databases={{"sales": "{POSTGRES}sales"}}).close()

def log():
    shop.shop.open(log="{POSTGRES}log").close()

tried("open", lambda: shop.shop.open().close())
tried("session", session)
tried("asynchronous session", asynchronous)
tried("PostgreSQL", postgres)
tried("PostgreSQL's log", log)
tried("calendar", lambda: System("clocked", [shop.clocked]).open(databases={{"clocked": "sqlite:///clocked"}}).close())
for words in COMMANDS:
    tried("preterite " + words, lambda: main(words.split()))
"""
LINES = (
    "check",
    "explain",
    "clock show",
    "contracts show",
    "contracts diff",
    "dead-letters list",
    "describe",
    "migrate status",
    "migrate sql",
    "owner bill",
    "pages list --pages shop:pages",
    "provision --admin postgresql://127.0.0.1:1/postgres",
    "publish sales nothing.xml",
    "recover plan",
    "replay plan --to finance.bill",
    "retire finance nothing --reason gone",
    "simulate --use shop:use --seed 1 --times 1",
    "status",
)
"""A line of every command that ends by itself."""
NEEDS = {
    "sqlalchemy": {"session", "asynchronous session"},
    "postgres": {"PostgreSQL", "PostgreSQL's log", "preterite provision --admin postgresql://127.0.0.1:1/postgres"},
    "calendar": {"calendar"},
    "fastapi": {"import preterite.integrations.fastapi"},
    "web": {"import preterite.composition.web"},
    "check": {"import preterite.checks", "import preterite.checks.recording", "preterite check"},
    "simulation": {"import preterite.testing.simulation", "preterite simulate --use shop:use --seed 1 --times 1"},
}
"""What is certainly not possible without an extra."""


def test_every_extra_and_every_command_is_tried() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS}

    assert set(EXTRAS) == set(declared) == set(NEEDS)
    assert {line.split()[0] for line in LINES} == {*names, "explain"} - {"run"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_without_an_extra_there_is_a_sentence_and_never_a_traceback(extra: str, tmp_path: Path) -> None:
    answers = _answers(extra, tmp_path)
    silent = {what for what in NEEDS[extra] if f"pip install 'preterite[{extra}]'" not in answers[what]}
    broken = {
        what: answer
        for what, answer in answers.items()
        if "Traceback" in answer or re.search(r"No module named '(?!nothing)", answer)
    }

    assert broken == {}
    assert silent == set()


def _answers(extra: str, folder: Path) -> dict[str, str]:
    (folder / "shop.py").write_text(SHOP)
    (folder / "pyproject.toml").write_text('[tool.preterite]\napp = "shop:shop"\n')
    program = f"HIDDEN = {EXTRAS[extra]!r}\nCOMMANDS = {LINES!r}\n{PROGRAM}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.removeprefix("== ").split("\n== ")
    return {what: answer for what, _, answer in (part.partition("\n") for part in parts)}


def test_a_driver_without_its_library_and_another_package() -> None:
    with pytest.raises(
        ExtraMissing, match=r"^It needs psycopg, which is not installed: pip install 'preterite\[postgres\]'"
    ):
        with needing("It"):
            raise ImportError("no pq wrapper available.")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'pandas'"):
        with needing("It"):
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
