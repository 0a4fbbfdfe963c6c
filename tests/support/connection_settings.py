"""What a handler may set on its connection for its own use, on SQLite and PostgreSQL, and how to see that it is set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg

from support.any_store import IS_SQLITE


class Setting(NamedTuple):
    """One of them: how it is set, and a query whose first value is true while it is."""

    act: Callable[[Any], object]
    query: str


def _run(*statements: str) -> Callable[[Any], object]:
    def act(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement)

    return act


def _setting(*statements: str) -> Setting:
    return Setting(_run(*statements), "SELECT current_setting('preterite_test.tenant', true) = 'a'")


def _set_by_parameters(connection: Any) -> None:
    connection.execute("SELECT set_config(%s, %s, %s)", ["preterite_test.tenant", "a", True])


def _make_function(connection: Any) -> None:
    connection.create_function("mine", 0, lambda: 1)


def _make_collation(connection: Any) -> None:
    connection.create_collation("mine", _compared)


def _compared(one: str, other: str) -> int:
    return (one > other) - (one < other)


_ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 77"
_TEMPORARY = "SELECT count(*) FROM sqlite_temp_master"
_POSTGRES = {
    "set local": _setting("SET LOCAL preterite_test.tenant TO 'a'"),
    "set": _setting("SET preterite_test.tenant TO 'a'"),
    "set after a comment": _setting("/* whose */ -- it is\n SET SESSION preterite_test.tenant = 'a'"),
    "set among others": _setting("SELECT 1; SET preterite_test.tenant TO 'a'; SELECT 2"),
    "set_config of the transaction": _setting("SELECT set_config('preterite_test.tenant', 'a', true)"),
    "set_config of the session": _setting("SELECT set_config('preterite_test.tenant', 'a', false)"),
    "set_config in a condition": _setting("SELECT 1 WHERE set_config ( 'preterite_test.tenant' , 'a' , false ) = 'a'"),
    "set_config with parameters": Setting(
        _set_by_parameters, "SELECT current_setting('preterite_test.tenant', true) = 'a'"
    ),
    "a block": _setting("DO $$ BEGIN PERFORM set_config('preterite_test.tenant', 'a', false); END $$"),
    "search_path": Setting(
        _run("SET LOCAL search_path TO public, pg_catalog"),
        "SELECT current_setting('search_path') = 'public, pg_catalog'",
    ),
    "time zone": Setting(_run("SET TIME ZONE 'Asia/Tokyo'"), "SELECT current_setting('timezone') = 'Asia/Tokyo'"),
    "an advisory lock": Setting(_run("SELECT pg_advisory_lock(77)"), _ADVISORY),
    "an advisory lock that is tried": Setting(_run("SELECT pg_try_advisory_lock_shared(77)"), _ADVISORY),
    "prepare": Setting(
        _run("PREPARE mine AS SELECT 1"), "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'"
    ),
    "a temporary table": Setting(
        _run("CREATE TEMP TABLE kept (a int)"), "SELECT to_regclass('pg_temp.kept') IS NOT NULL"
    ),
    "a temporary view": Setting(
        _run("CREATE OR REPLACE TEMPORARY VIEW kept AS SELECT 1"), "SELECT to_regclass('pg_temp.kept') IS NOT NULL"
    ),
    "select into": Setting(_run("SELECT 1 AS a INTO TEMP kept"), "SELECT to_regclass('pg_temp.kept') IS NOT NULL"),
}
_SQLITE = {
    "a temporary table": Setting(_run("CREATE TEMP TABLE kept (a)"), _TEMPORARY),
    "a temporary view": Setting(_run("CREATE TEMP VIEW kept AS SELECT 1"), _TEMPORARY),
    "a temporary trigger": Setting(
        _run("CREATE TEMP TRIGGER kept AFTER INSERT ON main.bill BEGIN SELECT 1; END"), _TEMPORARY
    ),
    "attach": Setting(
        _run("ATTACH ':memory:' AS other"), "SELECT count(*) FROM pragma_database_list WHERE name = 'other'"
    ),
    "late foreign keys": Setting(_run("PRAGMA defer_foreign_keys = 1"), "PRAGMA defer_foreign_keys"),
    "a function": Setting(_make_function, "SELECT count(*) FROM pragma_function_list WHERE name = 'mine'"),
    "a collation": Setting(_make_collation, "SELECT count(*) FROM pragma_collation_list WHERE name = 'mine'"),
}
SETTINGS = _SQLITE if IS_SQLITE else _POSTGRES
"""Ways to set something, by name."""


def is_set(how: str, connection: Any) -> bool:
    """Whether it is set here."""
    with suppress(sqlite3.OperationalError, psycopg.Error):
        return bool(connection.execute(SETTINGS[how].query).fetchone()[0])
    return False
