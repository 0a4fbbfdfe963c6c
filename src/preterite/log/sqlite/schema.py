"""The tables of a SQLite log, and their version."""

from __future__ import annotations

import sqlite3

from preterite.errors import SchemaTooNew
from preterite.log.sqlite import clock as sqlite_clock
from preterite.log.sqlite import databases as sqlite_databases

VERSION = 1
"""The version of the tables that this program makes; it uses no later one."""
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS log_identity (
        id INTEGER PRIMARY KEY CHECK (id = 1), system TEXT NOT NULL, system_id BLOB NOT NULL,
        partitions INTEGER NOT NULL, maintainer BLOB, maintainer_until REAL NOT NULL DEFAULT 0) STRICT""",
    """CREATE TABLE IF NOT EXISTS log_stream (
        id INTEGER PRIMARY KEY, publisher TEXT NOT NULL, partition INTEGER NOT NULL,
        epoch INTEGER NOT NULL, claim BLOB NOT NULL, last_number INTEGER NOT NULL DEFAULT 0,
        forgotten INTEGER NOT NULL DEFAULT 0,
        head_epoch INTEGER, head_number INTEGER, head_id BLOB, head_body BLOB, UNIQUE (publisher, partition)) STRICT""",
    """CREATE TABLE IF NOT EXISTS log_record (
        position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL,
        epoch INTEGER NOT NULL, event_id BLOB NOT NULL, appended_at REAL NOT NULL, body BLOB NOT NULL) STRICT""",
    "CREATE UNIQUE INDEX IF NOT EXISTS log_record_number ON log_record (stream, number)",
    """CREATE TABLE IF NOT EXISTS log_asked (
        publisher TEXT NOT NULL, partition INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (publisher, partition)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS log_migration (number INTEGER PRIMARY KEY) STRICT",
    sqlite_clock.SCHEMA,
    sqlite_databases.SCHEMA,
)
_HAS_VERSION = "SELECT 1 FROM sqlite_schema WHERE name = 'log_migration'"
_VERSION = "SELECT max(number) FROM log_migration"
_NOTE_VERSION = "INSERT INTO log_migration (number) VALUES (?) ON CONFLICT DO NOTHING"


def make_tables(cursor: sqlite3.Cursor, place: str) -> None:
    """Make what is missing of the tables, in the caller's transaction.

    Raises `SchemaTooNew`, and makes nothing, if they are of a later version.
    """
    if cursor.execute(_HAS_VERSION).fetchone() is not None:
        found = cursor.execute(_VERSION).fetchone()[0] or 0
        if found > VERSION:
            raise SchemaTooNew(f"The log {place}", found, VERSION)
    for statement in _SCHEMA:
        cursor.execute(statement)
    cursor.execute(_NOTE_VERSION, (VERSION,))
