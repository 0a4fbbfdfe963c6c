"""Where batches come from: history joins live reading only where that stands in the database."""

from __future__ import annotations

import pytest
from support.shop import Shop, declare, publish, purchased

from preterite import Component, System, Tick
from preterite.clock import SystemClock
from preterite.errors import Fenced
from preterite.handling.delivery import Delivery
from preterite.handling.delivery import decode as made_ready
from preterite.handling.sources import DueCommands, History, LiveStreams, StreamProgress
from preterite.leases import Leases, Tenure
from preterite.log.contract import Cursor, Record, Stream
from preterite.store.contract import Store
from preterite.store.rows import SCHEDULED, Replay, ReplayCursor, ScheduledRow
from preterite.testing import StartedSystem, started

FAR = 2e9
REPLAY = Replay(0, ("bill",), True, False, None, None, "running", "", 0, 0.0)


@pytest.mark.rule(7)
def test_history_does_not_join_where_live_reading_stood_by_what_a_worker_remembers() -> None:
    """Live reading has gone on since this worker looked; joining at its old place would leave out what lies between."""
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name) for name in "abc"))
        opened.settle()
        store: Store = opened.databases["finance"].store
        stream = next(one for one in (Stream("sales", p) for p in range(8)) if opened.log.end(one).number)
        reader = opened.log.reader({stream: 0})
        records = [record for record in reader.read(100) if record.kind == "event"]
        reader.close()
        deliveries = [made_ready(opened.topology.subscriptions["finance"], record) for record in records[:2]]
        remembered = {stream: StreamProgress(Cursor(2, records[1].event_id, records[1].epoch))}
        with opened.connection(shop.finance) as connection:
            store.begin(connection)
            number = store.start_replay(connection, REPLAY, {stream: Cursor(0, b"", 0)})
            connection.commit()
            at = {one.stream: one for one in store.replay_cursors(connection)}
            history = History(
                store,
                nothing_held(store, store.handlers(connection)[0]),
                REPLAY._replace(id=number),
                at,
                {},
                remembered,
            )
            store.begin(connection)
            with pytest.raises(Fenced, match="Live reading of sales/"):
                history.settle(connection, deliveries, None)
            connection.rollback()
            still = [one.stream for one in store.replay_cursors(connection)]

        assert still == [stream], "the replay goes on"


@pytest.mark.rule(21)
def test_a_moment_of_a_calendar_makes_the_next_one_wait() -> None:
    sales = Component("sales")

    @sales.cron("0 8 * * *")
    def open_doors(tick: Tick) -> None: ...

    with started(System("shop", [sales])) as opened:
        database, subscriptions = opened.databases["sales"], opened.topology.subscriptions["sales"]
        store = database.store
        with opened.connection(sales) as connection:
            waiting = store.due_scheduled(connection, range(8), FAR, 10)
            assert len(waiting) == 1, "the first moment waits since the start"
            row = waiting[0]
            record = Record(Stream(SCHEDULED, row.partition), "command", 0, row.id, row.token, row.envelope)
            delivery = made_ready(subscriptions, record)
            asked: list[Tick] = []

            def next_tick(_bound: object, tick: Tick) -> ScheduledRow:
                asked.append(tick)
                return ScheduledRow(b"n" * 16, row.partition, FAR, None, None, "next", row.envelope)

            due = DueCommands(store, nothing_held(store), FAR, {row.id: row.due_at}, next_tick)
            store.begin(connection)
            taken = [due.claim(connection, delivery) for _ in range(2)]
            left = [one.token for one in store.due_scheduled(connection, range(8), FAR, 10)]
            connection.commit()

        assert taken == [True, False], "whoever comes second finds it gone"
        assert [tick.at.hour for tick in asked] == [8]
        assert left == [b"n" * 16]


@pytest.mark.rule(7)
def test_a_handler_that_lags_gets_nothing_live_in_that_stream() -> None:
    shop = declare()
    with started(shop.system) as opened:
        delivery = first_item(opened, shop)
        elsewhere = Stream("sales", (delivery.record.stream.partition + 1) % 8)
        found: list[list[str]] = []
        for behind in ({}, {delivery.record.stream: frozenset({"bill"})}, {elsewhere: frozenset({"bill"})}):
            store = opened.databases["finance"].store
            live = LiveStreams(store, nothing_held(store), {}, behind)
            found.append([bound.name for bound in live.handlers(delivery)])

    assert found == [["bill"], [], ["bill"]]


@pytest.mark.rule(7)
@pytest.mark.parametrize(("again", "starts", "fed"), [(False, 1, []), (True, 1, ["bill"]), (False, 2, ["bill"])])
def test_history_replays_what_was_before_the_handler_and_the_rest_only_with_again(
    again: bool, starts: int, fed: list[str]
) -> None:
    shop = declare()
    with started(shop.system) as opened:
        delivery = first_item(opened, shop)
        stream = delivery.record.stream
        at = {stream: ReplayCursor(1, stream, Cursor(0, b"", 0), live_number=1)}
        history = History(
            opened.databases["finance"].store,
            nothing_held(opened.databases["finance"].store),
            REPLAY._replace(again=again),
            at,
            {("bill", stream): starts},
            {},
        )

        assert [bound.name for bound in history.handlers(delivery)] == fed


def first_item(opened: StartedSystem, shop: Shop) -> Delivery:
    """The first event of a stream, ready for Finance."""
    publish(opened, shop.sales, purchased("a"))
    relay = opened.runtime.relay("sales")
    relay.step()
    relay.close()
    reader = opened.log.reader({Stream("sales", number): 0 for number in range(8)})
    record = next(record for record in reader.read(100) if record.kind == "event")
    reader.close()
    return made_ready(opened.topology.subscriptions["finance"], record)


def nothing_held(store: Store, handlers_version: int = 0) -> Tenure:
    return Tenure(store, Leases(store, SystemClock(), "me", []), handlers_version)
