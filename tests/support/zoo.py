"""The zoo: every way in which a handler, a key or an event is bad, each of its own kind, and how its event ends.

What is raised stands in `raised.py`, what is done to a connection in `connection_misuse.py`; both belong to it.
"""

from __future__ import annotations

import asyncio
import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from preterite import Command, Event, UnitOfWork
from preterite.codecs import read_json, read_xml
from support.any_store import IS_SQLITE, sql
from support.connection_misuse import MISUSES
from support.raised import RAISED, chain, noted, recurse, ring


class Seen(Event, key="name"):
    """What the zoo's handlers get; `way` is what they do."""

    name: str
    way: str = ""


class Refusing(Event, key="name"):
    """Its own code refuses to be read, but where it is published."""

    name: str

    def __post_init__(self) -> None:
        if not _publishing:
            raise ZeroDivisionError("this event is not to be read")


_publishing: list[bool] = []


def refusing(name: str) -> Refusing:
    """One such event, to be published."""
    _publishing.append(True)
    try:
        return Refusing(name=name)
    finally:
        _publishing.clear()


class Answered(Event, key="name"):
    """What handlers publish."""

    name: str
    value: Any = None


class Stranger(Event):
    """No component publishes it."""


class Later(Command):
    """What handlers schedule."""

    name: str
    way: str = ""


class Visit(NamedTuple):
    """One event at a handler, and what that works with."""

    name: str
    connection: Any
    unit_of_work: UnitOfWork
    other: str
    """A database that exists and is nobody's: a file, or a URL of PostgreSQL."""


class Way(NamedTuple):
    """What is done, and the names of errors under which its event may become a dead letter; "" where it is handled."""

    act: Callable[[Visit], object]
    ends: frozenset[str]
    by_process: bool = False
    """Whether only a process of its own bears it."""


def _way(act: Callable[[Visit], object], *ends: str, by_process: bool = False) -> Way:
    return Way(act, frozenset(ends), by_process)


def _raising(make: Callable[[], BaseException]) -> Callable[[Visit], object]:
    def act(_visit: Visit) -> None:
        raise make()

    return act


# What it returns and leaves behind


async def _nothing() -> None: ...


async def _leave_task() -> None:
    async def wait() -> None:
        await asyncio.sleep(3600)

    _kept.append(asyncio.create_task(wait()))


async def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


async def _stop_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def _close_loop() -> None:
    asyncio.get_running_loop().close()


def _generate(_visit: Visit) -> Generator[int]:
    yield 1


def _thread(target: Callable[[], object]) -> Callable[[Visit], object]:
    def act(_visit: Visit) -> None:
        threading.Thread(target=target, daemon=True).start()

    return act


def _fork_and_end(_visit: Visit) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


_kept: list[object] = []
LEFT = {
    "a future": _way(lambda _: Future[None](), "HandlerFailed"),
    "a generator": _way(_generate, "HandlerFailed"),
    "a function": _way(lambda _: _nothing, "HandlerFailed"),
    "a coroutine": _way(lambda _: _nothing(), ""),
    "a value": _way(lambda _: 7, ""),
    "a task": _way(lambda _: _leave_task(), "HandlerFailed"),
    "a cancelled self": _way(lambda _: _cancel_all(), "CancelledError"),
    "a stopped loop": _way(lambda _: _stop_loop(), "", "RuntimeError", "HandlerFailed"),
    "a closed loop": _way(lambda _: _close_loop(), "RuntimeError"),
    "a loop of its own": _way(lambda _: asyncio.run(_nothing()), "", "RuntimeError"),
    "no loop at all": _way(lambda _: asyncio.set_event_loop(None), ""),
    # None can be begun where another way has broken threads.
    "a thread": _way(_thread(lambda: time.sleep(3600)), "", "RuntimeError"),
    "a thread that raises": _way(_thread(lambda: sys.exit(3)), "", "RuntimeError"),
    "a child": _way(lambda _: _kept.append(subprocess.Popen(["true"])), ""),
    "a fork that ends": _way(_fork_and_end, ""),
    "a pool of processes": _way(lambda _: multiprocessing.get_context("spawn").Event(), ""),
}

# What it changes for the whole process


def _silence(_visit: Visit) -> None:
    logging.disable(logging.CRITICAL)


def _break_logging(_visit: Visit) -> None:
    def refuse(_record: logging.LogRecord) -> bool:
        raise ZeroDivisionError("no line is logged")

    logging.getLogger("preterite").addFilter(refuse)


def _close_stderr(_visit: Visit) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it is left so
    sys.stderr.close()


def _no_trace(_frame: FrameType, _event: str, _argument: object) -> None: ...


CHANGED = {
    "the working directory": _way(lambda _: os.chdir("/"), ""),
    "the umask": _way(lambda _: os.umask(0o777), ""),
    "the environment": _way(lambda _: os.environ.clear(), ""),
    "a signal": _way(lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN), "", "ValueError"),
    "the locale": _way(lambda _: locale.setlocale(locale.LC_ALL, "C"), ""),
    "decimals": _way(lambda _: setattr(decimal.getcontext(), "prec", 1), ""),
    "traps of decimals": _way(lambda _: decimal.getcontext().traps.update({decimal.Inexact: True}), ""),
    "the recursion limit": _way(lambda _: sys.setrecursionlimit(120), "", "RecursionError", by_process=True),
    "warnings": _way(lambda _: warnings.simplefilter("error"), ""),
    "logging": _way(_silence, ""),
    "logging that raises": _way(_break_logging, ""),
    "standard error": _way(_close_stderr, ""),
    "the random seed": _way(lambda _: random.seed(1), ""),
    "timeouts of sockets": _way(lambda _: socket.setdefaulttimeout(0.001), ""),
    "the collector": _way(lambda _: gc.disable(), ""),
    "the switch interval": _way(lambda _: sys.setswitchinterval(1.0), ""),
    "a trace": _way(lambda _: sys.settrace(_no_trace), ""),
    "a hook of threads": _way(lambda _: setattr(threading, "excepthook", None), "", by_process=True),
    "the context of decimals": _way(lambda _: decimal.setcontext(decimal.Context(Emax=1, Emin=-1)), ""),
}

# What ends, stops or holds the process


def _spin(_visit: Visit) -> None:
    while True:
        pass


def _segmentation_fault(_visit: Visit) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


def _stop(_visit: Visit) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    # Another thread may take the signal; until it does, this one would go on and return.
    time.sleep(3600)


ENDED = {
    "_exit": _way(lambda _: os._exit(7), "ProcessDied", by_process=True),
    "exit 0": _way(lambda _: os._exit(0), "ProcessDied", by_process=True),
    "abort": _way(lambda _: os.abort(), "ProcessDied", by_process=True),
    "killed": _way(lambda _: os.kill(os.getpid(), signal.SIGKILL), "ProcessDied", by_process=True),
    "segmentation fault": _way(_segmentation_fault, "ProcessDied", by_process=True),
    "stopped": _way(_stop, "ProcessDied", by_process=True),
    "never returns": _way(lambda _: time.sleep(3600), "ProcessDied", by_process=True),
    "never returns, async": _way(lambda _: asyncio.sleep(3600), "ProcessDied", by_process=True),
    "spins": _way(_spin, "ProcessDied", by_process=True),
    # It holds the interpreter's lock: no other thread of its process runs.
    "a pattern without end": _way(
        lambda _: re.match(r"(a+)+$", "a" * 64 + "b"),
        "ProcessDied",
        by_process=True,
    ),
    "exits": _way(lambda _: sys.exit(3), "SystemExit"),
    "a terminal's Ctrl-C": _way(_raising(KeyboardInterrupt), "KeyboardInterrupt", by_process=True),
    "takes long": _way(lambda _: time.sleep(2.0), ""),
}

# What it does to this database, and to others


def _insert(visit: Visit, name: str) -> None:
    visit.connection.execute(sql("insert into met (name) values (?)"), [name])


def _twice(visit: Visit) -> None:
    _insert(visit, visit.name)


def _without_parent(visit: Visit) -> None:
    visit.connection.execute(sql("insert into child (parent) values (?)"), ["nobody"])


def _hidden_failure(visit: Visit) -> None:
    try:
        visit.connection.execute("select * from no_such_table")
    except (sqlite3.Error, psycopg.Error):
        return


def _temporary_table(visit: Visit) -> None:
    visit.connection.execute("create temp table mine (a int)")
    visit.connection.execute("create temp table mine (a int)")


def _other_is_locked(visit: Visit) -> None:
    if IS_SQLITE:
        with closing(sqlite3.connect(visit.other, isolation_level=None)) as holder:
            holder.execute("begin exclusive")
            with closing(sqlite3.connect(visit.other, timeout=0.0)) as waiting:
                waiting.execute("create table held (a)")
        return
    with psycopg.connect(visit.other) as holder, psycopg.connect(visit.other) as waiting:
        holder.execute("select pg_advisory_xact_lock(5)")
        waiting.execute("set lock_timeout to 20")
        waiting.execute("select pg_advisory_xact_lock(5)")


def _own_second_connection(visit: Visit) -> None:
    """Wait for what this very transaction holds."""
    _insert(visit, f"{visit.name} twice")
    if IS_SQLITE:
        file = visit.connection.execute("pragma database_list").fetchone()[2]
        with closing(sqlite3.connect(file, timeout=0.0)) as second:
            second.execute("insert into met (name) values ('second')")
        return
    with psycopg.connect(visit.connection.info.dsn, password=visit.connection.info.password) as second:
        second.execute("set statement_timeout to 20")
        second.execute("insert into met (name) values (%s)", [f"{visit.name} twice"])


def _other_is_away(visit: Visit) -> None:
    if IS_SQLITE:
        sqlite3.connect(Path(visit.other).parent / "no folder" / "other.sqlite")
    psycopg.connect("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=1)


def _other_reads_only(visit: Visit) -> None:
    if IS_SQLITE:
        with closing(sqlite3.connect(f"file:{visit.other}?mode=ro", uri=True)) as other:
            other.execute("create table held (a)")
        return
    with psycopg.connect(visit.other, options="-c default_transaction_read_only=on") as other:
        other.execute("create table held (a int)")


def _other_is_full(visit: Visit) -> None:
    with closing(sqlite3.connect(":memory:")) as other:
        other.execute("pragma max_page_count=1")
        other.execute("create table held (a)")


LOCKED = ("OperationalError", "LockNotAvailable", "QueryCanceled")
STORED = {
    "a constraint": _way(lambda visit: (_insert(visit, "x"), _insert(visit, "x")), "IntegrityError", "UniqueViolation"),
    "a deferred constraint": _way(_without_parent, "IntegrityError", "ForeignKeyViolation"),
    "no such table": _way(
        lambda visit: visit.connection.execute("select * from no_such_table"), "OperationalError", "UndefinedTable"
    ),
    "a failure that it hides": _way(_hidden_failure, "", "InFailedSqlTransaction", "InternalError"),
    "the same row again": _way(_twice, "IntegrityError", "UniqueViolation"),
    "a temporary table twice": _way(_temporary_table, "OperationalError", "DuplicateTable"),
    "commit": _way(lambda visit: visit.connection.commit(), "HandlerEndedTransaction"),
    "rollback": _way(lambda visit: visit.connection.rollback(), "HandlerEndedTransaction"),
    "text with NUL": _way(lambda visit: _insert(visit, "a\0b"), "", "DataError"),
    "text with surrogates": _way(lambda visit: _insert(visit, "a\udcffb"), "UnicodeEncodeError"),
    "another database that is locked": _way(_other_is_locked, *LOCKED),
    "its own database, on a second connection": _way(_own_second_connection, *LOCKED),
    "another database that is away": _way(_other_is_away, "OperationalError"),
    "another database that reads only": _way(_other_reads_only, "OperationalError", "ReadOnlySqlTransaction"),
    "another database that is full": _way(_other_is_full, "OperationalError"),
}

# What it publishes, schedules and reads


def _publish(*values: Any, name: str = "answer") -> Callable[[Visit], object]:
    return lambda visit: [visit.unit_of_work.publish(Answered(name=name, value=value)) for value in values]


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


class _NoText(str):
    """A key whose text cannot be made."""

    def __str__(self) -> str:
        raise ZeroDivisionError("this key has no text")

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise ZeroDivisionError("this key has no bytes")


def _schedule(**moment: Any) -> Callable[[Visit], object]:
    return lambda visit: visit.unit_of_work.schedule(Later(name=visit.name), **moment)


BOMB = b"<!DOCTYPE a [<!ENTITY b 'b'><!ENTITY c '&b;&b;&b;&b;'>]><a><Answered><Name>&c;</Name></Answered></a>"
PUBLISHED = {
    "very many events": _way(_publish(*range(3_000)), ""),
    "a stranger's event": _way(lambda visit: visit.unit_of_work.publish(Stranger()), "ForeignEvent"),
    "no event": _way(lambda visit: visit.unit_of_work.publish(7), "ForeignEvent"),  # pyright: ignore[reportArgumentType]
    "a deep event": _way(_publish(_nested(100)), "InvalidEvent"),
    "a bottomless event": _way(_publish(_nested(50_000)), "InvalidEvent"),
    "a huge event": _way(_publish("x" * 1_000_000), "EventTooLarge"),
    "no number": _way(_publish(float("nan")), "InvalidEvent"),
    "what is no JSON": _way(_publish(object()), "InvalidEvent"),
    "a time without zone": _way(_publish(datetime(2026, 1, 1)), "InvalidEvent"),
    "a key with NUL": _way(_publish(1, name="a\0b"), "InvalidEvent"),
    "a long key": _way(_publish(1, name="k" * 5_000), "InvalidEvent"),
    "a key with surrogates": _way(_publish(1, name="a\udcffb"), "InvalidEvent"),
    "no key": _way(_publish(1, name=None), "InvalidEvent"),  # pyright: ignore[reportArgumentType]
    "a key that raises": _way(_publish(1, name=_NoText()), "InvalidEvent", "ZeroDivisionError"),  # pyright: ignore[reportArgumentType]
    "a key that is empty": _way(_publish(1, name=""), ""),
    "a command without a time": _way(_schedule(), "UsageError"),
    "a command of long ago": _way(_schedule(at=datetime(1, 1, 1, tzinfo=UTC)), ""),
    "a command at the end of time": _way(_schedule(at=datetime.max.replace(tzinfo=UTC)), ""),
    "a command beyond time": _way(_schedule(after=timedelta.max), "UsageError", "OverflowError"),
    "a command that fails": _way(
        lambda visit: visit.unit_of_work.schedule(Later(name=visit.name, way="fails"), after=timedelta(0)),
        "",
        "RuntimeError",
    ),
    "an unknown command": _way(lambda visit: visit.unit_of_work.cancel(uuid4()), ""),
    "a bomb of XML": _way(lambda _: read_xml(BOMB, {"answered": Answered}, uuid4), "Undecodable"),
    "brackets of JSON": _way(lambda _: read_json(b"[" * 100_000, {}, uuid4), "Undecodable"),
    "an identifier of the wrong type": _way(
        lambda visit: visit.unit_of_work.cancel("no id"),  # pyright: ignore[reportArgumentType]
        "AttributeError",
    ),
}
RAISING = {
    **{
        f"raises {name[:40]}": _way(_raising(make), name)
        for name, make in RAISED.items()
        if name != "KeyboardInterrupt"
    },
    # Python itself says so of a coroutine that raises it.
    "raises StopIteration": _way(_raising(StopIteration), "StopIteration", "RuntimeError"),
    "raises a chain": _way(_raising(lambda: chain(3_000)), "ValueError"),
    "raises a ring": _way(_raising(ring), "ValueError"),
    "raises with notes": _way(_raising(noted), "ValueError"),
    "recurses without end": _way(lambda _: recurse(), "RecursionError"),
}
ANYTHING = frozenset({"anything"})
"""What is done to its own connection is refused, or fails, or is the handler's own business."""


def _misusing(act: Callable[[Any], object]) -> Way:
    def acted(visit: Visit) -> None:
        act(visit.connection)

    return Way(acted, ANYTHING)


MISUSING = {f"its connection: {name}": _misusing(act) for name, act in MISUSES.items()}
RECORDS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no envelope": (lambda _: b"\x00 not json", "Undecodable"),
    "nothing": (lambda _: b"", "Undecodable"),
    "a deep body": (lambda body: body.replace(b'"way":""', b'"way":' + b"[" * 9_000 + b"]" * 9_000), "Undecodable"),
    "a bottomless body": (lambda _: b"[" * 100_000, "Undecodable"),
    "a huge body": (lambda body: body.replace(b'"way":""', b'"way":"%s"' % (b"x" * 2_000_000)), "Void"),
    "another type of field": (lambda body: body.replace(b'"way":""', b'"way":7'), "Undecodable"),
    "no field": (lambda body: body.replace(b'"name"', b'"nmae"'), "Undecodable"),
    "an unknown type": (lambda body: body.replace(b"sales.Seen", b"sales.Unseen"), "skipped"),
    "a type with NUL": (lambda body: body.replace(b"sales.Seen", b"sales.Se\\u0000n"), "Undecodable"),
    "a newer version": (lambda body: body.replace(b'"data"', b'"version":9,"data"'), ""),
    "a version that is no number": (lambda body: body.replace(b'"data"', b'"version":"x","data"'), "Undecodable"),
    "no UTF-8": (lambda body: body.replace(b'"way":""', b'"way":"\xff"'), "Undecodable"),
    "another publisher's": (lambda body: body.replace(b"sales.Seen", b"plain.Answered"), "passed"),
}
"""What is done to a record before it is sent, and the error of its dead letter; "" where it is handled, or passed."""
GROUPS = {
    "raises": RAISING,
    "leaves": LEFT,
    "changes": CHANGED,
    "ends": ENDED,
    "stores": STORED,
    "publishes": PUBLISHED,
    "misuses": MISUSING,
}
WAYS = {f"{group}: {name}": way for group, ways in GROUPS.items() for name, way in ways.items()}
"""All of them, by name."""
