"""What SQLite itself says that a statement accesses: its authorizer is asked, for statements of every shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import tiers

from preterite.checks.sql.statements import StatementCache, table_access

TABLES = ("a", "b", "c", "item")
SCHEMA = "".join(f"create table {one} (id integer primary key, x, y text);" for one in TABLES)
EXAMPLES = tiers.sample(150, 2_000)
DEPTH = 3
_READS, _WRITES = {sqlite3.SQLITE_READ}, {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_CHANGES = {sqlite3.SQLITE_ALTER_TABLE: 1, sqlite3.SQLITE_DROP_TABLE: 0, sqlite3.SQLITE_CREATE_TABLE: 0}
_INDEXES = {sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TRIGGER}
UNNAMED = {
    "references a (id)": ("a", ""),
    "references b": ("b", ""),
    "natural join b": ("b", ""),
    "select max(id) from c": ("c", ""),
    "select raise(abort, 'no') from c": ("c", ""),
    "begin delete from b": ("", "b"),
}
"""What SQLite does not name: references, bodies of triggers, tables of which no column is read."""


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)) as connection:
        connection.executescript(SCHEMA)
        yield connection


def authorized(database: sqlite3.Connection, text: str) -> tuple[set[str], set[str]] | None:
    """The tables that SQLite reads and writes for a statement that it prepares; None if it refuses it."""
    reads: set[str] = set()
    writes: set[str] = set()

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in _READS and first and second:
            reads.add(first)
        elif action in _WRITES and first:
            writes.add(first)
        elif action in _CHANGES:
            writes.add(str((first, second)[_CHANGES[action]]))
        elif action in _INDEXES:
            writes.add(str(second))
        return sqlite3.SQLITE_OK

    database.set_authorizer(authorize)
    try:
        database.execute(f"explain {text}")
    except sqlite3.ProgrammingError:
        pass  # It was prepared, and has parameters.
    except sqlite3.Error:
        return None
    finally:
        database.set_authorizer(None)
    return {one for one in reads if not _is_own(one)}, {one for one in writes if not _is_own(one)}


def _is_own(table: str) -> bool:
    return table.startswith(("sqlite_", "pragma_", "json_"))


def agree(database: sqlite3.Connection, text: str, *unnamed: str) -> None:
    """Compare; that what is written is read as well, SQLite says where a condition needs it."""
    expected = authorized(database, text)
    assert expected is not None, f"SQLite refuses {text}"
    for known, more in zip(expected, unnamed, strict=False):
        known.update(more.split())
    found = table_access(text, "sqlite")
    reads, writes = {one.table for one in found.reads}, {one.table for one in found.writes}
    assert (reads - writes, writes) == (expected[0] - expected[1], expected[1]), text


@pytest.mark.parametrize(
    "text",
    [
        "create table t (id integer primary key) without rowid",
        "create table t (id integer primary key, x text references a (id)) strict, without rowid",
        "create table t (id, x as (id + 1) stored, y generated always as (x) virtual) /* x */",
        "create table t as select * from a natural join b",
        "create table if not exists t (id integer primary key autoincrement, x blob collate nocase default (1 + 1)"
        " check (x <> '') unique on conflict ignore, foreign key (x) references b on delete set null deferrable)",
        "create unique index i on a (lower(y), x desc) where x is not null",
        "create trigger t after update of x on a when new.x > 1 begin delete from b where id = old.id; end",
        "create temp trigger t before insert on a begin select raise(abort, 'no') from c; end",
        "alter table a rename to z",
        "alter table a rename column x to z",
        "alter table a add column z references b (id)",
        "drop table if exists a",
        "insert into a default values",
        "insert or rollback into a values (1, 2, 3) returning id, x as z",
        "insert into a (x) select x from b where true on conflict (id) do update set x = (select max(id) from c)",
        "insert into a values (1, 2, 3) on conflict do nothing",
        "replace into a select * from b",
        "update or fail a set (x, y) = (select x, y from b where b.id = a.id) where id in (values (1), (2))",
        "update a set x = n.x from b as n join c using (id) where n.id = a.id returning *",
        "delete from a where (id, x) in (select id, x from b) returning y",
        "with item as (select 1 as id) insert into item select id, 2, 3 from item",
        "with recursive n (i) as (select 1 union all select i + 1 from n limit 9) select * from n, a where a.id = i",
        "with a as not materialized (select * from b) select * from a",
        "select * from a, b using (id)" if sqlite3.sqlite_version_info > (9,) else "select * from a join b using (id)",
        "select * from a left join (b cross join c) on a.id = b.id",
        "select * from (a join b on a.id = b.id) join c",
        "select * from [a] as 'q', `b`, \"c\" where q.x = 'from item'",
        "select sum(x) filter (where y > 1) over w, row_number() over (partition by y order by id rows between"
        " 1 preceding and unbounded following exclude ties) from a window w as (order by x)",
        "select exists (select id from b), x -> '$.y', x ->> 'z', x'00ff', 0x1f, .5, 1e3 from a",
        "select * from a where y glob 'x*' and y not like '%a' escape 'b' and x is not distinct from 3 and y match 'z'",
        "select * from json_each('[1]') as j join a on a.id = j.value",
        "select * from pragma_table_info('a')",
        "select * from a not indexed where x between 1 and 2 or x isnull or y notnull",
        "values (1, (select max(x) from a)), (2, 3)",
        "select * from a union all select * from b except select * from c order by 1 limit 3 offset 1",
        "select case x when 1 then (select y from b) else cast(y as integer) end from a group by 1 having count(*) > 1",
        "select iif(x, y, 1), group_concat(distinct y) from a where id = ?1 or id = :a or id = @b or id = $c",
        "select a.*, main.b.id from main.a, main.b",
        "analyze a",
        "reindex a",
    ],
)
def test_statements_of_every_kind(text: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)) as database:
        database.executescript(SCHEMA)
        if text.startswith(("analyze", "reindex")):
            assert {one.table for one in table_access(text, "sqlite").writes} == {"a"}
            return
        agree(database, text, *next((more for part, more in UNNAMED.items() if part in text), ("", "")))


names = st.sampled_from(TABLES)


@st.composite
def sources(draw: st.DrawFn, depth: int, seen: tuple[str, ...], place: int = 0) -> tuple[str, list[str]]:
    """What stands in FROM, and the aliases whose columns can be read."""
    kind = draw(st.integers(0, 4 if depth else 2))
    alias = draw(st.sampled_from([f"q{place}", f'"from {place}"', f"[a {place}]"]))
    if kind <= 2:
        name = draw(st.sampled_from((*TABLES, *seen)))
        known = f"main.{name}" if name in TABLES and draw(st.booleans()) else name
        return f"{known} as {alias}", [alias]
    if kind == 3:
        return f"({draw(queries(depth - 1, seen))}) as {alias}", [alias]
    first, some = draw(sources(depth - 1, seen, place * 2 + 1))
    second, others = draw(sources(depth - 1, seen, place * 2 + 2))
    joined = draw(st.sampled_from([",", "join", "left join", "cross join"]))
    return f"{first} {joined} {second}", [*some, *others]


@st.composite
def conditions(draw: st.DrawFn, depth: int, seen: tuple[str, ...]) -> str:
    if not depth:
        return draw(st.sampled_from(["1", "'from b' <> ''", "exists (values (1))", "?1 is null", ":x = 2"]))
    inner = draw(queries(depth - 1, seen))
    shapes = [f"exists ({inner})", f"1 in ({inner})", f"not (1 = (select max(id) from ({inner})))"]
    return draw(st.sampled_from(shapes))


@st.composite
def queries(draw: st.DrawFn, depth: int = DEPTH, seen: tuple[str, ...] = ()) -> str:
    """A query, perhaps with common table expressions that are called like tables; it reads a column of everything."""
    head, used = "", list[str]()
    if depth and draw(st.booleans()):
        one, other = draw(st.lists(st.sampled_from(("a", "item", "n", "m")), min_size=2, max_size=2, unique=True))
        first = draw(queries(depth - 1, seen))
        second = draw(queries(depth - 1, (*seen, one)))
        head, seen = f"with {one} as ({first}), {other} (id) as ({second}) ", (*seen, one, other)
        used = [f"{one} as one", f"{other} as other"]
    source, aliases = draw(sources(depth, seen))
    aliases += ["one", "other"] if used else []
    columns = " + ".join(f"{one}.id" for one in aliases)
    body = f"select {columns} as id from {', '.join([*used, source])}"
    return f"{head}{body} where {draw(conditions(max(depth - 1, 0), seen))}"


@st.composite
def changes(draw: st.DrawFn) -> str:
    """A query, or a statement that changes a table."""
    query, table = draw(queries()), draw(names)
    return draw(
        st.sampled_from(
            [
                query,
                f"insert into {table} (x) {query}",
                f"insert or replace into {table} (x) select * from ({query}) returning id",
                f"insert into {table} (x) select id from ({query}) where true on conflict (id) do update set x = 1",
                f"update {table} set x = (select max(id) from ({query})) where id = ?1",
                f"update {table} set x = z.id from ({query}) as z",
                f"delete from {table} where id in (select * from ({query}))",
                f"create table t as {query}",
                f"create index i on {table} (x)",
                f"explain query plan {query}",
            ]
        )
    )


@given(text=changes())
@settings(max_examples=EXAMPLES)
def test_statements_access_what_sqlite_says(database: sqlite3.Connection, text: str) -> None:
    assume(not text.startswith("explain") and authorized(database, text) is not None)
    agree(database, text)


@given(text=changes(), values=st.lists(st.integers(0, 9), min_size=1, max_size=3))
@settings(max_examples=EXAMPLES)
def test_what_is_cached_is_what_a_statement_accesses_alone(text: str, values: list[int]) -> None:
    cached = StatementCache("sqlite")
    for value in values:
        other = text.replace("1", str(value))

        assert cached.table_access(other) == table_access(other, "sqlite")
