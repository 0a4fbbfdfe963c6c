"""Promise 7 for handlers: one that comes late is fed what it missed, beside live events, each once and in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from support import lossy_logs
from support.any_store import Connection, log_place, places, sql, sqlite_only
from support.shop import (
    FINANCE_TABLES,
    SALES_TABLES,
    ItemBilled,
    ItemPurchased,
    ItemReturned,
    bills,
    id_of,
    insert_bill,
    publish,
    purchased,
    returned,
    texts,
)

from preterite import Component, OpenSystem, Recoverability, Saga, System, UnitOfWork, started_by
from preterite.errors import UsageError
from preterite.log.contract import Stream
from preterite.operations.dead_letters import Operator, discard, redrive
from preterite.operations.rehearsal import Stage, rehearse
from preterite.operations.replays import Wanted, change, chosen, plan, start
from preterite.system import open_as
from preterite.testing import MovableClock, SeededRandomness, StartedSystem, instant

START = "2013-07-30T12:00Z"
OPS = Operator("ops", "late handler", 5.0)
AT_ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
MAIL = sql("create table mail (position integer primary key, what text)")


class Office:
    """Finance bills from the start; later a program comes that also mails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovableClock(instant(START))
        self.seeds = itertools.count()

    def open(self, *, mails: bool, fails: Callable[[UUID], bool] = lambda _purchase: False) -> StartedSystem:
        self.sales = Component("sales", publishes=[ItemPurchased, ItemReturned], tables=SALES_TABLES)
        self.finance = Component(
            "finance", publishes=[ItemBilled], tables=f"{FINANCE_TABLES}; {MAIL};", recoverability=AT_ONCE
        )

        @self.finance.handles(ItemPurchased)
        def bill(event: ItemPurchased, connection: Connection) -> None:
            insert_bill(connection, event)

        if mails:

            @self.finance.handles(ItemPurchased)
            def mail(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
                if fails(event.purchase_id):
                    raise RuntimeError("no paper")
                connection.execute(sql("insert into mail (what) values (?)"), [str(event.purchase_id)])
                unit_of_work.publish(
                    ItemBilled(
                        purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=event.purchased_at
                    )
                )

            @self.finance.handles(ItemReturned)
            def apologise(event: ItemReturned, connection: Connection) -> None:
                connection.execute(sql("insert into mail (what) values (?)"), [f"sorry {event.purchase_id}"])

        return open_as(
            StartedSystem,
            System("shop", [self.sales, self.finance]),
            databases=places(self.folder, ("sales", "finance")),
            log=log_place(self.folder),
            only=["sales", "finance"],
            create_tables=True,
            clock=self.clock,
            randomness=SeededRandomness(next(self.seeds)),
        )

    def wanted(self, shop: OpenSystem, handler: str | None = "mail", **others: object) -> Wanted:
        return Wanted(chosen(shop.topology.subscriptions["finance"], handler), rate=None)._replace(**others)  # pyright: ignore[reportArgumentType]

    def start(self, shop: OpenSystem, wanted: Wanted) -> int:
        with shop.connection(self.finance) as connection:
            store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]
            return start(store, connection, shop.log, subscriptions, wanted, OPS)

    def mails(self, shop: OpenSystem) -> list[str]:
        with shop.connection(self.finance) as connection:
            return [row[0] for row in connection.execute(sql("select what from mail order by position"))]

    def buy(self, shop: OpenSystem, *names: str, customer: str = "anna") -> None:
        for name in names:
            publish(shop, self.sales, purchased(name, customer))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Office(tmp_path)
    with made.open(mails=False) as shop:
        made.buy(shop, "a", "b", "c")
        made.buy(shop, "d", customer="ben")
        shop.settle()
    return made


def test_a_handler_that_joins_late_is_logged_at_its_start(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    with office.open(mails=True):
        first = list(caplog.messages)
    caplog.clear()
    with office.open(mails=True):
        again = list(caplog.messages)

    told = [message for message in first if "preterite replay plan --to finance.mail" in message]
    assert len(told) == 1
    assert "finance.mail" in told[0]
    assert "4 events before" in told[0]
    assert [message for message in again if "replay plan" in message] == []


@pytest.mark.rule(7)
def test_what_it_missed_is_replayed_once_and_in_order_and_then_it_goes_on_live(office: Office) -> None:
    with office.open(mails=True) as shop:
        office.buy(shop, "e")
        shop.settle()
        before = office.mails(shop)
        office.start(shop, office.wanted(shop))
        office.buy(shop, "f")
        shop.settle()
        office.buy(shop, "g")
        shop.settle()
        with shop.connection(office.finance) as connection:
            states = [
                (one.state, one.replayed) for one in shop.databases["finance"].store.replays(connection, active=False)
            ]

        assert before == texts("e")
        mine = [what for what in office.mails(shop) if what != texts("d")[0]]
        assert mine == texts("e", "a", "b", "c", "f", "g")
        assert sorted(office.mails(shop)) == sorted(texts(*"abcdefg"))
        assert sorted(bills(shop, office.finance)) == sorted(texts(*"abcdefg"))
        assert states[0][0] == "done"
        assert len({event.purchase_id for event in shop.published(ItemBilled)}) == 7
        assert len(shop.published(ItemBilled)) == 7


@pytest.mark.rule(7)
def test_live_events_of_a_key_wait_for_its_history(office: Office) -> None:
    """While the replay is paused, what comes in is kept for the handler and not lost; others handle it."""
    with office.open(mails=True) as shop:
        shop.settle()
        number = office.start(shop, office.wanted(shop))
        with shop.connection(office.finance) as connection:
            change(shop.databases["finance"].store, connection, number, "pause", OPS)
        office.buy(shop, "e")
        shop.settle()
        paused, billed = office.mails(shop), bills(shop, office.finance)
        with shop.connection(office.finance) as connection:
            change(shop.databases["finance"].store, connection, number, "resume", OPS)
        shop.settle()

        assert paused == []
        assert texts("e")[0] in billed
        assert [what for what in office.mails(shop) if what != texts("d")[0]] == texts("a", "b", "c", "e")


@sqlite_only
@pytest.mark.rule(5)
@pytest.mark.parametrize("lost", [[1], [2], [3], [1, 2, 3]])
def test_what_the_log_has_lost_of_the_history_is_sent_again_and_replayed(office: Office, lost: list[int]) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        lossy_logs.lose(shop.log, Stream("sales", 0), lost)
        office.start(shop, office.wanted(shop))
        shop.settle()

        assert [what for what in office.mails(shop) if what != texts("d")[0]] == texts("a", "b", "c")


@sqlite_only
def test_while_history_is_missing_people_see_why_and_other_streams_go_on(office: Office) -> None:
    """Also those that come in meanwhile, of streams that have caught up: they were read ahead, and are handled live."""
    with office.open(mails=True) as shop:
        receiver = shop.runtime.receiver("finance")
        receiver.step()
        office.buy(shop, *(f"ben {number}" for number in range(100)), customer="ben")
        relay = shop.runtime.relay("sales")
        while relay.step():
            pass
        relay.close()
        lossy_logs.lose(shop.log, Stream("sales", 0), [2])
        office.start(shop, office.wanted(shop))
        steps = [receiver.step().busy for _ in range(20)]
        receiver.close()
        with shop.connection(office.finance) as connection:
            replay = shop.databases["finance"].store.replays(connection, active=True)[0]

        assert steps[-1] is False
        assert replay.state == "running"
        assert replay.reason.startswith("number 2 of sales/0 is not in the log; ")
        assert office.mails(shop) == texts("a", "d", *(f"ben {number}" for number in range(100)))


def test_a_cancelled_replay_loses_nothing_that_came_in_meanwhile(office: Office) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        number = office.start(shop, office.wanted(shop))
        with shop.connection(office.finance) as connection:
            store = shop.databases["finance"].store
            change(store, connection, number, "pause", OPS)
            office.buy(shop, "e")
            shop.settle()
            change(store, connection, number, "cancel", OPS)
        shop.settle()
        office.buy(shop, "f")
        shop.settle()

        assert office.mails(shop) == texts("e", "f")


@pytest.mark.rule(15)
@pytest.mark.parametrize("fails_first", [False, True])
def test_what_comes_in_while_history_is_handled_again_is_published(office: Office, fails_first: bool) -> None:
    """It is no history: nobody has handled it before, and nobody would publish it afterwards. Nor is its retry."""
    refused = {id_of("f")} if fails_first else set[UUID]()
    with office.open(mails=True, fails=lambda purchase: purchase in refused) as shop:
        office.buy(shop, "e")
        shop.settle()
        number = office.start(shop, office.wanted(shop, again=True))
        with shop.connection(office.finance) as connection:
            store = shop.databases["finance"].store
            change(store, connection, number, "pause", OPS)
            office.buy(shop, "f")
            shop.settle()
            assert len(shop.published(ItemBilled)) == 1
            change(store, connection, number, "resume", OPS)
            shop.settle(failures="park")
            refused.clear()
            failed = [letter.id for letter in store.list_parked(connection, ["dead"], 10)]
            redriven = redrive(store, connection, failed, OPS)
        shop.settle()

        assert len(redriven) == fails_first
        assert [str(event.purchase_id) for event in shop.published(ItemBilled)] == texts("e", "f")
        assert office.mails(shop).count(*texts("f")) == 1


@pytest.mark.rule(15)
def test_again_handles_what_was_handled_and_publishes_nothing_unless_asked_to(office: Office) -> None:
    with office.open(mails=True) as shop:
        office.buy(shop, "e")
        shop.settle()
        office.start(shop, office.wanted(shop, again=True))
        shop.settle()
        quiet = len(shop.published(ItemBilled))
        office.start(shop, office.wanted(shop, again=True, publishes=True))
        shop.settle()
        reader = shop.log.reader({Stream("finance", number): 0 for number in range(8)})
        identifiers = [record.event_id for record in reader.read(1000) if record.kind == "event"]
        reader.close()

        assert sorted(office.mails(shop)) == sorted(texts("e", *"abcde", *"abcde"))
        assert quiet == 1
        assert len(shop.published(ItemBilled)) == 6
        assert len(set(identifiers)) == 6


def test_an_event_that_fails_in_a_replay_is_parked_and_holds_up_only_its_key(office: Office) -> None:
    broken = {id_of("b")}
    with office.open(mails=True, fails=lambda purchase: purchase in broken) as shop:
        shop.settle()
        office.start(shop, office.wanted(shop))
        shop.settle(failures="park")
        waiting, mailed = shop.status()["finance"].counts, office.mails(shop)
        broken.clear()
        with shop.connection(office.finance) as connection:
            store = shop.databases["finance"].store
            store.redrive(connection, store.dead_letters_of(connection, None, 1)[0])
        shop.settle()

        assert sorted(mailed) == sorted(texts("a", "d"))
        assert (waiting.dead, waiting.parked) == (1, 1)
        assert [what for what in office.mails(shop) if what != texts("d")[0]] == texts("a", "b", "c")


def test_what_fails_again_quietly_stays_quiet_when_it_is_run_from_its_row(office: Office) -> None:
    broken = {id_of("b")}
    with office.open(mails=True, fails=lambda purchase: purchase in broken) as shop:
        shop.settle()
        office.start(shop, office.wanted(shop, again=True))
        shop.settle(failures="park")
        broken.clear()
        with shop.connection(office.finance) as connection:
            store = shop.databases["finance"].store
            store.redrive(connection, store.dead_letters_of(connection, None, 1)[0])
        shop.settle()

        assert sorted(office.mails(shop)) == sorted(texts("a", "b", "c", "d"))
        assert shop.published(ItemBilled) == []


def test_what_was_parked_for_no_handler_and_discarded_does_not_come_back_with_history(office: Office) -> None:
    with office.open(mails=True) as shop:
        office.buy(shop, "unreadable", "after")
        relay = shop.runtime.relay("sales")
        relay.step()
        relay.close()
        lossy_logs.spoil(shop.log, 4, b"\0")
        shop.settle(failures="park")
        store = shop.databases["finance"].store
        with shop.connection(office.finance) as connection:
            dead = list(store.dead_letters_of(connection, None, 10))
            discard(store, connection, dead, OPS)
            office.start(shop, office.wanted(shop, again=True))
        shop.settle(failures="park")
        counts = shop.status()["finance"].counts

        assert len(dead) == 1
        assert (counts.dead, counts.parked, counts.discarded) == (0, 0, 1)
        assert sorted(office.mails(shop)) == sorted(texts("after", "after", *"abcd"))


def test_a_whole_component_is_replayed_with_its_handlers_in_order(office: Office) -> None:
    with office.open(mails=False) as shop:
        publish(shop, office.sales, returned("a"))
        shop.settle()
    with office.open(mails=True) as shop:
        shop.settle()
        office.start(shop, office.wanted(shop, handler=None))
        shop.settle()

        mine = [what for what in office.mails(shop) if what != texts("d")[0]]
        assert mine == [*texts("a", "b", "c"), f"sorry {id_of('a')}"]
        assert sorted(bills(shop, office.finance)) == sorted(texts(*"abcd")), "what was handled is not handled again"


def test_history_can_begin_at_a_number_or_a_time(office: Office) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        office.start(shop, office.wanted(shop, from_number=2))
        shop.settle()
        by_number = [what for what in office.mails(shop) if what != texts("d")[0]]
    with office.open(mails=True) as shop:
        office.clock.advance(timedelta(hours=1))
        office.buy(shop, "e")
        shop.settle()
        office.start(shop, office.wanted(shop, again=True, from_time=instant(START) + timedelta(minutes=30)))
        shop.settle()

        assert by_number == texts("b", "c")
        assert office.mails(shop)[-2:] == texts("e", "e")


def test_a_plan_counts_what_would_be_replayed_and_changes_nothing(office: Office) -> None:
    with office.open(mails=True) as shop, shop.connection(office.finance) as connection:
        office.buy(shop, "e")
        shop.settle()
        store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]
        read: list[int] = []
        late = plan(store, connection, shop.log, subscriptions, office.wanted(shop), read.append)
        again = plan(store, connection, shop.log, subscriptions, office.wanted(shop, again=True))

        assert (late.events, late.handled, late.total) == ({"mail": 4}, {"mail": 1}, 4)
        assert again.events == {"mail": 5}
        assert read[-1] >= 5
        assert store.replays(connection, active=False) == []


def test_what_cannot_be_replayed_is_refused_in_one_sentence(office: Office) -> None:
    with office.open(mails=True) as shop, shop.connection(office.finance) as connection:
        store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]

        def refused(wanted: Wanted, says: str) -> None:
            with pytest.raises(UsageError, match=says):
                start(store, connection, shop.log, subscriptions, wanted, OPS)

        refused(office.wanted(shop), "finance.mail was never active; run the program that declares it first")
        shop.settle()
        office.start(shop, office.wanted(shop))
        refused(office.wanted(shop), "finance.mail is in replay 1 already")
        with pytest.raises(UsageError, match="finance has no handler 'fax' of an event; it has bill, mail, apologise"):
            chosen(subscriptions, "fax")
        with pytest.raises(UsageError, match="sales subscribes to no events"):
            chosen(shop.topology.subscriptions["sales"], None)
        with pytest.raises(UsageError, match="There is no replay 7 that runs or is paused"):
            change(store, connection, 7, "pause", OPS)

        assert [(line.action, line.target) for line in store.audit(connection, 10)] == [("start replay", "1 mail")]


def test_a_saga_does_not_handle_history_that_it_has_handled(tmp_path: Path) -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased], tables=SALES_TABLES), Component("finance")

    @finance.saga
    class Window(Saga, by="purchase_id"):
        purchase_id: UUID

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased) -> None: ...

    with System("shop", [sales, finance]).open(
        databases=places(tmp_path, ("sales", "finance")),
        log=log_place(tmp_path),
        create_tables=True,
    ) as shop:
        publish(shop, sales, purchased("a"))
        shop.settle()
        subscriptions = shop.topology.subscriptions["finance"]
        with shop.connection(finance) as connection, pytest.raises(UsageError, match="belongs to a saga"):
            wanted = Wanted(chosen(subscriptions, None), again=True)
            start(shop.databases["finance"].store, connection, shop.log, subscriptions, wanted, OPS)

    assert Window.__saga__.by == "purchase_id"


def test_a_component_that_begins_now_is_not_given_history(tmp_path: Path) -> None:
    def open_shop(finance: Component | None) -> OpenSystem:
        components = [sales] if finance is None else [sales, finance]
        return System("shop", [sales, finance] if finance else [sales]).open(
            databases=places(tmp_path, [component.name for component in components]),
            log=log_place(tmp_path),
            create_tables=True,
        )

    sales = Component("sales", publishes=[ItemPurchased], tables=SALES_TABLES)
    with open_shop(None) as shop:
        publish(shop, sales, purchased("a"))
        shop.settle()
    seen: list[UUID] = []
    finance = Component("finance", start_from="latest")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        seen.append(event.purchase_id)

    with open_shop(finance) as shop:
        shop.settle()
        publish(shop, sales, purchased("b"))
        shop.settle()

    assert seen == [id_of("b")]


# rehearsals


def stage(shop: OpenSystem) -> Stage:
    runtime = shop.runtime
    return Stage(
        runtime.databases["finance"],
        runtime.log,
        runtime.require("finance"),
        runtime.topology.subscriptions["finance"],
        runtime.clock,
        runtime.randomness,
    )


@sqlite_only
def test_a_rehearsal_shows_what_would_change_and_changes_nothing(office: Office) -> None:
    with office.open(mails=True, fails=lambda purchase: purchase == id_of("b")) as shop:
        shop.settle()
        told = rehearse(stage(shop), office.wanted(shop))
        counts = shop.status()["finance"].counts

        assert told.replayed == 4
        assert {table: tuple(change) for table, change in told.tables.items()} == {"mail": (2, 0)}
        assert told.published == {"finance.ItemBilled": 2}
        assert told.failures == {("mail", "RuntimeError"): 1, ("mail", ""): 1}
        assert told.same_twice
        assert office.mails(shop) == []
        assert (counts.dead, counts.parked, counts.unnumbered, counts.replaying) == (0, 0, 0, 0)
        assert shop.published(ItemBilled) == []


@sqlite_only
@pytest.mark.parametrize("handler", ["bill", "mail", "apologise", None])
@pytest.mark.parametrize("others", [{}, {"again": True}, {"again": True, "from_number": 3}, {"from_number": 2}])
def test_the_plan_the_rehearsal_and_the_replay_count_the_same(
    office: Office, handler: str | None, others: dict[str, object]
) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        publish(shop, office.sales, returned("a"), returned("d", "ben"))
        office.buy(shop, "e", "f")
        shop.settle()
        wanted = office.wanted(shop, handler, **others)
        with shop.connection(office.finance) as connection:
            store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]
            planned = plan(store, connection, shop.log, subscriptions, wanted).total
            rehearsed = rehearse(stage(shop), wanted).replayed
            office.start(shop, wanted)
            shop.settle()
            replayed = [one.replayed for one in store.replays(connection, active=False)]

    assert [rehearsed, *replayed] == [planned, planned]


@sqlite_only
def test_a_rehearsal_names_what_fails_also_where_a_whole_batch_did(office: Office) -> None:
    """Then each event runs alone, as it would: those that can are applied, and the others are told by their error."""
    broken = {id_of(name) for name in ("a", "d", "e", "f")}
    with office.open(mails=True, fails=lambda purchase: purchase in broken) as shop:
        for name in ("e", "f", "g"):
            office.buy(shop, name, customer=name)
        shop.settle(failures="park")
        told = rehearse(stage(shop), office.wanted(shop, again=True))

        assert told.failures == {("mail", "RuntimeError"): 2, ("mail", ""): 2}
        assert {table: tuple(change) for table, change in told.tables.items()} == {"mail": (1, 0)}, "one more for g"


@sqlite_only
def test_a_rehearsal_says_if_a_handler_gives_another_result_the_second_time(office: Office) -> None:
    runs: list[int] = []

    def fails(purchase: UUID) -> bool:
        runs.append(1)
        return len(runs) > 4

    with office.open(mails=True, fails=fails) as shop:
        shop.settle()
        told = rehearse(stage(shop), office.wanted(shop))

        assert not told.same_twice


@sqlite_only
@pytest.mark.parametrize(("lost", "says"), [(2, "number 2 of sales/0 is not in the log"), (3, "not finish")])
def test_a_rehearsal_that_cannot_come_to_its_end_says_why(office: Office, lost: int, says: str) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        lossy_logs.lose(shop.log, Stream("sales", 0), [lost])
        with pytest.raises(UsageError, match=says):
            rehearse(stage(shop), office.wanted(shop))

        assert office.mails(shop) == []


@sqlite_only
def test_rows_that_change_are_shown_as_removed_and_added(office: Office) -> None:
    with office.open(mails=True) as shop:
        shop.settle()
        with shop.connection(office.finance) as connection:
            connection.execute(
                sql("create trigger late after insert on mail begin update bill set customer = 'x'; end")
            )
        told = rehearse(stage(shop), office.wanted(shop))

        assert {table: tuple(change) for table, change in told.tables.items()} == {"bill": (4, 4), "mail": (4, 0)}
