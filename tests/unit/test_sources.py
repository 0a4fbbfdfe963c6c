"""Where batches come from: history joins live reading only where that stands in the database."""

from __future__ import annotations

import pytest
from small_shop import Shop, declare, publish, purchased

from preterite import Component, System, Tick
from preterite.errors import Fenced
from preterite.items import Item
from preterite.items import opened as made_ready
from preterite.log import Cursor, Record, Stream
from preterite.rows import LATER, Fence, LaterRow, Replay, ReplayCursor
from preterite.sources import DueCommands, History, LiveStreams
from preterite.store import Store
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
        items = [made_ready(opened.topology.subscriptions["finance"], record) for record in records[:2]]
        remembered = {stream: Cursor(2, records[1].event_id, records[1].epoch)}
        with opened.connection(shop.finance) as connection:
            store.begin(connection)
            number = store.start_replay(connection, REPLAY, {stream: Cursor(0, b"", 0)})
            connection.commit()
            at = {one.stream: one for one in store.replay_cursors(connection)}
            history = History(
                store,
                Fence({}, store.handlers(connection)[0]),
                REPLAY._replace(id=number),
                at,
                {},
                remembered,
                renewal=lambda: None,
            )
            store.begin(connection)
            with pytest.raises(Fenced, match="Live reading of sales/"):
                history.settle(connection, items, None)
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
            waiting = store.due_later(connection, range(8), FAR, 10)
            assert len(waiting) == 1, "the first moment waits since the start"
            row = waiting[0]
            record = Record(Stream(LATER, row.partition), "command", 0, row.id, row.token, row.envelope)
            item = made_ready(subscriptions, record)
            asked: list[Tick] = []

            def next_tick(_bound: object, tick: Tick) -> LaterRow:
                asked.append(tick)
                return LaterRow(b"n" * 16, row.partition, FAR, None, None, "next", row.envelope)

            due = DueCommands(store, Fence({}, 0), FAR, {row.id: row.due_at}, next_tick, renewal=lambda: None)
            store.begin(connection)
            taken = [due.claim(connection, item) for _ in range(2)]
            left = [one.token for one in store.due_later(connection, range(8), FAR, 10)]
            connection.commit()

        assert taken == [True, False], "whoever comes second finds it gone"
        assert [tick.at.hour for tick in asked] == [8]
        assert left == [b"n" * 16]


@pytest.mark.rule(7)
def test_a_handler_that_is_behind_gets_nothing_live_in_that_stream() -> None:
    shop = declare()
    with started(shop.system) as opened:
        item = first_item(opened, shop)
        elsewhere = Stream("sales", (item.record.stream.partition + 1) % 8)
        found: list[list[str]] = []
        for behind in ({}, {item.record.stream: frozenset({"bill"})}, {elsewhere: frozenset({"bill"})}):
            store = opened.databases["finance"].store
            live = LiveStreams(store, Fence({}, 0), {}, lambda: None, behind, {})
            found.append([bound.name for bound in live.handlers(item)])

    assert found == [["bill"], [], ["bill"]]


@pytest.mark.rule(7)
@pytest.mark.parametrize(("again", "starts", "fed"), [(False, 1, []), (True, 1, ["bill"]), (False, 2, ["bill"])])
def test_history_feeds_what_was_before_the_handler_and_the_rest_only_if_told(
    again: bool, starts: int, fed: list[str]
) -> None:
    shop = declare()
    with started(shop.system) as opened:
        item = first_item(opened, shop)
        stream = item.record.stream
        at = {stream: ReplayCursor(1, stream, Cursor(0, b"", 0), live_number=1)}
        history = History(
            opened.databases["finance"].store,
            Fence({}, 0),
            REPLAY._replace(again=again),
            at,
            {("bill", stream): starts},
            {},
            renewal=lambda: None,
        )

        assert [bound.name for bound in history.handlers(item)] == fed


def first_item(opened: StartedSystem, shop: Shop) -> Item:
    """The first event of a stream, ready for Finance."""
    publish(opened, shop.sales, purchased("a"))
    relay = opened.relay("sales")
    relay.step()
    relay.close()
    reader = opened.log.reader({Stream("sales", number): 0 for number in range(8)})
    record = next(record for record in reader.read(100) if record.kind == "event")
    reader.close()
    return made_ready(opened.topology.subscriptions["finance"], record)
