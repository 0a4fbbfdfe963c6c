"""A component's own tables: where they are missing a start says so, and where they cannot be created it says why."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from support.command_line import runner

from preterite import Component, System
from preterite.errors import StoreUnavailable, TablesMissing
from preterite.hosting.own_tables import declared

METADATA = MetaData()
Table("bill", METADATA, Column("id", Integer, primary_key=True))
TEXT = "create table bill (id integer primary key);"
APP = "support.process_shop:system"


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        (None, []),
        (METADATA, ["bill"]),
        (TEXT, ["bill"]),
        ("CREATE TABLE IF NOT EXISTS billing.bill (id int); create unlogged table b (id int)", ["bill", "b"]),
        ('create table "Bill of Fare" (id int); create table [two]("three.four" int)', ["Bill of Fare", "two"]),
        ('create table "a.b"."c.d" (id int)', ["c.d"]),
        ("create virtual table found using fts5(text); create view seen as select 1", ["found"]),
        (
            "-- create table no (id int)\ncreate /* table no */ index i on a; insert into a values ('create table')",
            [],
        ),
        ("create temporary table passing (id int)", []),
    ],
)
def test_the_tables_that_a_component_declares(tables: Any, names: list[str]) -> None:
    assert declared(tables) == names


@pytest.mark.parametrize("tables", [TEXT, METADATA], ids=["text", "metadata"])
def test_nothing_is_opened_while_tables_are_missing(
    tables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shop = System("shop", [Component("finance", tables=tables)])
    with pytest.raises(TablesMissing) as refused:
        shop.open()
    shop.open(create_tables=True).close()
    shop.open().close()

    assert str(refused.value).startswith("Tables of 'finance' are missing in sqlite:///")
    assert str(refused.value).endswith("System.open(create_tables=True). Nothing was started.")
    assert refused.value.__cause__ is refused.value.__context__ is None
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


def test_tables_that_cannot_be_created_are_refused_in_a_sentence_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shop = System("shop", [Component("finance", tables="create table bill (id integer); create table (no name)")])

    with pytest.raises(TablesMissing) as refused:
        shop.open(create_tables=True)

    assert refused.value.__suppress_context__, "one traceback, not three: the sentence has the reason"
    assert str(refused.value).startswith("The tables of 'finance' cannot be created in sqlite:///")
    assert 'near "(": syntax error. None was created. Create them by your migrations, or set PRET' in str(refused.value)
    with sqlite3.connect(".preterite/shop/finance.sqlite") as connection:
        found = connection.execute("select name from sqlite_master where name = 'bill'").fetchall()
    connection.close()
    assert found == []


def test_the_owner_of_the_tables_creates_them_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the owner's database is another one, so that it shows who was asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRETERITE_FINANCE_OWNER_URL", f"sqlite:///{tmp_path}/owner.sqlite")
    shop = System("shop", [Component("finance", tables=METADATA)])
    shop.open(create_tables=True).close()
    elsewhere = {"finance": f"sqlite:///{tmp_path}/given.sqlite"}
    shop.open(create_tables=True, databases=elsewhere, log=f"sqlite:///{tmp_path}/log.sqlite").close()

    assert tables_of(tmp_path / "owner.sqlite") >= {"bill"}
    assert tables_of(tmp_path / "given.sqlite") >= {"bill", "preterite_outbox"}
    assert "bill" not in tables_of(tmp_path / ".preterite/shop/finance.sqlite")


def tables_of(file: Path) -> set[str]:
    connection = sqlite3.connect(file)
    found = {name for (name,) in connection.execute("select name from sqlite_master")}
    connection.close()
    return found


def test_a_database_that_is_out_of_reach_is_no_fault_of_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shop = System("shop", [Component("finance", tables=TEXT)])
    with shop.open(create_tables=True) as opened:

        def refuse(_tables: str) -> None:
            raise StoreUnavailable("it is locked")

        monkeypatch.setattr(opened.databases["finance"], "create_tables", refuse)
        monkeypatch.setattr("preterite.store.connect", lambda _url, _name: opened.databases["finance"])  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        with shop.open(create_tables=True) as waiting:
            assert "it is locked" in waiting.runtime.faults["finance"]
            with pytest.raises(StoreUnavailable):
                waiting.runtime.require("finance")


def test_run_does_not_start_without_the_components_own_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = runner(capsys)("run", "-A", APP)

    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("preterite: Tables of 'sales' are missing in sqlite:///")
    assert err.splitlines()[-1].endswith(" Nothing was started.")
    assert "Traceback" not in err
