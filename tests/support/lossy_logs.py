"""What logs must not do and sometimes do: lose what was confirmed, take what comes too late."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import psycopg

from preterite.log.contract import Log, Record, Stream
from preterite.log.memory import MemoryLog
from preterite.log.postgres.log import PostgresLog
from preterite.log.sqlite.log import SqliteLog

_LOSE = "delete from {record} where stream = (select id from {stream} where publisher = ? and partition = ?)"
_AGE = """
update {record} set appended_at = 0
where stream = (select id from {stream} where publisher = ? and partition = ?)"""
_SHORTEN = """
update {stream} set last_number = (select coalesce(max(number), 0) from {record} r where r.stream = {stream}.id)
where publisher = ? and partition = ?
"""
_REPLACE = "update {record} set body = ? where number = ?"
_ADD = """
insert into {record} (stream, number, kind, epoch, event_id, appended_at, body)
select id, ?, ?, ?, ?, 0, ? from {stream} where publisher = ? and partition = ?
"""
_ADVANCE = "update {stream} set last_number = ? where publisher = ? and partition = ? and last_number < ?"


def lose(log: Log, stream: Stream, numbers: Sequence[int]) -> None:
    """What restoring an older backup does to the end of a stream, or a broken disk to its middle."""
    if isinstance(log, MemoryLog):
        log.lose(stream, numbers)
        return
    for number in numbers:
        _write(log, f"{_LOSE} and number = ?", (*stream, number))
    _write(log, _SHORTEN, stream)


def age(log: Log, stream: Stream, numbers: Sequence[int]) -> None:
    """Let these records have been appended long ago."""
    if isinstance(log, MemoryLog):
        log.age(stream, numbers)
        return
    for number in numbers:
        _write(log, f"{_AGE} and number = ?", (*stream, number))


def arrive_late(log: Log, record: Record) -> None:
    """Take a record without looking at its epoch, as a log that cannot refuse an overtaken writer does."""
    if isinstance(log, MemoryLog):
        log.arrive_late(record)
        return
    values = (record.number, record.kind, record.epoch, record.event_id, record.body)
    _write(log, _ADD, (*values, *record.stream))
    _write(log, _ADVANCE, (record.number, *record.stream, record.number))


def spoil(log: Log, number: int, body: bytes) -> None:
    """Let what stands under this number be something else."""
    _write(log, _REPLACE, (body, number))


def _write(log: Log, statement: str, values: Sequence[Any]) -> None:
    if isinstance(log, SqliteLog):
        with sqlite3.connect(log.path) as connection:
            connection.execute(statement.format(record="log_record", stream="log_stream"), values)
        connection.close()
        return
    assert isinstance(log, PostgresLog), "one of the logs that a test can reach into"
    words = statement.replace("?", "%s").format(record="preterite_log.record", stream="preterite_log.stream")
    with psycopg.connect(log.place.conninfo) as connection:
        connection.execute(words.encode(), values)
