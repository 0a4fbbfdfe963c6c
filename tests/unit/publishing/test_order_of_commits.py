"""Promise 4 at its source: of two units of work that lock a common row, the events are in the order of the commits."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from support import postgres

from preterite import Component, Event, System
from preterite.testing import started


class Bought(Event, key="customer"):
    customer: str
    place: int


TABLE = "create table account (id text primary key, n int); insert into account values ('anna', 0)"


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("is_own", [False, True], ids=["connection", "own connection"])
def test_publishing_before_the_common_lock_is_taken_does_not_change_the_order(*, is_own: bool) -> None:
    sales = Component("sales", publishes=[Bought], tables=TABLE)
    published, go_on = threading.Event(), threading.Event()
    with postgres.databases() as make, started(System("shop", [sales]), databases={"sales": make("sales")}) as shop:

        def next_place(connection: Any) -> int:
            return connection.execute("update account set n = n + 1 where id = 'anna' returning n").fetchone()[0]

        def slow() -> None:
            opened = psycopg.connect(make("sales")) if is_own else shop.connection(sales)
            with opened as connection:
                with sales.unit_of_work(connection) as unit_of_work:
                    unit_of_work.publish(Bought(customer="anna", place=2))
                    published.set()
                    go_on.wait()
                    assert next_place(connection) == 2

        thread = threading.Thread(target=slow)
        thread.start()
        published.wait()
        with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(Bought(customer="anna", place=next_place(connection)))
        go_on.set()
        thread.join()
        shop.settle()

        assert [event.place for event in shop.published(Bought)] == [1, 2]
