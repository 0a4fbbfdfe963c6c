"""Which tables statements read and write: each dialect by its own reader.

PostgreSQL's statements are read in its own grammar, and in sqlglot's where that refuses them; SQLite's in sqlglot's.
A statement that cannot be analysed raises `NotUnderstood`, whatever text it is; it never counts as one that accesses
no table.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from preterite.checks.sql import postgres_reader, sqlglot_reader
from preterite.checks.sql.lexing import fingerprint, statements, without_psql
from preterite.checks.sql.tables import Dialect, NotAccepted, NotUnderstood, Statement, TableAccess

STATEMENTS_MAX = 20_000
"""How many statements are cached; the least recently used are dropped."""
TEXT_MAX = 1_000_000
"""Characters of a statement that is analysed; longer ones are not understood."""
_BY_TEXT = NotUnderstood("statements of this shape are cached by their text")

_TEXT = "\0"
"""What begins the key of a text, so that it is no shape: a statement may be its own shape."""


class StatementCache:
    """Statements by their fingerprint, so that each is parsed once; by their text, if a literal names a table."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect: Dialect = dialect
        self.parsed = 0
        """How many statements have been parsed."""
        self._known: OrderedDict[str, TableAccess | NotUnderstood] = OrderedDict()

    def table_access(self, text: str) -> TableAccess:
        """The tables that SQL text accesses; raises `NotUnderstood` if they are unknown."""
        shape = fingerprint(text, self.dialect)
        found = self._get(shape)
        if found is _BY_TEXT:
            found = self._get(_TEXT + text)
        if found is None:
            found = self._parse(text)
            if isinstance(found, TableAccess) and found.depends_on_literals:
                self._keep(shape, _BY_TEXT)
                self._keep(_TEXT + text, found)
            else:
                self._keep(shape, found)
        if isinstance(found, NotUnderstood):
            raise found
        return found

    def _parse(self, text: str) -> TableAccess | NotUnderstood:
        self.parsed += 1
        try:
            return table_access(text, self.dialect)
        except NotUnderstood as error:
            return error

    def _get(self, key: str) -> TableAccess | NotUnderstood | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def _keep(self, key: str, found: TableAccess | NotUnderstood) -> None:
        self._known[key] = found
        if len(self._known) > STATEMENTS_MAX:
            self._known.popitem(last=False)


def table_access(text: str, dialect: Dialect) -> TableAccess:
    """The tables that all statements of a text access; raises `NotUnderstood` and nothing else."""
    found = TableAccess()
    for _, statement in analysed(text, dialect):
        if isinstance(statement, NotUnderstood):
            raise statement
        found |= statement.access
    return found


def analysed(text: str, dialect: Dialect) -> Iterator[tuple[str, Statement | NotUnderstood]]:
    """Each statement of a text with what it accesses and declares, or why that is unknown."""
    if len(text) > TEXT_MAX:
        yield text[:100], NotUnderstood(f"it is longer than {TEXT_MAX:,} characters")
        return
    try:
        yield from _read(text, dialect)
    except NotUnderstood as error:
        yield text, error
    except Exception as error:  # A parser that fails has not analysed the statement.
        yield text, NotUnderstood(f"the parser fails: {type(error).__name__}: {error}")


def _read(text: str, dialect: Dialect) -> Iterator[tuple[str, Statement | NotUnderstood]]:
    if dialect == "sqlite":
        for one in statements(text, dialect):
            yield one, sqlglot_reader.read(one, dialect)
        return
    try:
        yield from postgres_reader.read(text)
        return
    except NotAccepted:
        parts = list(statements(without_psql(text), dialect))
    for one in parts:
        try:
            yield from postgres_reader.read(one)
        except NotAccepted as refused:
            found = sqlglot_reader.read(one, dialect)
            yield one, refused if isinstance(found, NotUnderstood) else found
