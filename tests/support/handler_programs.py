"""Programs of what handlers do with their sessions, drawn at random, and what runs them.

A program has a list of steps for each event. A step looks, and what it has seen is noted; or it writes, in one of many
ways; or it changes the session; or it holds further steps, in a savepoint or where exceptions are caught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from hypothesis import strategies as some
from sqlalchemy import Dialect, ForeignKey, Integer, Table, delete, func, insert, inspect, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from support import handler_mappings
from support.handler_mappings import Base

Step = tuple[Any, ...]
Program = list[list[Step]]
WRITES = ("orm update", "core update", "core insert", "core delete", "text", "driver", "raw", "second session", "empty")
COLUMNS = {
    "account": "id, balance",
    "line": "account_id, amount",
    "note": "text",
    "seen": "number, value",
    **handler_mappings.COLUMNS,
}
"""What is compared of each table: all but the numbers that the database gives."""
TABLES = tuple(COLUMNS)


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]
    lines: Mapped[list[Line]] = relationship(back_populates="account")


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey(Account.id))
    amount: Mapped[int]
    account: Mapped[Account | None] = relationship(back_populates="lines")


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Negated(TypeDecorator[int]):
    """A number that is written with the other sign."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else -value

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else -value


class Seen(Base):
    """What a handler saw last, as handlers write it: from a table that it has read."""

    __tablename__ = "seen"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
    value: Mapped[int] = mapped_column(Negated)


ACCOUNT = cast(Table, Account.__table__)


class Refused(Exception):
    """A step raised it."""


class Handling:
    """One call of a handler, its steps and what it has seen."""

    def __init__(self, number: int, session: Session, publish: Callable[[str], None], kept: dict[int, Any]) -> None:
        self.number = number
        self.session = session
        self.publish = publish
        self.kept = kept
        """What handlers hold on to beyond their calls, by the number of the event."""
        self.seen: list[object] = []

    def run(self, steps: Sequence[Step]) -> None:
        """Run the steps; what one raises passes through."""
        for step in steps:
            self.seen.append(STEPS[step[0]](self, *step[1:]))

    def raw(self, statement: str) -> Any:
        """Run a statement on the driver's own connection, as SQLAlchemy shows it."""
        cursor = self.session.connection().connection.cursor()
        cursor.execute(statement)
        return cursor

    @property
    def driver(self) -> Any:
        """The driver's own connection."""
        return self.session.connection().connection.dbapi_connection


# looks


def _get(call: Handling, key: int) -> object:
    found = call.session.get(Account, key)
    return None if found is None else found.balance


def _all_by_orm(call: Handling) -> object:
    return [(one.id, one.balance) for one in call.session.scalars(select(Account).order_by(Account.id))]


def _lines(call: Handling, key: int) -> object:
    found = call.session.get(Account, key)
    # A relationship in both directions is a cycle, which stays in the session until the collector comes.
    return None if found is None else sorted(line.amount for line in found.lines if line.account is found)


def _by_core(call: Handling) -> object:
    found = call.session.execute(select(func.count(), func.sum(Account.__table__.c.balance))).one()
    return tuple(found)


def _count_notes(call: Handling, how: str) -> object:
    statement = "select count(*) from note"
    if how == "orm":
        return call.session.scalar(select(func.count()).select_from(Note))
    if how == "text":
        return call.session.scalar(text(statement))
    if how == "driver":
        return call.session.connection().exec_driver_sql(statement).scalar()
    if how == "raw":
        return call.raw(statement).fetchone()[0]
    with Session(call.session.connection()) as second:
        return second.scalar(text(statement))


def _what_it_finds(call: Handling) -> object:
    """What an earlier call could have left behind."""
    session = call.session
    options = session.connection().get_execution_options()
    return (
        len(session.new),
        session.autoflush,
        "mark" in session.info,
        "mark" in options,
        session.in_nested_transaction(),
    )


def _look_at_kept(call: Handling) -> object:
    """What an earlier call has kept: a row that was written, whose number is known."""
    earlier = max((number for number in call.kept if 0 <= number < call.number), default=None)
    if earlier is None:
        return None
    state = inspect(call.kept[earlier])
    return state.transient, state.pending, state.identity is not None


def _keep_connection(call: Handling) -> None:
    call.kept[-1 - call.number] = call.session.connection()


def _use_kept_connection(call: Handling) -> object:
    """Look by the connection that an earlier call has kept."""
    earlier = max((-1 - number for number in call.kept if -1 - call.number < number < 0), default=None)
    return None if earlier is None else call.kept[-1 - earlier].exec_driver_sql("select count(*) from note").scalar()


# writes


def _add_account(call: Handling, key: int, balance: int) -> None:
    call.session.add(Account(id=key, balance=balance))


def _add_note(call: Handling, what: str) -> None:
    call.session.add(Note(text=what))


def _keep_note(call: Handling, what: str) -> None:
    note = Note(text=what)
    call.session.add(note)
    call.kept[call.number] = note


def _add_if_missing(call: Handling, what: str, how: str) -> None:
    wanted = f"select count(*) from note where text = '{what}'"
    if how == "orm":
        found = call.session.scalar(select(func.count()).where(Note.text == what))
    elif how == "text":
        found = call.session.scalar(text(wanted))
    else:
        found = call.raw(wanted).fetchone()[0]
    if not found:
        call.session.add(Note(text=what))


def _change(call: Handling, key: int, by: int) -> None:
    found = call.session.get(Account, key)
    if found is not None:
        found.balance += by


def _note_balance(call: Handling, key: int) -> None:
    found = call.session.get(Account, key)
    call.session.add(Seen(number=call.number, value=-1 if found is None else found.balance))


def _delete(call: Handling, key: int) -> None:
    found = call.session.get(Account, key)
    if found is not None:
        call.session.delete(found)


def _add_line(call: Handling, key: int, amount: int) -> None:
    found = call.session.get(Account, key)
    if found is not None:
        found.lines.append(Line(amount=amount))


def _add_line_by_number(call: Handling, key: int, amount: int) -> None:
    call.session.add(Line(account_id=key, amount=amount))


def _write(call: Handling, key: int, how: str) -> None:
    table, changed = ACCOUNT, f"update account set balance = balance + 10 where id = {key}"
    ways: Mapping[str, Callable[[], object]] = {
        "orm update": lambda: call.session.execute(
            update(Account).where(Account.id == key).values(balance=Account.balance + 10)
        ),
        "core update": lambda: call.session.execute(
            update(table).where(table.c.id == key).values(balance=table.c.balance + 10)
        ),
        "core insert": lambda: call.session.execute(insert(table).values(id=key, balance=1)),
        "core delete": lambda: call.session.execute(delete(table).where(table.c.id == key)),
        "text": lambda: call.session.execute(text(changed)),
        "driver": lambda: call.session.connection().exec_driver_sql(changed),
        "raw": lambda: call.raw(changed),
        "second session": lambda: _by_second_session(call, key),
        "empty": lambda: call.session.execute(text("delete from note")),
    }
    ways[how]()


def _by_second_session(call: Handling, key: int) -> None:
    with Session(call.session.connection()) as second:
        second.add(Note(text=f"second {key}"))
        second.flush()


# the session itself


def _of_loaded(call: Handling, what: str, key: int) -> None:
    found = call.session.get(Account, key)
    if found is not None:
        getattr(call.session, what)(found)


def _set(call: Handling, what: str) -> None:
    if what == "autoflush":
        call.session.autoflush = False
    elif what == "info":
        call.session.info["mark"] = True
    else:
        call.session.connection().execution_options(mark=True)


def _left_open(call: Handling, how: str) -> None:
    (call.session if how == "session" else call.session.connection()).begin_nested()


def _flush(call: Handling) -> None:
    call.session.flush()


def _expire_all(call: Handling) -> None:
    call.session.expire_all()


def _expunge_all(call: Handling) -> None:
    call.session.expunge_all()


def _publish(call: Handling, what: str) -> None:
    call.publish(what)


def _raise(_call: Handling) -> None:
    raise Refused("a step")


ENDS: Mapping[str, Callable[[Handling], object]] = {
    "commit": lambda call: call.session.commit(),
    "rollback": lambda call: call.session.rollback(),
    "close": lambda call: call.session.close(),
    "reset": lambda call: call.session.reset(),
    "invalidate": lambda call: call.session.invalidate(),
    "begin": lambda call: call.session.execute(text("BEGIN")),
    "COMMIT": lambda call: call.session.execute(text("COMMIT")),
    "ROLLBACK": lambda call: call.session.execute(text("ROLLBACK")),
    "driver's COMMIT": lambda call: call.raw("COMMIT"),
    "driver's commit": lambda call: call.driver.commit(),
    "driver's rollback": lambda call: call.driver.rollback(),
    "connection's commit": lambda call: call.session.connection().commit(),
    "connection's rollback": lambda call: call.session.connection().rollback(),
    "connection's close": lambda call: call.session.connection().close(),
}
"""Ways in which a handler may try to end the transaction, which is the batch's."""


def _end(call: Handling, how: str) -> None:
    ENDS[how](call)


# steps that hold further ones


def _caught(call: Handling, steps: Sequence[Step]) -> None:
    with suppress(Exception):
        call.run(steps)


def _not_flushed(call: Handling, steps: Sequence[Step]) -> None:
    with call.session.no_autoflush:
        call.run(steps)


def _savepoint(call: Handling, steps: Sequence[Step], how: str) -> None:
    if how in ("text", "raw"):
        _savepoint_in_words(call, steps, call.raw if how == "raw" else lambda words: call.session.execute(text(words)))
        return
    with suppress(Refused):
        with (call.session if how == "session" else call.session.connection()).begin_nested():
            call.run(steps)


def _savepoint_in_words(call: Handling, steps: Sequence[Step], run: Callable[[str], object]) -> None:
    run("SAVEPOINT mine")
    try:
        call.run(steps)
    except Refused:
        run("ROLLBACK TO SAVEPOINT mine")
    run("RELEASE SAVEPOINT mine")


STEPS: Mapping[str, Callable[..., object]] = {
    "get": _get,
    "all": _all_by_orm,
    "lines": _lines,
    "core": _by_core,
    "count notes": _count_notes,
    "what it finds": _what_it_finds,
    "look at kept": _look_at_kept,
    "keep connection": _keep_connection,
    "use kept connection": _use_kept_connection,
    "add account": _add_account,
    "add note": _add_note,
    "keep note": _keep_note,
    "add if missing": _add_if_missing,
    "change": _change,
    "note balance": _note_balance,
    "delete": _delete,
    "add line": _add_line,
    "add line by number": _add_line_by_number,
    "write": _write,
    "of loaded": _of_loaded,
    "flush": _flush,
    "expire all": _expire_all,
    "expunge all": _expunge_all,
    "set": _set,
    "left open": _left_open,
    "publish": _publish,
    "raise": _raise,
    "end": _end,
    "caught": _caught,
    "not flushed": _not_flushed,
    "savepoint": _savepoint,
    **handler_mappings.STEPS,
}

_key = some.integers(1, 3)
_amount = some.integers(1, 9)
_text = some.sampled_from("abcd")


def _step(name: str, *arguments: some.SearchStrategy[Any]) -> some.SearchStrategy[Step]:
    return some.tuples(some.just(name), *arguments)


_plain: some.SearchStrategy[Step] = some.one_of(
    _step("get", _key),
    _step("all"),
    _step("lines", _key),
    _step("core"),
    _step("count notes", some.sampled_from(["orm", "text", "driver", "raw", "second session"])),
    _step("what it finds"),
    _step("look at kept"),
    _step("keep connection"),
    _step("use kept connection"),
    _step("add account", _key, _amount),
    _step("add note", _text),
    _step("keep note", _text),
    _step("add if missing", _text, some.sampled_from(["orm", "text", "raw"])),
    _step("change", _key, _amount),
    _step("note balance", _key),
    _step("delete", _key),
    _step("add line", _key, _amount),
    _step("add line by number", _key, _amount),
    _step("write", _key, some.sampled_from(WRITES)),
    _step("of loaded", some.sampled_from(["expire", "expunge", "refresh"]), _key),
    _step("flush"),
    _step("expire all"),
    _step("expunge all"),
    _step("set", some.sampled_from(["autoflush", "info", "options"])),
    _step("left open", some.sampled_from(["session", "connection"])),
    _step("publish", _text),
    _step("raise"),
    some.one_of(*(_step(name, *arguments) for name, arguments in handler_mappings.CHOICES.items())),
)


def _blocks(steps: some.SearchStrategy[Step]) -> some.SearchStrategy[Step]:
    several = some.lists(steps, max_size=3)
    return some.one_of(
        _step("caught", several),
        _step("not flushed", several),
        _step("savepoint", several, some.just("session")),
        _step(
            "savepoint",
            several.filter(lambda held: not publishes(held)),
            some.sampled_from(["connection", "text", "raw"]),
        ),
    )


def publishes(steps: Sequence[Step]) -> bool:
    """Whether one of these steps publishes."""
    return any(step[0] == "publish" or any(map(publishes, _within_step(step))) for step in steps)


def _within_step(step: Step) -> list[list[Step]]:
    return [cast("list[Step]", part) for part in step[1:] if isinstance(part, list)]


_within = some.one_of(_plain, _blocks(_plain))
_steps = some.lists(some.one_of(_plain, _blocks(_within)), min_size=1, max_size=5)
programs: some.SearchStrategy[Program] = some.lists(_steps, min_size=2, max_size=8)
"""Programs of up to eight events."""

_ending = some.one_of(_plain, _step("end", some.sampled_from(sorted(ENDS))))
_ending_steps = some.lists(some.one_of(_ending, _blocks(_ending)), min_size=1, max_size=5)
programs_that_end: some.SearchStrategy[Program] = some.lists(_ending_steps, min_size=2, max_size=8)
"""The same, and some steps try to end the transaction."""

KNOWN: Mapping[str, Program] = {
    f"a row changed by {how} is loaded again": [
        [("lines", 1), ("write", 1, how)],
        [("note balance", 1), ("change", 1, 1)],
    ]
    for how in ("orm update", "core update", "text", "driver", "raw")
} | {
    "a row that waits is seen without a flush": [
        [("add note", "a")],
        [("not flushed", [("add if missing", "a", "orm")])],
        [("not flushed", [("add if missing", "a", "raw")])],
        [("set", "autoflush"), ("add if missing", "a", "text"), ("count notes", "second session")],
        [("what it finds",)],
    ],
    "a row that waits is not lost": [
        [("add note", "a")],
        [("expunge all",), ("add note", "b")],
        [("expire all",), ("add note", "c")],
        [("count notes", "driver")],
    ],
    "a savepoint takes back nothing of an earlier handler": [
        [("add note", "a")],
        [("savepoint", [("add note", "b"), ("raise",)], "session")],
        [("savepoint", [("add note", "c"), ("raise",)], "connection"), ("left open", "connection")],
        [("count notes", "raw"), ("add note", "d")],
    ],
    "savepoints in words and of a session may stand in each other": [
        [("savepoint", [("add note", "a"), ("savepoint", [("add note", "b"), ("flush",)], "session"), ("raise",)], how)]
        for how in ("text", "raw")
    ],
    "a failure is that of the handler whose row it is": [
        [("add line by number", 2, 1)],
        [("caught", [("count notes", "orm"), ("all",)]), ("add account", 2, 1)],
        [("add line by number", 2, 2), ("caught", [("lines", 2)])],
    ],
    "what a failed handler has kept is in no session": [[("keep note", "a"), ("raise",)], [("look at kept",)]],
    "a connection that is kept is closed": [
        [("keep connection",)],
        [("add note", "a"), ("use kept connection",)],
        [("keep connection",), ("raise",)],
        [("caught", [("use kept connection",)]), ("add note", "b")],
    ],
    "what is kept has been written": [[("keep note", "a")], [("look at kept",), ("add note", "b")]],
}
"""Programs by which handlers could once tell in how large a batch they ran, or could if rows waited too long."""
