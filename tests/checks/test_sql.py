"""Which tables a statement accesses: in every construct that contains them, without names that are not tables."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preterite.checks.sql import statements as sql
from preterite.checks.sql.lexing import fingerprint, statements
from preterite.checks.sql.statements import StatementCache, table_access
from preterite.checks.sql.tables import Dialect, NotUnderstood


class Case(NamedTuple):
    """A statement and the tables that it reads and writes; `only` is the dialect if the other does not have it."""

    text: str
    reads: str = ""
    writes: str = ""
    only: str = ""


CASES = (
    Case("SELECT * FROM purchase p JOIN finance.bill b ON b.p = p.id WHERE x = %s", "finance.bill purchase"),
    Case("with purchase as (select * from purchase) select * from purchase", "purchase"),
    Case("with a as (select 1), b as (select * from a) select * from b join c on true", "c"),
    Case("with x as (select * from a), a as (select * from b) select * from x, a", "a b", "", "postgres"),
    Case("with x as (select * from a), a as (select * from b) select * from x, a", "b", "", "sqlite"),
    Case("with n (i) as (select 1 union all select i + 1 from n) select * from n", "", "", "sqlite"),
    Case("with recursive x as (select * from a), a as (select * from b) select * from x, a", "b"),
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
    Case("declare c cursor for select * from purchase", "purchase", only="postgres"),
    Case("declare c no scroll cursor with hold for select * from purchase", "purchase", only="postgres"),
    Case("copy purchase (a, b) from stdin", "", "purchase", only="postgres"),
    Case("copy sales.purchase to stdout", "sales.purchase", only="postgres"),
    Case("lock table purchase, bill in exclusive mode", "", "bill purchase", only="postgres"),
    Case("truncate purchase, bill", "", "bill purchase", only="postgres"),
    Case("drop table if exists bill, line", "", "bill line"),
    Case("alter table bill add column x int", "", "bill"),
    Case("create view v as select * from purchase", "purchase", "v"),
    Case("create materialized view v as select * from purchase", "purchase", "v", only="postgres"),
    Case("refresh materialized view concurrently v", "", "v", only="postgres"),
    Case("create table t (id int primary key references purchase (id))", "purchase", "t"),
    Case("create table t as select * from purchase", "purchase", "t"),
    Case("select * into t from purchase", "purchase", "t", "postgres"),
    Case("create index i on bill (x)", "", "bill"),
    Case("grant select on purchase to finance", "", "purchase", only="postgres"),
    Case("explain analyze select * from purchase", "purchase", only="postgres"),
    Case("prepare p as select * from purchase", "purchase", only="postgres"),
    Case("select * from unnest(%s::int[]) as u (x), generate_series(1, 3)", "", "", "postgres"),
    Case("select p.* from purchase p, lateral (select * from bill b where b.p = p.id) q", "bill purchase"),
    Case("select 'from bill' from purchase -- and from bill", "purchase"),
    Case("select * from (values (1)) v (x)"),
    Case("select nextval('sales.order_number')", "sales.order_number", only="postgres"),
    Case("savepoint x; select 1 from a; rollback to x; release savepoint x", "a"),
    Case("begin; update a set x = 1; commit", "", "a"),
    Case("pragma journal_mode"),
    Case("create function f() returns int as $$ select 1 from purchase $$ language sql", "purchase", only="postgres"),
    Case(
        "create trigger t after insert on bill begin insert into audit values (new.id);"
        " update purchase set x = case when 1 then 2 else 3 end; end; select * from z",
        "z",
        "audit bill purchase",
    ),
    Case("create trigger t after insert on bill for each row execute function f(); select * from z", "z", "bill"),
    # Names that are not tables.
    Case("select * from purchase p for update of p", "purchase"),
    Case("create index i on bill (x varchar_pattern_ops)", "", "bill"),
    Case("drop index i"),
    Case("drop type mood", only="postgres"),
    Case("drop function f(int)", only="postgres"),
    Case("drop trigger t on bill", "", "bill", "postgres"),
    Case("drop trigger t", only="sqlite"),
    Case("alter table bill rename to invoice", "", "bill"),
    Case("alter table bill rename column a to b", "", "bill"),
    Case("alter type t rename attribute a to b", only="postgres"),
    Case("alter index i rename to j", only="postgres"),
    Case("create type mood as enum ('sad', 'ok')", only="postgres"),
    Case("create type pair as (a int, b int)", only="postgres"),
    Case("select * from bill indexed by i", "bill", "", "sqlite"),
    Case("select 1 as a, 'x from y' where 'a' = '--from b'"),
    # Tables in unusual places.
    Case("with item as (select 1) insert into item select * from item", "", "item"),
    Case("with item as (select 1) update item set x = 1", "", "item"),
    Case("select nextval('x'::regclass), setval('s.y', 3)", "s.y x", "", "postgres"),
    Case("select setval(pg_get_serial_sequence('\"Item\"', 'id'), 1)", "Item", "", "postgres"),
    Case("create table t (id int default nextval('public.t_id'::regclass))", "public.t_id", "t", "postgres"),
    Case("select query_to_xml('select * from finance.bill', true, false, '')", "finance.bill", "", "postgres"),
    Case("select table_to_xml('finance.bill', true, false, '')", "finance.bill", "", "postgres"),
    Case("select * from ts_stat($$select v from bill$$)", "bill", "", "postgres"),
    Case("select * from dblink('dbname=x', 'select id from bill') as t (id int)", "bill", "", "postgres"),
    Case("create sequence s owned by sales.bill.id", "sales.bill", "s", "postgres"),
    Case("alter sequence s owned by none", "", "s", "postgres"),
    Case("create virtual table v using fts5 (x, content='bill')", "bill", "v", "sqlite"),
    Case("create virtual table v using fts5(x, content = 'bill', content_rowid=id)", "bill", "v", "sqlite"),
    Case("create virtual table v using fts5(x, content='')", "", "v", "sqlite"),
    Case("reindex table bill", "", "bill", "postgres"),
    Case("reindex bill", "", "bill", "sqlite"),
    Case("vacuum analyze bill", "", "bill", "postgres"),
    Case("comment on table bill is 'x'", "", "bill", "postgres"),
    Case("comment on column sales.bill.x is 'x'", "", "sales.bill", "postgres"),
    Case("revoke all on bill from finance", "", "bill", "postgres"),
    Case("create policy p on bill using (exists (select 1 from purchase))", "purchase", "bill", "postgres"),
    Case("select * from 'bill'", "bill", "", "sqlite"),
    Case("insert into [bill] values (?1, :a, @b, $c)", "", "bill", "sqlite"),
    Case("update or ignore bill set x = ?1 where y = ?2", "", "bill", "sqlite"),
    Case("create table t (a int, b int generated always as (a + 1), c references u)", "u", "t", "sqlite"),
    Case("select v <#> %s from purchase order by v <#> %s", "purchase", "", "postgres"),
    Case("select * from purchase where a = :a and b in :b and c::text = any(%(c)s)", "purchase", "", "postgres"),
    Case("select * from a where x = interval %s", "a", "", "postgres"),
    Case("explain select '--', id from bill", "bill"),
    Case("select E'\\'; drop table a; --', x from bill", "bill", "", "postgres"),
    Case(
        "create function f() returns int begin atomic select 1 from a; select 2 from b; end; select * from z",
        "a b z",
        "",
        "postgres",
    ),
    Case("\\restrict x\ncopy a (b) from stdin;\n1\tselect * from c;\n\\.\nselect * from d;", "d", "a", "postgres"),
)
NOT_UNDERSTOOD = (
    "do $$ begin delete from purchase; end $$",
    "call tidy_up()",
    "create function f() returns trigger as $$ begin delete from purchase; return new; end $$ language plpgsql",
    "selct * from purchase",
    "select 1\0; delete from purchase",
    "create function f() returns int language sql as 'selct'",
    "select * from",
    "select nextval(%s)",
    "select setval('a.' || %(name)s, 3)",
    "select query_to_xml(%s, true, false, '')",
    "select * from dblink('dbname=x', %s) as t (id int)",
)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("case", CASES, ids=[one.text[:50] for one in CASES])
def test_a_statement_reads_and_writes_these_tables(case: Case, dialect: Dialect) -> None:
    if case.only not in ("", dialect):
        return
    found = table_access(case.text, dialect)

    assert (sorted(map(str, found.reads)), sorted(map(str, found.writes))) == (case.reads.split(), case.writes.split())


@pytest.mark.parametrize("text", ["attach ? as f", "attach database :file as f", "ATTACH ?1 AS f", "attach $f as f"])
def test_a_file_that_a_parameter_names_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood, match="parameter"):
        table_access(text, "sqlite")


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_a_statement_that_cannot_be_analysed_raises(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NotUnderstood):
        table_access(text, "postgres")
    cache = StatementCache("postgres")
    for _ in range(2):
        with pytest.raises(NotUnderstood):
            cache.table_access(text)
    assert cache.parsed == 1
    assert caplog.messages == [], "the parser's warnings are suppressed"


def test_a_search_path_is_returned() -> None:
    for text in (
        "set search_path to finance, public",
        "SET LOCAL search_path = 'finance', public; select * from bill",
        "select set_config('search_path', 'finance, public', false)",
    ):
        assert table_access(text, "postgres").search_path == ("finance", "public")


def test_files_and_roles_are_returned() -> None:
    assert table_access("attach database 'finance.sqlite' as f", "sqlite").attached == {"finance.sqlite"}
    assert table_access("set role finance", "postgres").role == "finance"
    assert table_access("set session authorization 'finance'", "postgres").role == "finance"
    assert table_access("select set_config('role', 'finance', true)", "postgres").role == "finance"


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_statements_that_differ_in_values_only_are_parsed_once(dialect: Dialect) -> None:
    cache = StatementCache(dialect)
    for number in range(50):
        values = ", ".join(str(one) for one in range(number + 2))
        rows = ", ".join(["(1, 'a')"] * (number + 1))
        cache.table_access(f"SELECT  *\nFROM purchase WHERE id = '{number}' AND x IN ({values}) -- {number}")
        cache.table_access(f"insert into t1 values {rows} /* n='{number}' */")

    assert cache.parsed == 2


@pytest.mark.parametrize(
    ("first", "second", "dialect"),
    [
        ("select nextval('catalog.ids')", "select nextval('finance.ids')", "postgres"),
        ("select nextval('catalog.ids')", "select nextval('')", "postgres"),
        ("select nextval('catalog.ids'), ''", "select nextval(''), ''", "postgres"),
        ("select table_to_xml('a', 1)", "select table_to_xml('', 1)", "postgres"),
        ("set search_path to 'catalog'", "set search_path to 'finance'", "postgres"),
        ("set role catalog", "set role finance", "postgres"),
        ("select set_config('role', 'catalog', false)", "select set_config('role', 'finance', false)", "postgres"),
        ("select query_to_xml('select 1 from a')", "select query_to_xml('select 1 from b')", "postgres"),
        ("select table_to_xml('a', true, true, '')", "select table_to_xml('b', true, true, '')", "postgres"),
        ("explain select '--', id from a", "explain select '--', id from b", "postgres"),
        ("create function f() returns int language sql as $$ select id from a $$",
         "create function f() returns int language sql as $$ select id from b $$", "postgres"),
        ("create function f() returns int language sql as 'selct'",
         "create function f() returns int language sql as 'select 1 from b'", "postgres"),
        ("attach 'catalog.sqlite' as f", "attach 'finance.sqlite' as f", "sqlite"),
        ("select * from 'a'", "select * from 'b'", "sqlite"),
        ("select 1 /* /* */ from a */", "select 1 /* /* */ from b */, 'x' from c", "postgres"),
        ('select * from "a  b"', 'select * from "a b"', "postgres"),
        ("select * from t$1", "select * from t$2", "postgres"),
        ("select E'\\' from a --', 1 from b", "select E'\\' from c --', 1 from d", "postgres"),
        ("select 1; create function f() returns int language sql as 'select 1 from a'",
         "select 1; create function f() returns int language sql as 'select 1 from b'", "postgres"),
    ],
)  # fmt: skip
def test_a_literal_that_names_a_table_is_never_shared(first: str, second: str, dialect: Dialect) -> None:
    def access(cache: StatementCache, text: str) -> object:
        try:
            return cache.table_access(text)
        except NotUnderstood:
            return "not understood"

    cache = StatementCache(dialect)
    access(cache, first)

    assert access(cache, second) == access(StatementCache(dialect), second)


def test_the_cache_drops_the_least_recently_used_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "STATEMENTS_MAX", 3)
    cache = StatementCache("sqlite")
    for number in (*range(5), 4, 0):
        cache.table_access(f"select * from t{number}")

    assert cache.parsed == 6


@given(st.text(alphabet="abc' \"%?;--/*$1", max_size=40), st.sampled_from(["sqlite", "postgres"]))
def test_spacing_around_a_query_does_not_change_its_fingerprint(text: str, dialect: Dialect) -> None:
    query = f"select a, {text}"
    if fingerprint(query, dialect) != query:
        assert fingerprint(f"  {query}\n", dialect) == fingerprint(query, dialect)


@given(st.lists(st.sampled_from(["select 1", "select ';'", "insert into a values ('x;y')", 'select ";" from b'])))
def test_a_text_is_split_at_the_ends_of_statements_only(some: list[str]) -> None:
    for dialect in ("sqlite", "postgres"):
        assert [one.strip() for one in statements("; ".join(some), dialect)] == some
