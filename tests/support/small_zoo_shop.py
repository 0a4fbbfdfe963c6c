"""A small zoo beside the large one: what depends on time, on versions and on a neighbour's database.

With SMALL_ZOO=1 in the environment leases are short, and the databases of two components refuse to be written.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from preterite import Component, Event, Recoverability, System, Tick, leases
from preterite.drivers import sqlite as sqlite_file
from preterite.hosting import host
from support.any_store import IS_SQLITE, Connection, sql

TIME_LIMIT_SECONDS = 9.0
LEASE_SECONDS = 3.0
"""A slow machine renews leases late; where one is lost while its handler runs alone, that counts as a death."""
DEATHS_MAX = 2
"""So a handler may lose its lease once."""
REFUSING = {"full": "pragma max_page_count=1", "reads_only": "pragma query_only=1"}
"""By component: the setting of SQLite under which its file cannot be written."""
ONCE = Recoverability(immediate_retries=0, delayed_retries=0, process_deaths_max=DEATHS_MAX)
TABLES = sql("create table met (name text primary key); create table ballast (content blob)").replace(
    "blob", "blob" if IS_SQLITE else "bytea"
)


class Before(Event, key="name", name="Priced"):
    """As it was."""

    name: str
    pounds: int


class Now(Event, key="name", name="Priced", version=2):
    """As it is now."""

    name: str
    pence: int


class Seen(Event, key="name"):
    name: str
    way: str = ""


def _subscriber(name: str) -> Component:
    return Component(name, tables=TABLES, recoverability=ONCE, time_limit_seconds=TIME_LIMIT_SECONDS)


sales = Component("sales", publishes=[Seen, Now])
timed, ticking, reading = _subscriber("timed"), _subscriber("ticking"), _subscriber("reading")
full, reads_only = _subscriber("full"), _subscriber("reads_only")
system = System("small_zoo", [sales, timed, ticking, reading, full, reads_only])


def _insert(connection: Connection, name: str) -> None:
    connection.execute(sql("insert into met (name) values (?)"), [name])


@timed.handles(Seen)
def take_time(event: Seen, connection: Connection) -> None:
    _insert(connection, event.name)
    if event.way == "beyond its lease":
        time.sleep(1.5 * LEASE_SECONDS)
    while event.way == "spins":
        pass


@full.handles(Seen)
def keep(event: Seen, connection: Connection) -> None:
    connection.execute(sql("insert into ballast (content) values (?)"), [b"x" * 20_000])
    _insert(connection, event.name)


@ticking.handles(Seen)
@reads_only.handles(Seen)
def note(event: Seen, connection: Connection) -> None:
    _insert(connection, event.name)


@ticking.daily()
def close(tick: Tick) -> None:
    raise ZeroDivisionError(f"{tick.at:%A} cannot be closed")


@ticking.monthly()
def count(tick: Tick, connection: Connection) -> None:
    _insert(connection, "a month")


@reading.upcasts(Before, to=Now)
def in_pence(old: Before) -> Now:
    if old.pounds < 0:
        raise ZeroDivisionError("nothing costs less than nothing")
    return Now(name=old.name, pence=old.pounds * 100)


@reading.handles(Now)
def price(event: Now, connection: Connection) -> None:
    _insert(connection, event.name)


def _refuse_writing() -> None:
    configure = sqlite_file.configure

    def configuring(connection: Any) -> None:
        configure(connection)
        file = connection.execute("pragma database_list").fetchall()[0][2]
        connection.execute(REFUSING.get(Path(file).stem, "pragma foreign_keys=on")).fetchall()

    sqlite_file.configure = configuring


if os.environ.get("SMALL_ZOO"):
    _refuse_writing()
    for module in (leases, host):
        vars(module).update(LEASE_SECONDS=LEASE_SECONDS, RENEW_SECONDS=LEASE_SECONDS / 4)
    leases.TRUST_SECONDS = LEASE_SECONDS * 3 / 4
