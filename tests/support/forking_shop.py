"""An application that is loaded once and forked afterwards, as gunicorn does with --preload.

`python -m support.forking_shop HOW` ends with the number of its processes in which something was wrong. Its databases
are wherever PRETERITE_…_URL says.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from preterite import OpenSystem
from preterite.composition import Composer, Page, Parts
from preterite.composition.pools import CALLS_AT_A_TIME
from preterite.errors import UsageError
from support import process_shop
from support.any_store import own_url, sql
from support.process_shop import sales, system

CHILDREN = 3
UNITS = 15
"""Units of work of each process."""
INSERT = sqlalchemy.text("insert into purchase values (:id)")


def buy(shop: OpenSystem) -> None:
    """One purchase, in a session."""
    with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
        purchase = uuid4()
        session.execute(INSERT, {"id": str(purchase)})
        unit_of_work.publish(process_shop.purchased(purchase, uuid4()))


def buy_many(shop: OpenSystem) -> None:
    """Many, in sessions and on bare connections, with a look at the status between."""
    for _ in range(UNITS):
        buy(shop)
        with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            purchase = uuid4()
            connection.execute(sql("insert into purchase values (?)"), [str(purchase)])
            unit_of_work.publish(process_shop.purchased(purchase, uuid4()))
        shop.status()


def is_refused(given: Any) -> None:
    """A unit of work on what another process has opened."""
    with pytest.raises(UsageError, match="opened by another process"), sales.unit_of_work(given):
        pass


def fork(act: Callable[[], None]) -> int:
    """Run this in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        act()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.exit(0)  # with all that Python does at its end


def use_after_fork(shop: OpenSystem) -> int:
    """Parent and children work with the open system at the same time."""
    children = [fork(partial(buy_many, shop)) for _ in range(CHILDREN)]
    buy_many(shop)
    return faults_of(children)


def use_across_fork(shop: OpenSystem) -> int:
    """A child goes on with what its parent has open, and with an engine that the parent has made itself and used."""
    own_engine = sqlalchemy.create_engine(own_url(shop.databases["sales"]))
    with Session(own_engine) as session, sales.unit_of_work(session):
        pass
    with shop.connection(sales) as connection, Session(own_engine) as own:
        faults = faults_of([fork(partial(is_refused, given)) for given in (connection, own)])
        with sales.unit_of_work(connection):
            pass
    own_engine.dispose()
    return faults


def view_after_fork(shop: OpenSystem) -> int:
    """A page is composed before the fork, in all threads that there are, some of which are still busy at it."""
    parts = Parts(sales)
    arrived, leave = threading.Semaphore(0), threading.Event()

    @parts.part(fallback="Not now.")
    def count(connection: sqlalchemy.Connection) -> int:
        return connection.scalar(sqlalchemy.text("select count(*) from purchase")) or 0

    @parts.part(fallback="Not now.")
    def busy(connection: sqlalchemy.Connection) -> None:
        arrived.release()
        leave.wait()

    page, busy_page = Page("count", parts=[count]), Page("busy", parts=[busy])

    def view(composer: Composer) -> None:
        for _ in range(CALLS_AT_A_TIME + 1):
            assert composer.compose(page)["count"].value > 0

    def view_and_close(composer: Composer) -> None:
        view(composer)
        composer.close()

    with Composer(shop, [page, busy_page], optional_seconds=10) as composer:
        before = [threading.Thread(target=composer.compose, args=[busy_page]) for _ in range(CALLS_AT_A_TIME)]
        for thread in before:
            thread.start()
        for _ in before:
            arrived.acquire()
        children = [fork(partial(view_and_close, composer)), fork(composer.close), fork(partial(view, composer))]
        leave.set()
        for thread in before:
            thread.join()
        faults = faults_of(children)
        view(composer)
    return faults


def close_unused(shop: OpenSystem) -> int:
    """A child closes what it never used: that is nothing of its own."""
    faults = faults_of([fork(shop.close)])
    shop.status()
    return faults


def faults_of(children: list[int]) -> int:
    """Wait for the children; in how many of them something was wrong."""
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


def main(how: str) -> int:
    """Use everything, so that connections are open; fork; and use it again."""
    with system.open(create_tables=True) as shop:
        buy(shop)
        shop.settle()
        faults = {"after": use_after_fork, "across": use_across_fork, "unused": close_unused, "pages": view_after_fork}[
            how
        ](shop)
        buy(shop)
        shop.settle()
    return faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
