"""The statements of PostgreSQL's regression tests: none raises, and queries and DML access what PostgreSQL says."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiers
from support.sql_statements import STATEMENTS, corpus, damaged

from preterite.checks.sql.statements import StatementCache, table_access
from preterite.checks.sql.tables import Dialect, NotUnderstood, TableAccess

UNREAD_MAX, WRONG_MAX = 0.005, 0.001
"""Shares of queries and DML."""
EXAMPLES = tiers.sample(60, 1_500)
_BY_TEXT = re.compile(r"nextval|currval|setval|pg_get_serial_sequence|_to_xml|ts_stat", re.IGNORECASE)


def access(text: str, dialect: Dialect, cached: StatementCache | None = None) -> TableAccess | None:
    """What a text accesses; None if it is not understood. Everything else raises."""
    try:
        return table_access(text, dialect) if cached is None else cached.table_access(text)
    except NotUnderstood:
        return None


def test_queries_and_dml_access_what_the_grammar_of_postgresql_says() -> None:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    statements = [one for one in corpus() if one[1] is not None and not _BY_TEXT.search(one[0])]
    for text, expected in Random(1).sample(statements, tiers.sample(1_000, len(statements))):
        found = access(text, "postgres")
        counts["all"] += 1
        counts["unread"] += found is None
        if found is not None and [sorted(map(str, found.reads)), sorted(map(str, found.writes))] != expected:
            wrong.append(text)

    assert counts["unread"] <= UNREAD_MAX * counts["all"], counts
    assert len(wrong) <= WRONG_MAX * counts["all"], wrong


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_no_statement_raises(dialect: Dialect) -> None:
    for text, _ in Random(2).sample(corpus(), tiers.sample(500, len(corpus()))):
        access(text, dialect)


@given(damaged(), st.sampled_from(["postgres", "sqlite"]))
@settings(max_examples=EXAMPLES)
def test_no_damaged_statement_raises(text: str, dialect: Dialect) -> None:
    access(text, dialect)
    access(text, dialect, StatementCache(dialect))


@given(st.data(), st.sampled_from(["postgres", "sqlite"]))
@settings(max_examples=EXAMPLES)
def test_what_is_cached_is_what_the_statement_accesses_alone(data: st.DataObject, dialect: Dialect) -> None:
    """Statements that differ in literals, numbers and comments, also damaged ones, and share a cache."""
    text = data.draw(st.one_of(damaged(), STATEMENTS))
    literal = re.compile(r"'(\w+)'|\b\d+\b|--[^\n]*")
    values = st.sampled_from(["'a'", "'b.c'", "7", "'select 1 from d'", "$$x$$", "-- 'e'", "/* ' */ 'x'"])
    cached = StatementCache(dialect)
    for _ in range(4):
        other = literal.sub(lambda _: data.draw(values), text, count=3)

        assert access(other, dialect, cached) == access(other, dialect)


@pytest.mark.parametrize(
    ("dialect", "first", "second"),
    [
        ("postgres", "select * from t 'a'", "select * from t 7"),
        ("postgres", "select * from t where a = 'b' 'c'", "select * from t where a = 'b' 7"),
        ("sqlite", "select lect f1 from 'a'", "select lect f1 from 7"),
        ("sqlite", "select lect f1 from 7", "select lect f1 from 99999999999"),
        ("sqlite", 'select * from "(1,1)"', 'select * from "(1)"'),
    ],
)
def test_values_of_different_kinds_do_not_share_what_is_cached(dialect: Dialect, first: str, second: str) -> None:
    """Where one of them may be a name."""
    for one, other in ((first, second), (second, first)):
        cached = StatementCache(dialect)
        access(one, dialect, cached)

        assert access(other, dialect, cached) == access(other, dialect)


@pytest.mark.parametrize(
    "shape",
    ["select {}1{}|(|)", "select {}1|1+", "select * from {}a{}|(select * from |) x", "select {}1|not ",
     "select {}1{}|case when 1 then | end", "select 1 {}|union select 2 ", "select f{}|(f", "with {}|a as (",
     "select a {}|::int ", "{}|explain ", "select {}1|a -> ", "{}|("],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_no_depth_raises_or_ends_the_process(shape: str, dialect: Dialect) -> None:
    pattern, *repeated = shape.split("|")
    for depth in (150, tiers.sample(1_000, 100_000)):
        access(pattern.format(*(one * depth for one in repeated)), dialect)
