"""The tables of a PostgreSQL log, and their version."""

from __future__ import annotations

from importlib import resources
from typing import Any

from preterite.errors import SchemaTooNew

VERSION = 1
"""The version of the tables that `schema.sql` makes; this program uses no later one."""
_IS_MADE = "SELECT 1 WHERE to_regclass('preterite_log.migration') IS NOT NULL"
_VERSION = "SELECT max(number) FROM preterite_log.migration"
# Any role may take an advisory lock, but no other role than the owner this one of a table: none holds up the owner.
_LOCK_NEW = "SELECT pg_advisory_xact_lock(hashtext('preterite_log'))"
_LOCK = "LOCK TABLE preterite_log.identity IN SHARE ROW EXCLUSIVE MODE"


def make_tables(cursor: Any, place: str) -> None:
    """Make the tables if there are none; raises `SchemaTooNew`, and makes nothing, if they are of a later version."""
    if not _is_made(cursor, place):
        cursor.execute(_LOCK_NEW)
        cursor.execute(_script(), prepare=False)


def renew_tables(cursor: Any, place: str) -> None:
    """Make the tables, or make their functions and policies again, as their owner; raises the same."""
    cursor.execute(_LOCK if _is_made(cursor, place) else _LOCK_NEW)
    cursor.execute(_script(), prepare=False)


def lock_tables(cursor: Any) -> None:
    """Let one transaction at a time write the log's identity, until it ends."""
    cursor.execute(_LOCK)


def _is_made(cursor: Any, place: str) -> bool:
    if cursor.execute(_IS_MADE).fetchone() is None:
        return False
    found = cursor.execute(_VERSION).fetchone()[0] or 0
    if found > VERSION:
        raise SchemaTooNew(f"The log {place}", found, VERSION)
    return True


def _script() -> str:
    return resources.files("preterite.log.postgres").joinpath("schema.sql").read_text(encoding="utf-8")
