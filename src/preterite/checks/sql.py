"""Which tables a statement reads and writes: each shape is parsed once, and what is not understood is said.

Names of common table expressions are subtracted where they are visible; functions in FROM are no tables; cursors, COPY,
LOCK, TRUNCATE, views and triggers are looked into. A statement that the parser only passes through is `Unread`, never
"touches nothing".
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

SHAPES_MAX = 20_000
"""How many shapes are remembered, of the statements seen last."""
Dialect = Literal["sqlite", "postgres"]

_CONTROL = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|set\s+(?!(?:session\s+|local\s+)?search_path)|reset|show|pragma|"
    r"vacuum|analyze|listen|unlisten|notify|checkpoint|discard|deallocate|close|fetch|move|attach|detach|reindex|"
    r"prepare\s+transaction)\b",
    re.IGNORECASE,
)
_CURSOR = re.compile(r"\s*declare\s+.*?\bcursor\b.*?\bfor\s+(?=select|with|values)", re.IGNORECASE | re.DOTALL)
_LOCK = re.compile(
    r"\s*lock\s+(?:table\s+)?(?:only\s+)?(?P<names>.+?)(?:\s+in\s+.*mode.*)?;?\s*$", re.IGNORECASE | re.DOTALL
)
_COPY = re.compile(r"\s*copy\s+(?P<name>[^\s(]+)\s*(?:\([^)]*\)\s*)?(?P<way>from|to)\b", re.IGNORECASE)
_TRIGGER = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp\s+|temporary\s+|constraint\s+)?trigger\s+(?:if\s+not\s+exists\s+)?\S+\s.*?"
    r"\bon\s+(?P<table>[\w.\"]+)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_CREATES_TRIGGER = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp\s+|temporary\s+|constraint\s+)?trigger", re.IGNORECASE
)
_BODY = re.compile(r"\bbegin\b(?P<body>.*)\bend\b\s*;?\s*$", re.IGNORECASE | re.DOTALL)
_TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<name>"(?:[^"]|"")*")|(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<bound>%\(\w+\)[sbt]|%[sbt]|\$\d+|:\w+|\?)|(?P<space>\s+)""",
    re.DOTALL | re.VERBOSE,
)
_PREFIX = re.compile(
    r"\s*(explain\s+(?:query\s+plan\s+|analyze\s+|verbose\s+|\([^)]*\)\s*)*|prepare\s+\w+\s*(?:\([^)]*\)\s*)?as\s+)(?=\w)",
    re.IGNORECASE,
)
_PATH = re.compile(
    r"\s*set\s+(?:session\s+|local\s+)?search_path\s*(?:=|\bto\b)(?P<names>.*)", re.IGNORECASE | re.DOTALL
)
_REFRESH = re.compile(r"\s*refresh\s+materialized\s+view\s+(?:concurrently\s+)?(?P<name>[^\s;]+)", re.IGNORECASE)
_FUNCTION = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:function|procedure)\b.*?(?:\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$|'(?P<quoted>(?:[^']|'')*)')",
    re.IGNORECASE | re.DOTALL,
)
_SEQUENCES = ("nextval", "currval", "setval")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")


class Unread(Exception):
    """A statement that is not understood: nothing may be concluded from it."""


class Name(NamedTuple):
    """A table as a statement names it, folded as its database folds it."""

    table: str
    schema: str | None = None

    def __str__(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Touched:
    """What a text of one or several statements reads and writes, and the search path that it sets."""

    reads: frozenset[Name] = frozenset()
    writes: frozenset[Name] = frozenset()
    search_path: tuple[str, ...] | None = None

    def __or__(self, other: Touched) -> Touched:
        return Touched(self.reads | other.reads, self.writes | other.writes, other.search_path or self.search_path)


class Shapes:
    """Statements by their shape: each is parsed once."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect: Dialect = dialect
        self.parsed = 0
        """How many shapes were parsed so far."""
        self._known: OrderedDict[str, Touched | Unread] = OrderedDict()

    def touched(self, text: str) -> Touched:
        """What a text touches; raises `Unread` where that is not known."""
        shape = fingerprint(text)
        found = self._known.get(shape)
        if found is None:
            self.parsed += 1
            try:
                found = touched(text, self.dialect)
            except Unread as error:
                found = error
            self._known[shape] = found
            if len(self._known) > SHAPES_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(shape)
        if isinstance(found, Unread):
            raise found
        return found


def fingerprint(text: str) -> str:
    """The statement without literals, comments and spacing: the same for all that differ in values alone."""

    def one(found: re.Match[str]) -> str:
        if found["name"] is not None:
            return found["name"]
        return " " if found["comment"] is not None or found["space"] is not None else "?"

    shape = " ".join(_TOKENS.sub(one, text).split())
    return _LISTS.sub("(?)", shape)


def touched(text: str, dialect: Dialect) -> Touched:
    """What all statements of a text touch; raises `Unread`."""
    found = Touched()
    for statement in statements(text):
        found |= _touched_by_one(statement, dialect)
    return found


def statements(text: str) -> Iterator[str]:
    """The single statements of a text; a trigger's body stays together."""
    start, depth = 0, 0
    for token in re.finditer(
        r"'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|;|\b\w+\b", text, re.DOTALL
    ):
        word = token[0].casefold()
        if word == "trigger" and _CREATES_TRIGGER.fullmatch(without_comments(text[start : token.end()])):
            head = text[token.end() :].partition(";")[0]
            depth = max(depth, 1) if re.search(r"\bbegin\b", head, re.IGNORECASE) else depth
        elif depth and word in ("begin", "case"):
            depth += 1
        elif depth and word == "end":
            depth -= 1
            depth = 0 if depth == 1 else depth
        elif word == ";" and not depth:
            if text[start : token.start()].strip():
                yield text[start : token.start()]
            start = token.end()
    if without_comments(text[start:]).strip():
        yield text[start:]


def without_comments(text: str) -> str:
    """The text as the database reads it."""
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)


def _touched_by_one(text: str, dialect: Dialect) -> Touched:
    bare = without_comments(text).strip()
    if not bare or _CONTROL.match(bare):
        return Touched()
    if found := _CURSOR.match(bare):
        return _touched_by_one(bare[found.end() :], dialect)
    if found := _COPY.match(bare):
        name = frozenset([_named(found["name"], dialect)])
        return Touched(writes=name) if found["way"].casefold() == "from" else Touched(reads=name)
    if re.match(r"lock\b", bare, re.IGNORECASE) and (found := _LOCK.match(bare)):
        return Touched(writes=frozenset(_named(name, dialect) for name in found["names"].split(",")))
    if found := _TRIGGER.match(bare):
        return _by_trigger(found, dialect)
    if found := _PREFIX.match(bare):
        return _touched_by_one(bare[found.end() :], dialect)
    if found := _PATH.match(bare):
        return Touched(search_path=_search_path(found["names"]))
    if found := _REFRESH.match(bare):
        return Touched(writes=frozenset([_named(found["name"], dialect)]))
    if found := _FUNCTION.match(bare):
        return _by_function(found, bare, dialect)
    return _parsed(re.sub(r"^\s*replace\s+into\b", "INSERT OR REPLACE INTO", text, flags=re.IGNORECASE), dialect)


def _parsed(text: str, dialect: Dialect) -> Touched:
    try:
        with _without_warnings():
            parsed = sqlglot.parse_one(_placeholders(text), read=dialect)
    except (SqlglotError, RecursionError) as error:
        raise Unread(f"the parser does not understand it: {str(error).splitlines()[0]}") from error
    if isinstance(parsed, exp.Command):
        raise Unread(f"the parser passes {parsed.name.upper()} through without looking into it")
    if isinstance(parsed, exp.Grant):
        return Touched(writes=frozenset(_of(one, dialect) for one in parsed.find_all(exp.Table)))
    return _by_tree(parsed, dialect)


def _is_no_fallback(record: logging.LogRecord) -> bool:
    return "Falling back" not in record.getMessage()


@contextmanager
def _without_warnings() -> Generator[None]:
    """The parser warns where it passes a statement through; here that is an answer of its own."""
    logger = logging.getLogger("sqlglot")
    logger.addFilter(_is_no_fallback)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_fallback)


def _placeholders(text: str) -> str:
    """Parameters of every driver as one that every dialect knows; the modulo of psycopg's doubled sign stays."""
    return re.sub(r"%\(\w+\)[sbt]|%[sbt](?!\w)", "NULL", text)


def _search_path(names: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("'\"") for part in names.rstrip(";").split(",") if part.strip())


def _by_function(found: re.Match[str], text: str, dialect: Dialect) -> Touched:
    """A function in SQL does what its body says; other languages are not read."""
    if re.search(r"\blanguage\s+'?sql\b", text, re.IGNORECASE) is None:
        raise Unread("a function in another language than SQL")
    body = found["body"] if found["body"] is not None else found["quoted"].replace("''", "'")
    return touched(body, dialect)


def _by_trigger(found: re.Match[str], dialect: Dialect) -> Touched:
    """A trigger changes its own table, and does whatever its body says; a function's body is somewhere else."""
    result = Touched(writes=frozenset([_named(found["table"], dialect)]))
    body = _BODY.search(found["rest"])
    if body is None:
        return result
    for statement in statements(body["body"]):
        result |= _touched_by_one(statement, dialect)
    return result


def _by_tree(tree: exp.Expr, dialect: Dialect) -> Touched:
    targets = {id(one) for one in _targets(tree)}
    writes: set[Name] = set()
    reads: set[Name] = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or _is_expression(table):
            continue
        (writes if id(table) in targets else reads).add(_of(table, dialect))
    for function in tree.find_all(exp.Anonymous):
        if function.name.casefold() in _SEQUENCES and function.expressions and function.expressions[0].is_string:
            reads.add(_named(function.expressions[0].name, dialect))
    return Touched(frozenset(reads), frozenset(writes))


def _targets(tree: exp.Expr) -> Iterator[exp.Table]:
    """The tables that statements write or change."""
    kinds = (
        exp.Insert,
        exp.Update,
        exp.Delete,
        exp.Merge,
        exp.Create,
        exp.Drop,
        exp.Alter,
        exp.TruncateTable,
        exp.Into,
    )
    for one in tree.find_all(*kinds):
        places: list[Any] = [one.this]
        if isinstance(one, exp.TruncateTable | exp.Drop):
            places = [one.this, *one.expressions, *one.args.get("tables", ())]
        if isinstance(one, exp.Create) and isinstance(one.this, exp.Index):
            places = [one.this.args.get("table")]
        for place in places:
            target = place.this if isinstance(place, exp.Schema) else place
            if isinstance(target, exp.Table):
                yield target


def _is_expression(table: exp.Table) -> bool:
    """Whether it is the name of a common table expression that is visible here."""
    if table.db:
        return False
    inner: exp.Expr = table
    outer = table.parent
    while outer is not None:
        ctes = outer.args.get("with_") or outer.args.get("with")
        if isinstance(ctes, exp.With) and ctes is not inner and _visible(ctes, inner, table.name):
            return True
        if isinstance(outer, exp.With) and _visible(outer, inner, table.name):
            return True
        inner, outer = outer, outer.parent
    return False


def _visible(ctes: exp.With, inside: exp.Expr, name: str) -> bool:
    """Whether one of them is called so and stands before the place that asks; a recursive one sees itself."""
    for cte in ctes.expressions:
        if cte is inside:
            return bool(ctes.args.get("recursive")) and cte.alias.casefold() == name.casefold()
        if cte.alias.casefold() == name.casefold():
            return True
    return False


def _of(table: exp.Table, dialect: Dialect) -> Name:
    schema = table.args.get("db")
    known = None if schema is None else _folded(schema, dialect)
    return Name(_folded(table.this, dialect), None if dialect == "sqlite" and known == "main" else known)


def _folded(identifier: exp.Identifier, dialect: Dialect) -> str:
    text = identifier.name
    return text if identifier.args.get("quoted") and dialect == "postgres" else text.casefold()


def _named(text: str, dialect: Dialect) -> Name:
    """A name that stands alone, as after COPY."""
    parts: list[str] = re.findall(r'"[^"]*"|[^."\s]+', text.strip())
    exact = dialect == "postgres"
    folded = [part.strip('"') if exact and part.startswith('"') else part.strip('"').casefold() for part in parts]
    return Name(folded[-1], folded[-2] if len(folded) > 1 else None)
