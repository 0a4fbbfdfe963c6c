"""Which tables a statement touches: through everything that hides them, and without what only looks like a table."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preterite.checks import sql
from preterite.checks.sql import Dialect, Shapes, Unread, fingerprint, statements, touched


class Case(NamedTuple):
    """A statement, what it reads and what it writes, as words; a dialect where only one knows it."""

    text: str
    reads: str = ""
    writes: str = ""
    only: str = ""


CASES = (
    Case("SELECT * FROM purchase p JOIN finance.bill b ON b.p = p.id WHERE x = %s", "finance.bill purchase"),
    Case("with purchase as (select * from purchase) select * from purchase", "purchase"),
    Case("with a as (select 1), b as (select * from a) select * from b join c on true", "c"),
    Case("WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) SELECT * FROM t"),
    Case("select * from a where exists (with b as (select 1) select * from b join c on true)", "a c"),
    Case("select * from (with x as (select 1) select * from x) y join x on true", "x"),
    Case("insert into bill select * from purchase", "purchase", "bill"),
    Case("insert into bill (a, b) values (?, ?)", "", "bill"),
    Case("INSERT INTO bill VALUES (%(a)s, %(b)s) ON CONFLICT (a) DO UPDATE SET b = excluded.b", "", "bill"),
    Case("insert or ignore into bill values (1)", "", "bill"),
    Case("replace into bill values (1)", "", "bill"),
    Case("update bill set x = 1 from purchase where a = b", "purchase", "bill"),
    Case("delete from bill using purchase where true", "purchase", "bill", "postgres"),
    Case("with x as (delete from purchase returning *) insert into bill select * from x", "", "bill purchase"),
    Case("merge into bill using purchase on a = b when matched then update set x = 1", "purchase", "bill"),
    Case('select * from "Purchase"', "Purchase", "", "postgres"),
    Case('select * from "Purchase"', "purchase", "", "sqlite"),
    Case("select * from Purchase", "purchase"),
    Case("select * from main.purchase", "purchase", "", "sqlite"),
    Case("declare c cursor for select * from purchase", "purchase"),
    Case("declare c no scroll cursor with hold for select * from purchase", "purchase"),
    Case("copy purchase (a, b) from stdin", "", "purchase"),
    Case("copy sales.purchase to stdout", "sales.purchase"),
    Case("lock table purchase, bill in exclusive mode", "", "bill purchase"),
    Case("truncate purchase, bill", "", "bill purchase"),
    Case("drop table if exists bill, line", "", "bill line"),
    Case("alter table bill add column x int", "", "bill"),
    Case("create view v as select * from purchase", "purchase", "v"),
    Case("create materialized view v as select * from purchase", "purchase", "v"),
    Case("refresh materialized view concurrently v", "", "v"),
    Case("create table t (id int primary key references purchase (id))", "purchase", "t"),
    Case("create table t as select * from purchase", "purchase", "t"),
    Case("select * into t from purchase", "purchase", "t", "postgres"),
    Case("create index i on bill (x)", "", "bill"),
    Case("grant select on purchase to finance", "", "purchase"),
    Case("explain analyze select * from purchase", "purchase"),
    Case("prepare p as select * from purchase", "purchase"),
    Case("select * from unnest(%s::int[]) as u (x), generate_series(1, 3)", "", "", "postgres"),
    Case("select p.* from purchase p, lateral (select * from bill b where b.p = p.id) q", "bill purchase"),
    Case("select 'from bill' from purchase -- and from bill", "purchase"),
    Case("select * from (values (1)) v (x)"),
    Case("select nextval('sales.order_number')", "sales.order_number"),
    Case("savepoint x; select 1 from a; rollback to x; release savepoint x", "a"),
    Case("begin; update a set x = 1; commit", "", "a"),
    Case("pragma journal_mode"),
    Case("create function f() returns int as $$ select 1 from purchase $$ language sql", "purchase"),
    Case(
        "create trigger t after insert on bill begin insert into audit values (new.id);"
        " update purchase set x = case when 1 then 2 else 3 end; end; select * from z",
        "z",
        "audit bill purchase",
    ),
    Case("create trigger t after insert on bill for each row execute function f(); select * from z", "z", "bill"),
)
UNREAD = (
    "do $$ begin delete from purchase; end $$",
    "call tidy_up()",
    "create function f() returns trigger as $$ begin delete from purchase; return new; end $$ language plpgsql",
    "selct * from purchase",
    "select * from",
)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("case", CASES, ids=[one.text[:50] for one in CASES])
def test_what_a_statement_reads_and_writes(case: Case, dialect: Dialect) -> None:
    if case.only not in ("", dialect):
        return
    found = touched(case.text, dialect)

    assert (sorted(map(str, found.reads)), sorted(map(str, found.writes))) == (case.reads.split(), case.writes.split())


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_understood_is_never_taken_for_harmless(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unread):
        touched(text, "postgres")
    shapes = Shapes("postgres")
    for _ in range(2):
        with pytest.raises(Unread):
            shapes.touched(text)
    assert shapes.parsed == 1
    assert caplog.messages == [], "the parser's own warnings are not shown"


def test_a_search_path_is_told() -> None:
    assert touched("set search_path to finance, public", "postgres").search_path == ("finance", "public")
    assert touched("SET LOCAL search_path = 'finance'; select * from bill", "postgres").search_path == ("finance",)


def test_statements_that_differ_in_values_alone_have_one_shape_and_are_parsed_once() -> None:
    shapes = Shapes("postgres")
    for number in range(50):
        values = ", ".join(str(one) for one in range(number + 2))
        shapes.touched(f"SELECT  *\nFROM purchase WHERE id = '{number}' AND x IN ({values}) -- {number}")

    assert shapes.parsed == 1


def test_no_more_shapes_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "SHAPES_MAX", 3)
    shapes = Shapes("sqlite")
    for number in (*range(5), 4, 0):
        shapes.touched(f"select * from t{number}")

    assert shapes.parsed == 6


@given(st.text(alphabet="abc' \"%?;--/*$1", max_size=40))
def test_a_text_has_the_same_shape_however_it_is_spaced(text: str) -> None:
    assert fingerprint(f"  {text}\n") == fingerprint(text)


@given(st.lists(st.sampled_from(["select 1", "select ';'", "insert into a values ('x;y')", 'select ";" from b'])))
def test_a_text_is_cut_where_statements_end_and_nowhere_else(some: list[str]) -> None:
    assert [one.strip() for one in statements("; ".join(some))] == some
