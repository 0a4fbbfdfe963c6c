"""What user code does to an open transaction: its savepoints are followed, its end and Preterite's tables are refused.

A connection that is watched reports every statement, commit and rollback. So a watch knows of all sorts of
savepoints: those of a session, those of a connection, those of a driver, and those that are written as text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from preterite.errors import OwnTableRefused, UnitOfWorkBroken

_MAY_CONTROL = re.compile(r"\s*(?:savepoint|release|rollback|commit|end|abort|prepare|[-/])", re.IGNORECASE)
_NOT_CODE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?!\w+')(?:[^']|'')*'|\"[^\"]*;[^\"]*\"", re.DOTALL
)
_NAME = r"(?P<{}>['\"`\[]?\w+['\"`\]]?)"
_CONTROL = re.compile(
    rf"(?:\A|;)\s*(?:SAVEPOINT\s+{_NAME.format('begun')}"
    rf"|RELEASE\s+(?:SAVEPOINT\s+)?{_NAME.format('released')}"
    rf"|ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?{_NAME.format('undone')}"
    r"|(?P<end>COMMIT|END|ABORT|ROLLBACK|PREPARE\s+TRANSACTION)\b)",
    re.IGNORECASE,
)

_NO_STATEMENT = re.compile(r"--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'", re.DOTALL)
_HAS_BODY = re.compile(r"\b(?:DO|FUNCTION|PROCEDURE)\b", re.IGNORECASE)
_OWN = r"(?:[\"`\[]?\w+[\"`\]]?\s*\.\s*)?[\"`\[]?(preterite(?:_\w+|[\"`\]]?\s*\.\s*[\"`\[]?\w+))"
_WRITES_OWN = re.compile(
    r"\b(?:(?:INSERT(?:\s+OR\s+\w+)?|REPLACE|MERGE)\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM"
    r"|(?:ALTER|CREATE)(?:\s+\w+){1,5}?|(?:TRUNCATE|DROP)\b[^;]*?"
    rf"|CREATE\b[^;]*?\b(?:TRIGGER|RULE|INDEX|POLICY)\b[^;]*?\b(?:ON|TO))(?:\s+ONLY)?\s+{_OWN}"
    rf"|\bCOPY\s+{_OWN}\s*(?:\([^()]*\)\s*)?FROM\b|\b(?:DROP|ALTER)\s+SCHEMA\b[^;]*?\b(preterite)\b",
    re.IGNORECASE,
)
_LOOKS_INTO_OWN = re.compile(r"\bsearch_path\b[^;]*?\b(preterite)\b", re.IGNORECASE | re.DOTALL)


def own_table_written(text: str) -> str | None:
    """The table or schema of Preterite's own that a statement writes to or changes, by its text; nothing if none. Pure.

    What functions, triggers and views do inside is not seen.
    """
    if "preterite" not in text.casefold():
        return None
    code = text if _HAS_BODY.search(text) is not None else _NO_STATEMENT.sub(" ", text)
    found = _WRITES_OWN.search(code) or _LOOKS_INTO_OWN.search(text)
    return None if found is None else next(name for name in found.groups() if name is not None)


def refuse_own_tables(text: str) -> None:
    """Raise `OwnTableRefused` for a statement that writes to a table of Preterite's own."""
    table = own_table_written(text)
    if table is not None:
        raise OwnTableRefused(table)


@contextmanager
def with_own_tables(guard: Any, *, closed: bool) -> Generator[None]:
    """Have a guarded connection refuse writes to Preterite's own tables for a while, or allow them; `None` has none."""
    if guard is None:
        yield
        return
    before, guard.own_tables_closed = guard.own_tables_closed, closed
    try:
        yield
    finally:
        guard.own_tables_closed = before


class Control(NamedTuple):
    """A statement that begins, releases or undoes a savepoint, or ends the transaction."""

    kind: str
    name: str = ""


def controls(text: str) -> list[Control]:
    """The statements of this text that move savepoints or end a transaction, in order. Pure."""
    if ";" not in text and _MAY_CONTROL.match(text) is None:
        return []
    found: list[Control] = []
    for match in _CONTROL.finditer(_NOT_CODE.sub(" ", text)):
        kind = match.lastgroup
        assert kind is not None, "every alternative has a group"
        found.append(Control(kind, "" if kind == "end" else match[kind].strip("'\"`[]").casefold()))
    return found


class TransactionWatch:
    """Watches one transaction. What was done at a `position` is live until a savepoint before it is undone.

    It refuses the transaction's end where it `refuses`; a session `may_roll_back`, because a failed flush must. Then
    the transaction is over: nothing more may be written by this connection.
    """

    def __init__(self, *, refuses: bool, may_roll_back: bool = False) -> None:
        self.refuses = refuses
        self.may_roll_back = may_roll_back
        self.broken: UnitOfWorkBroken | None = None
        """Why nothing of it may be kept."""
        self.is_over = False
        self._position = 0
        self._savepoints: list[tuple[str, int]] = []
        self._undone: list[tuple[int, int]] = []
        self._statement: list[Control] = []

    def position(self) -> int:
        """A new position, behind all others."""
        self._position += 1
        return self._position

    def is_live(self, position: int) -> bool:
        """Whether what was done there has not been undone by a savepoint."""
        place = bisect_right(self._undone, (position, self._position + 1)) - 1
        return place < 0 or position >= self._undone[place][1]

    def undo_since(self, position: int) -> None:
        """Note that what was done at this position and behind it is undone."""
        while self._undone and self._undone[-1][0] >= position:
            self._undone.pop()
        self._undone.append((position, self.position()))

    def before_statement(self, text: str, *, in_transaction: bool) -> None:
        """Refuse a statement that would end the transaction, or one after its end; raises `UnitOfWorkBroken`."""
        self._statement = controls(text)
        if not self.refuses:
            return
        if not in_transaction:
            self.ended("its connection has rolled it back, or committed it: then its rows stand without their events")
        self.require_going_on()
        if any(control.kind == "end" for control in self._statement):
            self.refuse("commit or roll back in SQL")

    def after_statement(self) -> None:
        """Follow the savepoints of the statement that has just been run."""
        for kind, name in self._statement:
            if kind == "begun":
                self._savepoints.append((name, self.position()))
                continue
            depth = next((at for at in reversed(range(len(self._savepoints))) if self._savepoints[at][0] == name), None)
            if depth is None:
                continue
            if kind == "undone":
                self.undo_since(self._savepoints[depth][1])
                self._savepoints[depth] = (name, self.position())
                del self._savepoints[depth + 1 :]
            elif kind == "released":
                del self._savepoints[depth:]

    def before_commit(self) -> None:
        """Refuse a commit; raises `UnitOfWorkBroken`."""
        if self.refuses:
            self.refuse("commit")

    def before_rollback(self) -> None:
        """Refuse a rollback, or note that the transaction is over."""
        if self.refuses and not self.may_roll_back:
            self.refuse("roll back")
        if self.refuses:
            self.ended("it was rolled back")

    def allows(self, action: str) -> bool:
        """Whether a driver may run COMMIT or ROLLBACK by itself; notes it where not."""
        if not self.refuses or action == "BEGIN" or (action == "ROLLBACK" and self.may_roll_back):
            return True
        if self.broken is None:
            self.broken = UnitOfWorkBroken.refused(action.lower())
        return False

    def refuse(self, what: str) -> None:
        """Raise for an attempt to end the transaction, and remember it."""
        self.broken = self.broken or UnitOfWorkBroken.refused(what)
        raise UnitOfWorkBroken.refused(what)

    def ended(self, how: str) -> None:
        """Note that the transaction is over."""
        self.is_over = True
        self.broken = self.broken or UnitOfWorkBroken.ended(how)

    def require_going_on(self) -> None:
        """Raise `UnitOfWorkBroken` if the transaction is over."""
        if self.is_over and self.broken is not None:
            raise self.broken


class Watched:
    """A connection that reports to a watch, if it has one, and refuses what handlers may not do while it is guarded."""

    guarded: bool = False
    watch: TransactionWatch | None = None
    """Where the statements of a unit of work, or of a batch's session, are reported."""
    own_tables_closed: bool = False
    """While user code runs: whether statements that write to Preterite's own tables are refused."""

    def forget_watch(self) -> None:
        """Report to nobody any more."""
        self.watch = None
        self.own_tables_closed = False

    def give_up(self) -> None:
        """Let it be closed in the middle of a batch."""
        self.guarded = False


def forget_watch(connection: Any, _record: Any) -> None:
    """Watch a connection no longer: a session has given it back to its pool."""
    guard = _guard_of(connection)
    if guard is not None:
        guard.forget_watch()


def let_close(connection: Any, _record: Any, _error: Any) -> None:
    """Let a connection be closed that its pool gives up, also in the middle of a batch, which has failed then.

    A statement that is cancelled is not known to have ended; so its connection is given up. If it stayed open, its
    transaction would keep its locks. On SQLite the statement is still running, in the driver's thread.
    """
    guard = _guard_of(connection)
    if guard is not None:
        guard.give_up()


def is_in_unit(connection: Any) -> bool:
    """Whether a unit of work is open on a connection, by whatever session it was reached."""
    watch = getattr(_guard_of(connection), "watch", None)
    return watch is not None and watch.refuses


def _guard_of(connection: Any) -> Any:
    return getattr(getattr(connection, "driver_connection", connection), "preterite_guard", None)
