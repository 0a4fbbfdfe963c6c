"""Statements of SQL: those of PostgreSQL's regression tests, and damaged ones."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

_ODD = (
    *("'", '"', "$$", "$a$", "--", "/*", "*/", "(", ")", ";", "\\", "\0", "\ud800", "%s", "?1", ":a", "<#>"),
    *(
        "%(a)s",
        "?",
        "E'",
        "::",
        "[",
        "]",
        "é",
        "from",
        "select",
        "with a as (",
        "begin",
        "end",
        "create trigger",
        "atomic",
    ),
)


@cache
def corpus() -> list[tuple[str, list[list[str]] | None]]:
    packed = (Path(__file__).parents[1] / "checks/statements/postgresql.jsonl.gz").read_bytes()
    return [tuple(json.loads(line)) for line in gzip.decompress(packed).decode().split("\n")]


STATEMENTS = st.integers(0, 20_000).map(lambda number: corpus()[number][0])


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A statement that is cut, doubled, mixed with another, and sprinkled with what confuses readers of SQL."""
    text = draw(STATEMENTS)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        between = draw(st.one_of(st.sampled_from(_ODD), st.just(text[start:end] * 2), st.text(max_size=4)))
        text = text[:start] + between + text[end:]
    return text
