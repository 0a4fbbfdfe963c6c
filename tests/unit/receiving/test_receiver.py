"""The receiver: batches in order, exactly once, under leases; it starts again from the cursors after any trouble."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import pytest
from support.machine_clock import MachineClock
from support.shop import (
    AT,
    ItemPurchased,
    ItemReturned,
    Shop,
    bills,
    declare,
    id_of,
    insert_bill,
    publish,
    purchased,
    returned,
    texts,
)

from preterite import Command, Component, System, leases
from preterite.envelope import Envelope, to_bytes
from preterite.errors import StoreUnavailable, SystemRefused
from preterite.handling import batch as inbox
from preterite.hosting.runtime import Runtime
from preterite.log.contract import Record, Stream
from preterite.open_system import OpenSystem
from preterite.receiving import careful, scheduler
from preterite.receiving.parking import Parking
from preterite.receiving.receiver import Receiver
from preterite.store.rows import HandlerRegistration, Parked
from preterite.store.sqlite.store import SqliteStore
from preterite.testing import SeededRandomness, StartedSystem, started
from preterite.testing.conformance.store_steps import transaction


@contextmanager
def receiving(opened: OpenSystem) -> Generator[Receiver]:
    receiver = opened.runtime.receiver("finance")
    try:
        yield receiver
    finally:
        receiver.close()


def announce(opened: OpenSystem, shop: Shop, *names: str) -> None:
    """Publish for different customers, and send."""
    publish(opened, shop.sales, *(purchased(name, customer=name) for name in names))
    relay = opened.runtime.relay("sales")
    relay.step()
    relay.close()


def reopen(opened: OpenSystem, system: System) -> OpenSystem:
    """The same databases and log, in the hands of another program."""
    topology = system.verify(opened.databases)
    kept = (opened.databases, opened.log, opened.clock, SeededRandomness(2))
    connect = partial(Runtime, opened.name, system.components, topology, *kept)
    return OpenSystem(connect(), connect)


class Remind(Command):
    """Remind somebody of a purchase."""

    purchase_id: UUID


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def opened(shop: Shop) -> Iterator[StartedSystem]:
    with started(shop.system) as opened:
        yield opened


@contextmanager
def a_full_disk(opened: OpenSystem, shop: Shop) -> Generator[None]:
    """Finance's database takes no further page, on any connection that is opened meanwhile."""
    connect = opened.databases["finance"].connect

    def full() -> sqlite3.Connection:
        connection = connect()
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count={pages}")
        return connection

    opened.databases["finance"].connect = full  # pyright: ignore[reportAttributeAccessIssue] - the disk of the test
    try:
        yield
    finally:
        opened.databases["finance"].connect = connect  # pyright: ignore[reportAttributeAccessIssue]


def test_a_batch_that_meets_a_full_disk_is_handled_once_there_is_room(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH_SECONDS", 60.0)
    names = [f"p{number}" for number in range(400)]
    announce(opened, shop, *names)
    with a_full_disk(opened, shop), receiving(opened) as receiver:
        for _ in range(inbox.FAILED_CALLS_MAX + 3):
            with pytest.raises(StoreUnavailable, match="The database of 'finance' is not available"):
                receiver.step()
    assert bills(opened, shop.finance) == []
    with receiving(opened) as receiver:
        while receiver.step():
            pass

    assert sorted(bills(opened, shop.finance)) == sorted(texts(*names))
    assert opened.status()["finance"].counts.parked == 0, "a full disk spends no attempt"


def test_after_any_trouble_it_reads_again_from_the_cursors(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a", "b")
    with receiving(opened) as receiver:
        with opened.connection(shop.finance) as connection:
            connection.execute("alter table bill rename to hidden")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            receiver.step(raising=True)
        with opened.connection(shop.finance) as connection:
            connection.execute("alter table hidden rename to bill")
        receiver.step()

    assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b"))


@pytest.mark.rule(1)
def test_an_overtaken_worker_can_change_nothing(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a", "b")
    with receiving(opened) as receiver:
        receiver.step()
        announce(opened, shop, "c")
        with opened.connection(shop.finance) as connection:
            connection.execute("update preterite_lease set owner = 'somebody else', epoch = epoch + 1")
        receiver.step()

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b"))


@pytest.mark.rule(1)
def test_a_worker_whose_cursor_was_moved_by_another_reads_again_and_doubles_nothing(
    opened: StartedSystem, shop: Shop
) -> None:
    announce(opened, shop, "a", "b")
    with receiving(opened) as paused:
        paused.step()
        announce(opened, shop, "c")
        with opened.connection(shop.finance) as connection:
            owners = connection.execute("select name, owner, epoch from preterite_lease").fetchall()
            connection.execute("update preterite_lease set owner = null")
            connection.execute("delete from preterite_worker")
        with receiving(opened) as other:
            while other.step():
                pass
        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b", "c")), "the other has billed it"
        with opened.connection(shop.finance) as connection:
            connection.executemany("update preterite_lease set owner = ?2, epoch = ?3 where name = ?1", owners)
        paused.step()

    assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b", "c"))
    counts = opened.status()["finance"].counts
    assert (counts.parked, counts.dead) == (0, 0), "what was billed already was not billed again"


@pytest.mark.rule(1)
def test_a_parked_event_that_another_worker_has_tried_meanwhile_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble = {id_of("a")}
    shop = declare(fails=lambda purchase: purchase in trouble)
    with started(shop.system) as opened:
        announce(opened, shop, "a")
        with receiving(opened) as receiver:
            while receiver.step():
                pass
        parked = opened.status()["finance"].counts.parked
        trouble.clear()
        start = Parking._start  # pyright: ignore[reportPrivateUsage]

        def started_by_another_too(self: Parking, row: Parked, *others: Any) -> bool:
            found = start(self, row, *others)
            with opened.connection(shop.finance) as connection:
                connection.execute("update preterite_parked set attempts = attempts + 1")
            return found

        opened.clock.settle_with(lambda: None, lambda: None)
        opened.clock.advance(timedelta(hours=1))
        monkeypatch.setattr(Parking, "_start", started_by_another_too)
        with receiving(opened) as receiver:
            receiver.step()

        assert parked == 1
        assert bills(opened, shop.finance) == []
        assert opened.status()["finance"].counts.parked == 1


@pytest.mark.rule(1)
def test_a_command_that_is_gone_when_its_batch_runs_is_not_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    reminded: list[UUID] = []
    sales = Component("sales", tables="create table purchase (id text primary key)")

    @sales.handles(Remind)
    def remind(command: Remind) -> None:
        reminded.append(command.purchase_id)

    _ = remind
    with started(System("shop", [sales])) as opened:
        with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            unit_of_work.schedule(Remind(purchase_id=id_of("a")), after=timedelta(minutes=1))
        opened.settle()
        look = SqliteStore.due_scheduled

        def then_cancelled(self: SqliteStore, connection: Any, *others: Any) -> Any:
            found = look(self, connection, *others)
            with opened.connection(sales) as other:
                other.execute("delete from preterite_scheduled")
            return found

        monkeypatch.setattr(SqliteStore, "due_scheduled", then_cancelled)
        opened.clock.advance(timedelta(hours=1))

    assert reminded == []


def test_of_what_is_due_no_more_is_read_than_batches_have_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reminded: list[UUID] = []
    limits: list[int] = []
    sales = Component("sales", tables="create table purchase (id text primary key)")
    names = [f"purchase {number}" for number in range(2 * scheduler.DUE_COMMANDS_MIN)]

    @sales.handles(Remind)
    def remind(command: Remind) -> None:
        reminded.append(command.purchase_id)
        monkeypatch.setattr(inbox, "BATCH_SECONDS", 0.0 if len(reminded) < 2 else 60.0)

    _ = remind
    look = SqliteStore.due_scheduled

    def noted(self: SqliteStore, connection: Any, held: Any, now: float, limit: int) -> Any:
        found = look(self, connection, held, now, limit)
        if found:
            limits.append(limit)
        return found

    monkeypatch.setattr(SqliteStore, "due_scheduled", noted)
    monkeypatch.setattr(inbox, "BATCH_SECONDS", 0.0)
    with started(System("shop", [sales])) as opened:
        with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            for name in names:
                unit_of_work.schedule(Remind(purchase_id=id_of(name)), after=timedelta(minutes=1))
        opened.clock.advance(timedelta(hours=1))
        opened.settle()

    least, most = scheduler.DUE_COMMANDS_MIN, scheduler.DUE_COMMANDS
    assert (sorted(reminded), len(reminded)) == (sorted(id_of(name) for name in names), len(names))
    assert limits == [most, least, least, 2 * least]


@pytest.mark.rule(21)
def test_what_is_due_waits_until_the_streams_are_read_as_far_as_they_reached() -> None:
    sales = Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text primary key)")
    finance = Component("finance")
    order: list[str] = []

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        order.append("event")

    @finance.handles(Remind)
    def remind(command: Remind) -> None:
        order.append("due")

    _ = bill, remind
    with started(System("shop", [sales, finance])) as opened:
        with opened.connection(finance) as connection, finance.unit_of_work(connection) as unit_of_work:
            unit_of_work.schedule(Remind(purchase_id=id_of("a")), after=timedelta(minutes=1))
        publish(opened, sales, purchased("a"))
        relay = opened.runtime.relay("sales")
        relay.step()
        relay.close()
        opened.clock.settle_with(lambda: None, lambda: None)
        opened.clock.advance(timedelta(hours=1))
        with receiving(opened) as receiver:
            while receiver.step():
                pass

    assert order == ["event", "due"]


@pytest.mark.rule(6)
def test_a_worker_that_lacks_a_registered_handler_handles_nothing_more(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a")
    with receiving(opened) as old:
        old.step()
        newer = opened.databases["finance"].store
        with opened.connection(shop.finance) as connection, transaction(newer, connection):
            newer.register_handlers(connection, [HandlerRegistration("mail", "sales.ItemPurchased", "")], {}, 0.0)
        announce(opened, shop, "b")
        old.step()
        old.step()

        assert bills(opened, shop.finance) == texts("a")
        assert "does not declare: mail" in str(old.superseded)
        assert opened.status()["finance"].lacking == ("mail",)
        assert opened.status()["finance"].state == "off", "its leases are free for newer code"


@pytest.mark.rule(6)
def test_a_handler_is_active_from_a_number_until_it_is_retired(shop: Shop) -> None:
    with started(shop.system) as opened:
        announce(opened, shop, "a")
        with receiving(opened) as receiver:
            receiver.step()
        without = System("shop", [shop.sales, Component("finance", publishes=shop.finance.publishes)])
        newer = reopen(opened, without)
        announce(opened, shop, "b")
        with receiving(newer) as receiver:
            assert not receiver.step()
            assert "bill" in str(receiver.superseded)
            store = opened.databases["finance"].store
            with opened.connection(shop.finance) as connection, transaction(store, connection):
                store.retire_handler(connection, "bill", 0.0)
            receiver.step()
        with pytest.raises(SystemRefused, match=r"finance\.bill was retired"):
            reopen(opened, shop.system)


def test_a_handler_that_changes_its_event_is_refused() -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased, name="bill")
    def bill(event: ItemPurchased) -> None:
        pass

    with started(shop.system) as opened:
        changed = declare(bills=False)

        @changed.finance.handles(ItemReturned, name="bill")
        def unbill(event: ItemReturned) -> None:
            pass

        topology = changed.system.verify(opened.databases)
        with pytest.raises(
            SystemRefused, match=r"finance\.bill handled sales\.ItemPurchased before, and sales\.ItemRet"
        ):
            Runtime(
                "shop",
                changed.system.components,
                topology,
                opened.databases,
                opened.log,
                opened.clock,
                SeededRandomness(2),
            )


@pytest.mark.rule(18)
def test_the_first_read_stores_where_every_stream_begins_before_anything_is_handled(
    opened: StartedSystem, shop: Shop
) -> None:
    with receiving(opened) as receiver:
        receiver.step()
        store = opened.databases["finance"].store
        with opened.connection(shop.finance) as connection:
            cursors, starts = store.cursors(connection), store.handler_starts(connection)

    assert set(cursors) == {Stream("sales", partition) for partition in range(8)}
    assert {state.cursor.number for state in cursors.values()} == {0}
    assert starts == {("bill", Stream("sales", partition)): 1 for partition in range(8)}


def test_an_unclean_takeover_counts_every_attempt_before_the_handler_starts(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch after a crash is run one by one, from rows whose attempt is on record."""
    announce(opened, shop, "a", "b")
    with opened.connection(shop.finance) as connection:
        for partition in range(8):
            connection.execute("insert into preterite_lease values (?, 'dead', 7, 0, 3)", [f"partition/{partition}"])
    attempts: list[list[tuple[int, int]]] = []

    def look() -> None:
        rows = opened.databases["finance"].store.list_parked(connection, ["parked"], 10)
        attempts.append([(row.attempts, row.running) for row in rows if row.running])

    watched = declare(bills=False)

    @watched.finance.handles(ItemPurchased, name="bill")
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        insert_bill(connection, event)
        look()

    with opened.connection(shop.finance) as connection:
        with receiving(reopen(opened, watched.system)) as receiver:
            while receiver.step():
                pass

    assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b"))
    assert attempts == [[(1, True)], [(1, True)]]


def test_what_was_not_parked_after_an_unclean_takeover_is_run_one_by_one_as_well(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was room for some of it only: the rest may still hold what ended the process."""
    monkeypatch.setattr(careful, "BATCH_EVENTS", 4)
    monkeypatch.setattr(inbox, "PARKED_MAX", 2)
    announce(opened, shop, *"abcd")
    with opened.connection(shop.finance) as connection:
        for partition in range(8):
            connection.execute("insert into preterite_lease values (?, 'dead', 7, 0, 3)", [f"partition/{partition}"])
    counted: list[int] = []
    watched = declare(bills=False)

    @watched.finance.handles(ItemPurchased, name="bill")
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        insert_bill(connection, event)
        with opened.connection(shop.finance) as other:
            rows = opened.databases["finance"].store.list_parked(other, ["parked"], 10)
        counted.append(sum(row.attempts for row in rows if row.running))

    with receiving(reopen(opened, watched.system)) as receiver:
        while receiver.step():
            pass

    assert sorted(bills(opened, shop.finance)) == sorted(texts(*"abcd"))
    assert counted == [1, 1, 1, 1]


def test_an_interrupted_attempt_counts_as_one_that_ended_the_process(opened: StartedSystem, shop: Shop) -> None:
    store = opened.databases["finance"].store
    announce(opened, shop, "a")
    with opened.connection(shop.finance) as connection:
        record = next(iter(opened.log.reader({Stream("sales", n): 0 for n in range(8)}).read(10)))
        row = Parked(
            handler="bill", lane="", record=record, key="k", type="sales.ItemPurchased", attempts=1, running=True
        )
        with transaction(store, connection):
            store.park(connection, [row])
            store.start_cursors(connection, {})
        connection.execute(
            "insert into preterite_cursor (publisher, partition, number, event_id, epoch) values ('sales', ?, 1, ?, 0)",
            [record.stream.partition, record.event_id],
        )
        with receiving(opened) as receiver:
            receiver.step()
        found = store.list_parked(connection, ["parked"], 10)[0]

    assert (found.attempts, found.running) == (1, False)
    assert found.failure is not None
    assert found.failure.error == "ProcessDied"


def test_a_batch_ends_after_its_time_and_the_rest_comes_next(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH_SECONDS", 0.0)
    announce(opened, shop, "a", "b", "c")
    done: list[int] = []
    with receiving(opened) as receiver:
        while receiver.step():
            done.append(len(bills(opened, shop.finance)))

    assert done == [1, 2, 3]


def test_when_too_much_is_parked_the_streams_stand_still_visibly_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "PARKED_MAX", 2)
    trouble = {id_of(name) for name in "abc"}
    shop = declare(fails=lambda purchase: purchase in trouble)
    with started(shop.system) as opened:
        announce(opened, shop, "a", "b", "c", "d")
        with receiving(opened) as receiver:
            receiver.step()
            receiver.step()
            stopped = set(opened.status()["finance"].stalled.values())
            trouble.clear()
            monkeypatch.setattr(inbox, "PARKED_MAX", 100)
            while receiver.step():
                pass

        opened.clock.advance(timedelta(hours=1))
        opened.settle()

        assert len(stopped) == 1
        assert "2 events are parked; the streams are stalled" in stopped.pop()
        assert opened.status()["finance"].stalled == {}
        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "b", "c", "d"))


def test_events_of_types_without_a_subscriber_here_are_skipped(opened: StartedSystem, shop: Shop) -> None:
    publish(opened, shop.sales, returned("a"), purchased("b"))
    opened.settle()

    assert bills(opened, shop.finance) == texts("b")
    assert opened.status()["finance"].counts.skipped == 0, "declared, only not heard: that is no news"


def test_events_of_undeclared_types_are_skipped_and_counted(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a")
    stream = next(one for one in (Stream("sales", p) for p in range(8)) if opened.log.end(one).number)
    end = opened.log.end(stream)
    body = to_bytes(
        Envelope(id=id_of("x"), source="/shop/sales", type="sales.ItemWrapped", time=AT, data=msgspec.Raw(b"{}"))
    )
    opened.log.append([Record(stream, "event", end.epoch, end.number + 1, id_of("x").bytes, body)])
    with receiving(opened) as receiver:
        while receiver.step():
            pass

    assert bills(opened, shop.finance) == texts("a")
    assert opened.status()["finance"].counts.skipped == 1


def test_several_workers_share_one_component_by_its_leases(opened: StartedSystem, shop: Shop) -> None:
    with receiving(opened) as first, receiving(opened) as second:
        first.step()
        announce(opened, shop, "a", "b")

        assert not second.step()
        assert first.step()


def test_a_killed_worker_is_followed_after_its_lease() -> None:
    shop = declare()
    clock = MachineClock()
    with started(shop.system) as opened:
        opened.runtime.clock = clock
        dead = opened.runtime.receiver("finance")
        dead.step()
        announce(opened, shop, "a")
        with receiving(opened) as receiver:
            receiver.step()
            before = bills(opened, shop.finance)
            clock.pass_by(leases.LEASE_SECONDS + leases.RENEW_SECONDS)
            while receiver.step():
                pass
        dead.close()

        assert before == []
        assert bills(opened, shop.finance) == texts("a")


def run_of(count: int) -> Sequence[UUID]:
    return [id_of(f"p{number}") for number in range(count)]


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1200])
def test_any_number_of_events_is_handled_once_in_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BATCH_SECONDS", 60.0)
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(f"p{number}") for number in range(count)))
        opened.settle()

        assert bills(opened, shop.finance) == [str(one) for one in run_of(count)]
