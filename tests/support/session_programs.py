"""Short programs of what user code does with a session or a connection, drawn by hypothesis and run step by step.

Each write is followed, or preceded, by an event with the number of its row. So whatever the program does, the rows that
stand are those whose events are announced. A `Desk` is what a program works at: a bare connection, or a session.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from sqlalchemy import insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Sent(Base):
    """A row with the number of its event."""

    __tablename__ = "sent"
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Mistake(Exception):
    """What user code raises."""


@dataclass(frozen=True)
class Write:
    """Insert a row and publish its event."""

    by: str
    event_first: bool = False


@dataclass(frozen=True)
class InSavepoint:
    """Run a body in a savepoint, and undo it or keep it."""

    by: str
    body: Sequence[Step]
    undone: bool


@dataclass(frozen=True)
class Savepoint:
    """One statement about a named savepoint, whether or not there is one: begin, release or undo."""

    what: str
    name: str


@dataclass(frozen=True)
class End:
    """End the transaction, or try to."""

    what: str
    by: str


@dataclass(frozen=True)
class Catch:
    """Run a body and go on whatever it raises."""

    body: Sequence[Step]


@dataclass(frozen=True)
class Flush:
    """Write what the session holds back."""


@dataclass(frozen=True)
class Fail:
    """Raise."""


Step = Write | InSavepoint | Savepoint | End | Catch | Flush | Fail
Program = Sequence[Step]


def ends(program: Program) -> bool:
    """Whether a step tries to end the transaction, or may break it by failing inside a `Catch`."""
    return any(
        isinstance(step, End | Catch | Savepoint) or (isinstance(step, InSavepoint) and ends(step.body))
        for step in program
    )


TEXT_ENDS = [End(what, "text") for what in ("COMMIT", "ROLLBACK", "END", "commit ", "/* so */ COMMIT")]
SESSION_ENDS = [
    *(End(what, "session") for what in ("commit", "rollback", "close", "reset", "invalidate", "duplicate", "implicit")),
    *(End(what, "connection") for what in ("commit", "rollback", "close", "invalidate")),
    *TEXT_ENDS,
]
DRIVER_ENDS = [End(what, "driver") for what in ("commit", "rollback")]
BARE_ENDS = [*(End(what, "driver") for what in ("commit", "rollback", "close", "with", "implicit")), *TEXT_ENDS]


def programs(
    writes: Sequence[str], savepoints: Sequence[str], ending: Sequence[End], *, named: bool = True
) -> SearchStrategy[Program]:
    """Programs with these ways to write, sorts of savepoints and ends; `named` ones may be left open or be missing."""
    write = st.builds(Write, st.sampled_from(writes), st.booleans())
    simple: list[SearchStrategy[Step]] = [write, write, write, st.just(Flush()), st.just(Fail())]
    if ending:
        simple.append(st.sampled_from(ending))
    if named:
        names = st.sampled_from(["a", "b"])
        simple.append(st.builds(Savepoint, st.sampled_from(["begin", "release", "undo"]), names))

    def nested(inner: SearchStrategy[Step]) -> SearchStrategy[Step]:
        bodies = st.lists(inner, min_size=1, max_size=4)
        return st.builds(InSavepoint, st.sampled_from(savepoints), bodies, st.booleans()) | st.builds(Catch, bodies)

    return st.lists(st.recursive(st.one_of(simple), nested, max_leaves=6), min_size=1, max_size=6)


class BareDesk:
    """A bare connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"

    def write(self, _by: str, number: int) -> None:
        self.connection.execute(f"insert into sent values ({self._mark})", (number,))

    def flush(self) -> None:
        pass

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    @contextmanager
    def savepoint(self, by: str, name: str) -> Generator[Callable[[bool], None]]:
        """A savepoint; what is yielded ends it, undone or not."""
        if by == "driver" and not isinstance(self.connection, sqlite3.Connection):
            block = self.connection.transaction()
            block.__enter__()
            yield (
                lambda undone: block.__exit__(Mistake, Mistake(), None) if undone else block.__exit__(None, None, None)
            )
            return
        self.run(f"savepoint {name}")
        yield lambda undone: self.run(f"rollback to {name}" if undone else f"release {name}")

    def end(self, end: End) -> None:
        if end.by == "text":
            self.run(end.what)
        elif end.what == "implicit":
            _end_implicitly(self.run)
        elif end.what == "with":
            with self.connection:
                pass
        else:
            getattr(self.connection, end.what)()


class SessionDesk:
    """A session; for an AsyncSession each step runs in its `run_sync`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def write(self, by: str, number: int) -> None:
        if by == "orm":
            self.session.add(Sent(n=number))
            self.session.flush()
        elif by == "core":
            self.session.execute(insert(Sent).values(n=number))
        elif by == "text":
            self.session.execute(text(f"insert into sent values ({number})"))
        else:
            self._driver().cursor().execute(f"insert into sent values ({number})")

    def flush(self) -> None:
        self.session.flush()

    def run(self, statement: str) -> None:
        self.session.execute(text(statement))

    @contextmanager
    def savepoint(self, by: str, name: str) -> Generator[Callable[[bool], None]]:
        if by in ("session", "connection"):
            opened = (self.session if by == "session" else self.session.connection()).begin_nested()
            yield lambda undone: opened.rollback() if undone else opened.commit()
            return
        run = self.run if by == "text" else self._run_by_driver
        run(f"savepoint {name}")
        yield lambda undone: run(f"rollback to {name}" if undone else f"release {name}")

    def end(self, end: End) -> None:
        if end.what == "duplicate":
            self.session.add_all([Sent(n=-1), Sent(n=-1)])
            try:
                self.session.flush()
            except Exception:
                self.session.rollback()
        elif end.what == "implicit":
            _end_implicitly(self.run)
        elif end.by == "text":
            self.run(end.what)
        else:
            target = {"session": self.session, "connection": None}.get(end.by)
            target = target or (self._driver() if end.by == "driver" else self.session.connection())
            getattr(target, end.what)()

    def _run_by_driver(self, statement: str) -> None:
        self._driver().cursor().execute(statement)

    def _driver(self) -> Any:
        return self.session.connection().connection.dbapi_connection


def _end_implicitly(run: Callable[[str], None]) -> None:
    """Let a statement fail so that the database rolls back by itself; PostgreSQL does so whatever the fault."""
    run("insert into sent values (-1)")
    with suppress(Exception):
        run("insert or rollback into sent values (-1)")


Desk = BareDesk | SessionDesk
At = Callable[[Callable[[Desk], Any]], Awaitable[Any]]


@dataclass
class Run:
    """One run of a program: `at` does a step at the desk, `publish` announces a number."""

    at: At
    publish: Callable[[int], None]
    first: int = 1
    """The number of the first row."""
    written: int = 0
    """How many rows were written, whether or not they stand."""

    async def run(self, program: Program) -> None:
        """Run all of it; what a step raises passes through."""
        for step in program:
            await self._step(step)

    async def _step(self, step: Step) -> None:
        if isinstance(step, Write):
            await self._write(step)
        elif isinstance(step, InSavepoint):
            await self._in_savepoint(step)
        elif isinstance(step, Savepoint):
            words = {"begin": "savepoint", "release": "release savepoint", "undo": "rollback to savepoint"}
            await self.at(lambda desk: desk.run(f"{words[step.what]} {step.name}"))
        elif isinstance(step, End):
            await self.at(lambda desk: desk.end(step))
        elif isinstance(step, Flush):
            await self.at(lambda desk: desk.flush())
        elif isinstance(step, Catch):
            try:
                await self.run(step.body)
            except Exception:
                return
        else:
            raise Mistake

    async def _write(self, step: Write) -> None:
        number = self.first + self.written
        self.written += 1
        if step.event_first:
            self.publish(number)
        await self.at(lambda desk: desk.write(step.by, number))
        if not step.event_first:
            self.publish(number)

    async def _in_savepoint(self, step: InSavepoint) -> None:
        name = f"s{self.written}"
        savepoint = await self.at(lambda desk: desk.savepoint(step.by, name))
        end = await self.at(lambda _desk: savepoint.__enter__())
        try:
            await self.run(step.body)
        except BaseException:
            await self.at(lambda _desk: end(True))
            raise
        await self.at(lambda _desk: end(step.undone))


def run_to_its_end(running: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        running.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("it waits")
