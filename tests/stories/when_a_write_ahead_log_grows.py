"""The write-ahead log of a SQLite file stays within its bound, whoever writes, and whether or not a worker runs.

Otherwise a web application that publishes while no worker runs fills the disk, and then nothing can be repaired.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from support.any_store import sqlite_only
from support.shop import Shop, declare, purchased

from preterite import Event, OpenSystem
from preterite.drivers import sqlite as sqlite_file
from preterite.errors import LogAhead
from preterite.log.contract import Record, Stream
from preterite.operations.status import WAL_NOTICE_BYTES

pytestmark = sqlite_only
UNITS = 300
UNIT_BYTES = 40_000
"""What a unit of work writes; all of them write several times what the write-ahead log may hold."""
BOUND_BYTES = sqlite_file.WAL_BYTES_MAX + 4 * UNIT_BYTES
LARGE_BYTES = 250_000
"""Size of a large record of the log."""
INSERT = "insert into large values (randomblob(40000))"


class Place(NamedTuple):
    """A shop whose database is a file, and no worker."""

    shop: Shop
    opened: OpenSystem
    file: Path

    def size(self) -> int:
        return sqlite_file.wal_bytes(self.file)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    shop = declare()
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("sales", "finance", "log")}
    log = urls.pop("log")
    with shop.system.open(databases=urls, log=log, create_tables=True) as opened:
        # A connection that stays open, as in any application: the last one that closes writes everything back.
        with opened.connection(shop.sales) as connection:
            connection.execute("create table large (content blob)")
            yield Place(shop, opened, tmp_path / "sales.sqlite")


def event() -> Event:
    return purchased(str(uuid4()))


def by_units_on(place: Place, connection: sqlite3.Connection) -> int:
    largest = 0
    for _ in range(UNITS):
        with place.shop.sales.unit_of_work(connection) as unit_of_work:
            connection.execute(INSERT)
            unit_of_work.publish(event())
        largest = max(largest, place.size())
    return largest


def by_connection(place: Place) -> int:
    with place.opened.connection(place.shop.sales) as connection:
        return by_units_on(place, connection)


def by_sessions(place: Place) -> int:
    largest = 0
    for _ in range(UNITS):
        with place.opened.session(place.shop.sales) as session, place.shop.sales.unit_of_work(session) as unit_of_work:
            session.execute(sqlalchemy.text(INSERT))
            unit_of_work.publish(event())
        largest = max(largest, place.size())
    return largest


def by_an_own_connection(place: Place) -> int:
    with closing(sqlite3.connect(place.file, isolation_level=None)) as connection:
        return by_units_on(place, connection)


def by_an_own_engine(place: Place) -> int:
    largest = 0
    engine = sqlalchemy.create_engine(f"sqlite:///{place.file}")
    for _ in range(UNITS):
        with Session(engine) as session, place.shop.sales.unit_of_work(session) as unit_of_work:
            session.execute(sqlalchemy.text(INSERT))
            unit_of_work.publish(event())
        largest = max(largest, place.size())
    engine.dispose()
    return largest


def by_sessions_for_asyncio(place: Place) -> int:
    async def publish_all(engine: AsyncEngine | None) -> int:
        largest = 0
        for _ in range(UNITS):
            opened = place.opened.session(place.shop.sales) if engine is None else AsyncSession(engine)
            async with opened as session, place.shop.sales.unit_of_work(session) as unit_of_work:
                await session.execute(sqlalchemy.text(INSERT))
                unit_of_work.publish(event())
            largest = max(largest, place.size())
        if engine is not None:
            await engine.dispose()
        return largest

    own = create_async_engine(f"sqlite+aiosqlite:///{place.file}")
    return max(asyncio.run(publish_all(None)), asyncio.run(publish_all(own)))


@pytest.mark.parametrize(
    "write", [by_connection, by_sessions, by_an_own_connection, by_an_own_engine, by_sessions_for_asyncio]
)
def test_it_stays_within_its_bound_though_no_worker_runs(place: Place, write: Callable[[Place], int]) -> None:
    assert write(place) <= BOUND_BYTES


def test_it_stays_within_its_bound_while_the_relay_refuses(place: Place) -> None:
    stream = Stream("sales", 0)
    place.opened.log.take_over({stream: 0}, 1, b"nonce")
    place.opened.log.append([Record(stream, "event", 1, 1, b"another", b"{}")])
    relay = place.opened.runtime.relay("sales")
    with pytest.raises(LogAhead):
        relay.step()
    largest = by_connection(place)
    relay.close()

    assert largest <= BOUND_BYTES


def test_what_a_reader_holds_back_is_a_notice_until_it_has_ended(place: Place) -> None:
    with closing(sqlite3.connect(place.file, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from large").fetchall()
        with place.opened.connection(place.shop.sales) as connection:
            while place.size() <= WAL_NOTICE_BYTES:
                connection.execute("begin immediate")
                connection.execute("insert into large values (randomblob(1000000))")
                connection.commit()
        held = place.opened.status()["sales"]
        reader.execute("commit")
    by_connection(place)
    ended = place.opened.status()["sales"]

    assert [notice for notice in held.notices if "write-ahead log of 1" in notice]
    assert held.problems == [line for line in held.problems if "write-ahead" not in line]
    assert (ended.notices, place.size() <= BOUND_BYTES) == ([], True)


def test_what_a_reader_holds_back_of_the_log_is_a_notice_until_it_has_ended(place: Place) -> None:
    stream, log = Stream("finance", 0), place.opened.log
    log.take_over({stream: 0}, 1, b"nonce")
    numbers = itertools.count(1)

    def append() -> None:
        number = next(numbers)
        log.append([Record(stream, "event", 1, number, number.to_bytes(16), b"x" * LARGE_BYTES)])

    with closing(sqlite3.connect(place.file.with_name("log.sqlite"), isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from log_record").fetchall()
        while log.wal_bytes() <= WAL_NOTICE_BYTES:
            append()
        held = place.opened.status()
        reader.execute("commit")
    while log.wal_bytes() > BOUND_BYTES:
        append()
    ended = place.opened.status()

    assert [notice[:37] for notice in held["sales"].notices] == ["the log's file has a write-ahead log "]
    assert ended["sales"].notices == []


def test_a_commit_stands_though_the_file_cannot_be_checkpointed_after_it(place: Place) -> None:
    """Another connection is always writing when it is to be checkpointed."""
    sales = place.shop.sales
    with closing(sqlite3.connect(place.file, isolation_level=None)) as other:
        with place.opened.connection(sales) as connection:
            connection.execute("insert into large values (randomblob(5000000))")
            before = place.size()
            other.execute("begin immediate")
            sqlite_file.keep_wal_small(place.file)
            other.execute("rollback")
            with sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(event())
            with sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(event())

    assert before > sqlite_file.WAL_BYTES_MAX >= place.size()


def test_nothing_is_checkpointed_while_another_connection_may_reset_the_log(place: Place) -> None:
    """SQLite 3.7.0 to 3.51.2 can lose commits then, also where only one connection ever checkpoints."""
    with closing(sqlite3.connect(place.file, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute(INSERT)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite_file.checkpoint(place.file, wait_ms=0)
        writer.execute("rollback")
        sqlite_file.checkpoint(place.file, wait_ms=0)
