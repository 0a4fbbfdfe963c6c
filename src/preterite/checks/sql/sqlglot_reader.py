"""Statements of SQLite, and those in no grammar of PostgreSQL, as sqlglot reads them.

Names of common table expressions are subtracted where they are visible; functions in FROM, aliases, indexes and types
are not tables.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlglot
from sqlglot import exp

from preterite.checks.sql.lexing import statements, with_values, without_comments, words
from preterite.checks.sql.tables import Dialect, NotUnderstood, Statement, TableAccess, TableName, name_in_text

NESTED_MAX = 150
"""Open parentheses in which a statement is still parsed: the parser recurses."""
_CONTROL = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|pragma|vacuum|detach|set|reset|show)\b",
    re.IGNORECASE,
)
_ATTACH = re.compile(r"\s*attach\s+(?:database\s+)?(?P<file>'(?:[^']|'')*'|\"[^\"]*\"|\S+)\s+as\b", re.IGNORECASE)
_PARAMETER_SIGNS = "?:@$%"
_VIRTUAL_TABLE = re.compile(
    r"\s*create\s+virtual\s+table\s+(?:if\s+not\s+exists\s+)?(?P<name>(?:\"[^\"]*\"|[\w.])+)\s+using\s+\w+(?P<options>.*)",
    re.IGNORECASE | re.DOTALL,
)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?P<name>'[^']+'|\"[^\"]+\"|\w+)", re.IGNORECASE)
"""The table whose rows a full-text index of SQLite reads."""
_WHOLE_TABLE = re.compile(r"\s*(?:reindex|analyze)(?:\s+(?P<name>[\w.\"]+))?\s*;?\s*$", re.IGNORECASE)
_TRIGGER = re.compile(
    r"\s*create\s+(?:temp\s+|temporary\s+)?trigger\s+(?:if\s+not\s+exists\s+)?(?P<trigger>\S+)\s.*?"
    r"\bon\s+(?P<table>[\w.\"]+)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_BODY = re.compile(r"\bbegin\b(?P<body>.*)\bend\b\s*;?\s*$", re.IGNORECASE | re.DOTALL)
_EXPLAIN = re.compile(r"\s*explain\s+(?:query\s+plan\s+)?(?=\w)", re.IGNORECASE)
_REWRITTEN = (
    (re.compile(r"^\s*replace\s+into\b", re.IGNORECASE), "INSERT OR REPLACE INTO"),
    (re.compile(r"^\s*update\s+or\s+\w+\b", re.IGNORECASE), "UPDATE"),
)
"""What SQLite accepts and sqlglot does not, and what means the same."""
_CREATE_TABLE = re.compile(
    r"\s*create\s+(?:temp\s+|temporary\s+)?table\s+(?:if\s+not\s+exists\s+)?(?P<name>(?:\"[^\"]*\"|[\w.])+)\s*\(",
    re.IGNORECASE,
)
_WRITING = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Drop,
    exp.Alter,
    exp.TruncateTable,
    exp.Into,
    exp.Comment,
)
_STATEMENTS = (exp.Query, exp.Values, *_WRITING)
"""What the parser makes of statements; anything else is a text that only looks like an expression."""
_DROPPED = ("TABLE", "VIEW")
_DECLARED: Mapping[str, Any] = {"TABLE": "table", "VIEW": "view"}
_OTHER_NAMES = (exp.Lock, exp.Opclass, exp.AlterRename)
"""What contains names that are written like tables and are aliases, types, or new names."""


def read(text: str, dialect: Dialect) -> Statement | NotUnderstood:
    """What one statement accesses and declares, or why that is unknown."""
    try:
        return _statement(without_comments(text, dialect).strip(), dialect)
    except NotUnderstood as error:
        return error
    except Exception as error:  # A parser that fails has not analysed the statement.
        reason = (str(error).splitlines() or [""])[0]
        return NotUnderstood(f"the parser cannot read it: {reason or type(error).__name__}")


def _statement(text: str, dialect: Dialect) -> Statement:
    if found := _ATTACH.match(text):
        if found["file"][0] in _PARAMETER_SIGNS:
            raise NotUnderstood("a parameter decides which file it attaches")
        file = found["file"].strip("'\"").replace("''", "'")
        return Statement(TableAccess(attached=frozenset([file]), depends_on_literals=True))
    if not text or _CONTROL.match(text):
        return Statement(TableAccess())
    if found := _WHOLE_TABLE.match(text):
        named = [name_in_text(found["name"], dialect)] if found["name"] else []
        return Statement(TableAccess(writes=frozenset(_local(one, dialect) for one in named)))
    if found := _TRIGGER.match(text):
        return Statement(_trigger(found, dialect), "trigger", found["trigger"])
    if found := _VIRTUAL_TABLE.match(text):
        return _virtual(found, dialect)
    if found := _EXPLAIN.match(text):
        return Statement(_statement(text[found.end() :], dialect).access)
    for pattern, same in _REWRITTEN:
        text = pattern.sub(same, text)
    return _parsed(text, dialect)


def _parsed(text: str, dialect: Dialect) -> Statement:
    if _nesting(text, dialect) > NESTED_MAX:
        raise NotUnderstood(f"it is nested more than {NESTED_MAX} deep")
    try:
        with _without_warnings():
            tree = sqlglot.parse_one(with_values(text, dialect), read=dialect)
        if not isinstance(tree, _STATEMENTS):
            raise NotUnderstood("the parser does not analyse it")
    except Exception:
        if (found := _CREATE_TABLE.match(text)) is not None:
            return _created(found, text, dialect)
        raise
    return _of_tree(tree, text, dialect)


def _nesting(text: str, dialect: Dialect) -> int:
    """How deep parentheses are nested, outside of literals."""
    deepest = depth = 0
    for found in words(text, dialect):
        depth += (found in ("(", "case")) - (found in (")", "end"))
        deepest = max(deepest, depth)
    return deepest


def _is_silent(record: logging.LogRecord) -> bool:
    return False


@contextmanager
def _without_warnings() -> Generator[None]:
    """Suppress the parser's warnings: what it does not analyse raises `NotUnderstood`."""
    logger = logging.getLogger("sqlglot")
    logger.addFilter(_is_silent)
    try:
        yield
    finally:
        logger.removeFilter(_is_silent)


def _created(found: re.Match[str], text: str, dialect: Dialect) -> Statement:
    """A table whose columns the parser cannot read: its name, and the tables that it references."""
    table, targets, before = _local(name_in_text(found["name"], dialect), dialect), list[TableName](), ""
    for word in words(text[found.end() :], dialect):
        if before == "references":
            targets.append(_local(name_in_text(word, dialect), dialect))
        before = word
    access = TableAccess(frozenset(targets), frozenset([table]))
    return Statement(access, "table", str(table), tuple((table, one) for one in targets))


def _virtual(found: re.Match[str], dialect: Dialect) -> Statement:
    """A virtual table, and the table whose rows it indexes."""
    table, content = _local(name_in_text(found["name"], dialect), dialect), _CONTENT.search(found["options"])
    read = [] if content is None else [_local(name_in_text(content["name"].strip("'\""), dialect), dialect)]
    access = TableAccess(frozenset(one for one in read if one.table), frozenset([table]))
    return Statement(access, "table", str(table))


def _trigger(found: re.Match[str], dialect: Dialect) -> TableAccess:
    """A trigger accesses its table and what its body accesses."""
    result = TableAccess(writes=frozenset([_local(name_in_text(found["table"], dialect), dialect)]))
    body = _BODY.search(found["rest"])
    for statement in statements(body["body"], dialect) if body is not None else ():
        result |= _statement(statement.strip(), dialect).access
    return result


def _of_tree(tree: exp.Expr, text: str, dialect: Dialect) -> Statement:
    targets = {id(one) for one in _targets(tree)}
    writes: set[TableName] = set()
    reads: set[TableName] = set()
    by_literal = False
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or _is_other_name(table):
            continue
        if id(table) not in targets and _is_cte(table, dialect):
            continue
        (writes if id(table) in targets else reads).add(_name(table, dialect))
        by_literal = by_literal or f"'{table.name}'" in text
    access = TableAccess(frozenset(reads), frozenset(writes), depends_on_literals=by_literal)
    kind = str(tree.args.get("kind") or "").upper() if isinstance(tree, exp.Create) else ""
    made = next(iter(sorted(map(str, writes))), "")
    references = tuple((one, target) for one in writes for target in _referenced(tree, dialect))
    return Statement(access, _DECLARED.get(kind, ""), made, references)


def _referenced(tree: exp.Expr, dialect: Dialect) -> Iterator[TableName]:
    for reference in tree.find_all(exp.Reference):
        for table in reference.find_all(exp.Table):
            yield _name(table, dialect)


def _is_other_name(table: exp.Table) -> bool:
    """Whether a name is that of an alias, an index, a type, or the new name of a table."""
    above = table.parent
    if isinstance(above, exp.Drop):
        return str(above.args.get("kind") or "").upper() not in _DROPPED
    return isinstance(above, _OTHER_NAMES) or table.arg_key == "indexed"


def _targets(tree: exp.Expr) -> Iterator[exp.Table]:
    """The tables that statements write or change."""
    for one in tree.find_all(*_WRITING):
        places: list[Any] = [one.this]
        if isinstance(one, exp.TruncateTable | exp.Drop):
            places = [one.this, *one.expressions, *one.args.get("tables", ())]
        if isinstance(one, exp.Create) and isinstance(one.this, exp.Index):
            places = [one.this.args.get("table")]
        for place in places:
            target = place.this if isinstance(place, exp.Schema) else place
            if isinstance(target, exp.Table):
                yield target


def _is_cte(table: exp.Table, dialect: Dialect) -> bool:
    """Whether the name is that of a common table expression that is visible here."""
    if table.db:
        return False
    inner: exp.Expr = table
    outer = table.parent
    while outer is not None:
        ctes = outer.args.get("with_") or outer.args.get("with")
        if isinstance(ctes, exp.With) and ctes is not inner and _visible(ctes, inner, table.name, dialect):
            return True
        if isinstance(outer, exp.With) and _visible(outer, inner, table.name, dialect):
            return True
        inner, outer = outer, outer.parent
    return False


def _visible(ctes: exp.With, inside: exp.Expr, name: str, dialect: Dialect) -> bool:
    """Whether an expression has this name and is visible inside another of them, or in what follows them.

    In PostgreSQL it must stand before, or all must be recursive. In SQLite all see each other, and one that combines
    queries sees itself.
    """
    is_recursive = bool(ctes.args.get("recursive"))
    is_before = True
    for cte in ctes.expressions:
        is_before = is_before and cte is not inside
        if cte.alias.casefold() == name.casefold():
            if cte is inside:
                return is_recursive or (dialect == "sqlite" and isinstance(cte.this, exp.SetOperation))
            return is_before or is_recursive or dialect == "sqlite"
    return False


def _name(table: exp.Table, dialect: Dialect) -> TableName:
    schema = table.args.get("db")
    return _local(TableName(_folded(table.this, dialect), schema and _folded(schema, dialect)), dialect)


def _local(name: TableName, dialect: Dialect) -> TableName:
    """Without the name that SQLite gives to its own file."""
    return TableName(name.table) if dialect == "sqlite" and name.schema == "main" else name


def _folded(identifier: exp.Identifier, dialect: Dialect) -> str:
    text = identifier.name
    return text if identifier.args.get("quoted") and dialect == "postgres" else text.casefold()
