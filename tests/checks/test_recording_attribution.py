"""Whose statement it is: the component's of the innermost code, or nobody's, and then it is counted."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from preterite import Component, Event, System
from preterite.checks.recording import recording
from preterite.testing import started

CODE = {
    "__init__.py": "",
    "tools.py": "def read(connection):\n    return connection.execute('select * from ' + 'purchase').fetchall()\n",
    "sales/__init__.py": "from preterite import Component\n"
    "sales = Component('sales', tables='create table purchase (id text)')\n",
    "finance/__init__.py": "from preterite import Component\n"
    "finance = Component('finance', tables='create table bill (id text)')\n",
    "finance/page.txt": "\n{{ read() }}\n",
    "finance/later.py": "from sqlalchemy import text\n"
    "from sqlalchemy.ext.asyncio import create_async_engine\n"
    "async def read(file):\n"
    "    engine = create_async_engine(f'sqlite+aiosqlite:///{file}')\n"
    "    async with engine.connect() as connection:\n"
    "        await connection.execute(text('select * from ' + 'purchase'))\n"
    "    await engine.dispose()\n",
}
READ = "cross-component-sql-at-runtime:finance:sales.purchase:read"


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with two components and a shared module."""
    for name, text in CODE.items():
        file = tmp_path / "attributed" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path / "attributed"
    for name in [name for name in sys.modules if name.partition(".")[0] == "attributed"]:
        del sys.modules[name]


def module(name: str) -> Any:
    return importlib.import_module(f"attributed.{name}")


def system() -> System:
    return System("shop", [module("sales").sales, module("finance").finance])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.execute("create table purchase (id text)")
        yield opened


def test_what_a_template_calls_belongs_to_its_component(code: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Environment(loader=jinja2.FileSystemLoader(code / "finance")).get_template("page.txt")
    with recording(system()) as recorder, closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table purchase (id text)")
        template.render(read=lambda: module("tools").read(connection))

    found = [one for one in recorder.findings() if one.rule != "statement-of-no-component"]
    assert [one.key for one in found] == [READ]
    assert found[0].place == (code / "finance/page.txt", 2)


def test_what_runs_below_an_await_belongs_to_the_component_that_awaits(code: Path) -> None:
    file = code / "x.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("create table purchase (id text)")
    with recording(system()) as recorder:
        asyncio.run(module("finance.later").read(file))

    assert [one.key for one in recorder.findings()] == [READ]
    assert recorder.findings()[0].place == (code / "finance/later.py", 6)


def test_what_belongs_to_nobody_is_counted_with_the_first_place(code: Path) -> None:
    with recording(system()) as recorder, closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table purchase (id text)")
        for _ in range(3):
            module("tools").read(connection)
        connection.execute("select 1")

    assert recorder.of_nobody == 4
    (found,) = recorder.findings()
    assert found.key == "statement-of-no-component:sales:statements:ran"
    assert found.message.startswith("4 statements on tables of sales ran in the code of no component")
    assert found.place.file == Path(__file__)
    assert found.definition.severity == "note"


class ItemPurchased(Event, key="purchase_id"):
    purchase_id: UUID
    purchased_at: datetime


SHOP = System("shop", [Component("sales", tables="create table purchase (id text)"), Component("finance")])


class Base(DeclarativeBase):
    pass


class Purchase(Base):
    __tablename__ = "purchase"
    id: Mapped[str] = mapped_column(primary_key=True)


@pytest.mark.parametrize("isolated", [False, True])
def test_rows_that_are_written_after_their_handler_has_returned_are_of_its_component(isolated: bool) -> None:
    sales = Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text)")
    finance = Component("finance")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        session.add(Purchase(id=str(event.purchase_id)))

    shop = System("shop", [sales, finance])
    with recording(shop) as recorder, started(shop) as opened:
        with opened.connection(finance) as connection:
            connection.execute("create table purchase (id text)")
        with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            for _ in range(1 if isolated else 3):
                unit_of_work.publish(ItemPurchased(purchase_id=uuid4(), purchased_at=datetime.now(UTC)))
        opened.settle()

    keys = [one.key for one in recorder.findings() if one.definition.severity == "error"]
    assert keys == ["cross-component-sql-at-runtime:finance:sales.purchase:write"]


def test_what_preterite_itself_runs_is_nobodys_and_not_counted() -> None:
    with recording(SHOP) as recorder, started(SHOP) as opened:
        opened.settle()
        opened.status()

    assert recorder.findings() == []
    assert recorder.of_nobody == 0
