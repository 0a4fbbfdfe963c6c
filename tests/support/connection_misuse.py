"""What a handler may do to the connection that it works on, though it is the batch's: SQLite's ways and PostgreSQL's.

Each is done once, by one handler; a few are its own business and succeed.
"""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from support.any_store import IS_SQLITE

Misuse = Callable[[Any], object]
_kept: list[object] = []
"""What handlers have left open."""


def _run(*statements: str) -> Misuse:
    def act(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement)

    return act


def _set(name: str, value: object) -> Misuse:
    return lambda connection: setattr(connection, name, value)


def _keep(opened: Callable[[Any], object]) -> Misuse:
    return lambda connection: _kept.append(opened(connection))


def _deny(*_arguments: object) -> int:
    return sqlite3.SQLITE_DENY


def _raise(_statement: object) -> None:
    raise ZeroDivisionError


def _nothing(*_arguments: object) -> None: ...


def _end_idle(connection: Any) -> None:
    """Have the server end the session, and return when it has."""
    connection.execute("SET idle_in_transaction_session_timeout TO 1")
    select.select([connection.fileno()], [], [])


_PRAGMAS = (
    "query_only=1",
    "foreign_keys=1",
    "journal_mode=DELETE",
    "locking_mode=EXCLUSIVE",
    "ignore_check_constraints=1",
    "writable_schema=1",
    "recursive_triggers=1",
    "defer_foreign_keys=1",
    "synchronous=0",
    "busy_timeout=0",
    "temp_store=2",
    "case_sensitive_like=1",
    "count_changes=1",
    "max_page_count=10",
    "cache_size=1",
    "read_uncommitted=1",
    "reverse_unordered_selects=1",
    "legacy_alter_table=1",
    "trusted_schema=0",
    "wal_autocheckpoint=0",
    "secure_delete=1",
)
_SQLITE: dict[str, Misuse] = {
    **{f"pragma {one}": _run(f"PRAGMA {one}") for one in _PRAGMAS},
    "attach": _run("ATTACH ':memory:' AS other"),
    "detach": _run("DETACH main"),
    "vacuum": _run("VACUUM"),
    "drop a table": _run("DROP TABLE bill"),
    "insert or rollback": _run(
        "CREATE TEMP TABLE once (a UNIQUE)", "INSERT INTO once VALUES (1)", "INSERT OR ROLLBACK INTO once VALUES (1)"
    ),
    "a trigger": _run("CREATE TRIGGER no BEFORE INSERT ON bill BEGIN SELECT RAISE(ABORT, 'no'); END"),
    "no isolation level": _set("isolation_level", None),
    "another isolation level": _set("isolation_level", "EXCLUSIVE"),
    "interrupt": lambda connection: connection.interrupt(),
    "no authorizer": lambda connection: connection.set_authorizer(None),
    "an authorizer": lambda connection: connection.set_authorizer(_deny),
    "a progress handler": lambda connection: connection.set_progress_handler(lambda: 1, 1),
    "a trace that raises": lambda connection: connection.set_trace_callback(_raise),
    "close": lambda connection: connection.close(),
    "a limit of text": lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 10),
    "a limit of values": lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1),
    "a function of its own": lambda connection: connection.create_function("coalesce", -1, _nothing),
    "deserialize": lambda connection: connection.deserialize(b""),
    "another database over it": lambda connection: sqlite3.connect(":memory:").backup(connection),
    "an open cursor": _keep(lambda connection: connection.execute("SELECT 1 UNION SELECT 2")),
}
_SETTINGS = (
    "search_path TO nowhere",
    "ROLE pg_monitor",
    "SESSION AUTHORIZATION pg_monitor",
    "statement_timeout TO 1",
    "lock_timeout TO 1",
    "default_transaction_read_only TO on",
    "transaction_read_only TO on",
    "session_replication_role TO replica",
    "row_security TO off",
    "timezone TO 'Asia/Tokyo'",
    "datestyle TO 'German'",
    "client_encoding TO 'LATIN1'",
    "bytea_output TO 'escape'",
    "standard_conforming_strings TO off",
    "idle_in_transaction_session_timeout TO 1",
    "idle_session_timeout TO 1",
    "extra_float_digits TO -15",
    "work_mem TO '64kB'",
    "synchronous_commit TO off",
    "default_transaction_isolation TO serializable",
    "preterite.batch TO 'no'",
)
_POSTGRES: dict[str, Misuse] = {
    **{f"set {one}": _run(f"SET {one}") for one in _SETTINGS},
    **{f"set local {one}": _run(f"SET LOCAL {one}") for one in _SETTINGS},
    "drop a table": _run("DROP TABLE bill"),
    "lock a table": _run("LOCK TABLE bill IN ACCESS EXCLUSIVE MODE"),
    "lock the cursors": _run("LOCK TABLE preterite.cursor IN ACCESS EXCLUSIVE MODE"),
    "discard all": _run("DISCARD ALL"),
    "deallocate": _run("DEALLOCATE ALL"),
    "reset all": _run("RESET ALL"),
    "vacuum": _run("VACUUM"),
    "an advisory lock": _run("SELECT pg_advisory_lock(1)"),
    "be idle for too long": _end_idle,
    "end the session": _run("SELECT pg_terminate_backend(pg_backend_pid())"),
    "cancel the statement": _run("SELECT pg_cancel_backend(pg_backend_pid())"),
    "another isolation level": _run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    "defer constraints": _run("SET CONSTRAINTS ALL DEFERRED"),
    "listen": _run("LISTEN preterite"),
    "notify": _run("NOTIFY preterite_log"),
    "close": lambda connection: connection.close(),
    "no autocommit": _set("autocommit", False),
    "read only": _set("read_only", True),
    "an isolation level of the driver": _set("isolation_level", 4),
    "cancel": lambda connection: connection.cancel(),
    "a pipeline": _keep(lambda connection: connection.pipeline().__enter__()),
    "prepare at once": _set("prepare_threshold", 0),
    "end the driver's connection": lambda connection: connection.pgconn.finish(),
    "an open copy": _keep(lambda connection: connection.cursor().copy("COPY bill TO STDOUT").__enter__()),
    "a cursor of the server": _keep(lambda connection: connection.cursor("one").execute("SELECT 1")),
    "an open stream": lambda connection: next(connection.cursor().stream("SELECT generate_series(1, 1000)")),
    "no dumper for texts": lambda connection: connection.adapters.register_dumper(str, None),
}
MISUSES = _SQLITE if IS_SQLITE else _POSTGRES
"""Ways to misuse a connection, by name."""
SAMPLE = ("pragma query_only=1", "close", "a limit of values") if IS_SQLITE else ("close", "end the session")
"""Those of the quick tier."""


def close_kept() -> None:
    """Let go of what handlers have left open."""
    while _kept:
        with suppress(Exception):
            getattr(_kept.pop(), "close", lambda: None)()
