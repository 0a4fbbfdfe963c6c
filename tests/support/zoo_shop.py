"""The zoo as a system: Sales publishes, and components of each kind handle it beside neighbours that are in trouble.

`python -m support.zoo_shop` has everything that Sales has published handled by `settle`, in a process of its own.
"""

from __future__ import annotations

import inspect
import json
import os
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from preterite import (
    Command,
    Component,
    Event,
    Recoverability,
    Saga,
    System,
    UnitOfWork,
    joined_by,
    started_by,
    timeout,
)
from support.any_store import Connection, sql
from support.zoo import GROUPS, WAYS, Answered, Later, Refusing, Seen, Visit

TIME_LIMIT_SECONDS = 8.0
NEIGHBOURS = [f"neighbour {number}" for number in range(20)]
ONCE = Recoverability(immediate_retries=0, delayed_retries=0, process_deaths_max=1)
TABLES = sql(
    "create table met (name text primary key); create table parent (name text primary key);"
    "create table child (parent text references parent (name) deferrable initially deferred)"
)
INSERT = text("insert into met (name) values (:name)")
OTHER = os.environ.get("PRETERITE_TEST_OTHER", "")
DONE_BY = {
    "plain": tuple(GROUPS),
    "in_session": ("raises", "leaves", "changes", "stores", "misuses"),
    "in_async": ("raises", "leaves", "changes"),
}
"""What each component does: only one ends its process, and a session for asyncio has no plain connection."""


def _subscriber(name: str) -> Component:
    return Component(name, tables=TABLES, recoverability=ONCE, time_limit_seconds=TIME_LIMIT_SECONDS)


class SagaSeen(Event, key="name"):
    name: str
    way: str = ""


class SagaJoined(Event, key="name"):
    name: str
    way: str = ""


class Due(Command):
    """A saga's timeout."""


sales = Component(
    "sales", publishes=[Seen, Refusing, SagaSeen, SagaJoined], tables=sql("create table sold (name text primary key)")
)
plain = Component(
    "plain", publishes=[Answered], tables=TABLES, recoverability=ONCE, time_limit_seconds=TIME_LIMIT_SECONDS
)
in_session, in_async, deciding = _subscriber("in_session"), _subscriber("in_async"), _subscriber("deciding")
away, locked, tableless = _subscriber("away"), _subscriber("locked"), _subscriber("tableless")
system = System("zoo", [sales, plain, in_session, in_async, deciding, away, locked, tableless])


def does(component: str, way: str) -> bool:
    """Whether this component's handler does it; the others only note the event."""
    return way.partition(":")[0] in DONE_BY[component]


def _act(component: str, event: Seen, connection: Any, unit_of_work: UnitOfWork) -> object:
    if not does(component, event.way):
        return None
    outcome = WAYS[event.way].act(Visit(event.name, connection, unit_of_work, OTHER))
    return outcome if inspect.isawaitable(outcome) or event.way.startswith("leaves") else None


@plain.handles(Seen)
def see(event: Seen, connection: Connection, unit_of_work: UnitOfWork) -> Any:
    connection.execute(sql("insert into met (name) values (?)"), [event.name])
    return _act("plain", event, connection, unit_of_work)


@in_session.handles(Seen)
def see_in_session(event: Seen, session: Session, unit_of_work: UnitOfWork) -> Any:
    outcome = _act("in_session", event, session.connection().connection.driver_connection, unit_of_work)
    session.execute(INSERT, {"name": event.name})
    return outcome


@in_async.handles(Seen)
async def see_in_async(event: Seen, session: AsyncSession, unit_of_work: UnitOfWork) -> Any:
    await session.execute(INSERT, {"name": event.name})
    return _act("in_async", event, None, unit_of_work)


@plain.handles(Later)
def do_later(command: Later) -> None:
    if command.way == "fails":
        raise RuntimeError("the command fails")


@plain.handles(Refusing)
def read(event: Refusing) -> None:
    """Never called: the event cannot be read."""


@away.handles(Seen)
@locked.handles(Seen)
@tableless.handles(Seen)
def note(event: Seen, connection: Connection) -> None:
    connection.execute(sql("insert into met (name) values (?)"), [event.name])


SAGA_WAYS = {
    "start": "ZeroDivisionError",
    "join": "ZeroDivisionError",
    "timeout": "ZeroDivisionError",
    "state": "TypeError",
    "missing": "SagaMissing",
    "complete twice": "",
}
"""Where a saga is bad, and the error of the dead letter."""


@deciding.saga
class Bad(Saga, by="name"):
    name: str
    way: str = ""
    state: Any = None

    @started_by(SagaSeen)
    def start(self, event: SagaSeen, unit_of_work: UnitOfWork) -> None:
        self.way = event.way
        unit_of_work.schedule(Due(), after=timedelta(0))
        if event.way == "start":
            raise ZeroDivisionError(event.name)
        if event.way == "state":
            self.state = object()
        if event.way == "complete twice":
            self.complete()
            self.complete()

    @joined_by(SagaJoined)
    def join(self, event: SagaJoined) -> None:
        if event.way == "join":
            raise ZeroDivisionError(event.name)

    @timeout(Due)
    def end(self, command: Due) -> None:
        if self.way == "timeout":
            raise ZeroDivisionError(self.name)


def main() -> None:
    """Settle, and print what could not be settled as one line of JSON."""
    with system.open(only=[*DONE_BY, "sales", "deciding"]) as opened:
        opened.settle(failures="park")
    print(json.dumps("settled"))


if __name__ == "__main__":
    main()
