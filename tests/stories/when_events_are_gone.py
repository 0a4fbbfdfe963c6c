"""Promises 5 and 8 where nobody has an event any more: one subscriber was away for too long, or the log has a hole.

The publisher goes on, and so do all that had read it. Who had not is stalled visibly until an operator accepts it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from support import lossy_logs
from support.any_store import Connection, log_place, places, sql
from support.processes import until
from support.shop import ItemPurchased, Shop, bills, declare, letters, prune_journal, publish, purchased, texts

from preterite import Component, OpenSystem, System
from preterite.errors import LogError, StoreUnavailable, UsageError
from preterite.log.contract import Stream
from preterite.operations import recovery, replays
from preterite.operations.dead_letters import Operator
from preterite.operations.recovery import Gone
from preterite.publishing import relay as outbox

OPS = Operator("ops", "it was away", 0.0)
STREAM = Stream("sales", 0)
HOUR = timedelta(hours=1)


@dataclass
class Place:
    """The shop's databases in one place, opened anew by each `with`. Shipping subscribes to purchases, too."""

    folder: Path
    shop: Shop
    shipping: Component
    system: System

    def open(self, *only: str) -> OpenSystem:
        return self.system.open(
            databases=places(self.folder, ("sales", "finance", "shipping")),
            log=log_place(self.folder),
            only=only or None,
            create_tables=True,
            retention=HOUR,
        )

    def sell(self, *names: str, only: tuple[str, ...] = ("sales", "finance")) -> None:
        """Publish, and let these components handle it."""
        with self.open(*only) as opened:
            publish(opened, self.shop.sales, *map(purchased, names))
            opened.settle(failures="park")

    def prune_journal(self) -> None:
        """What Sales has published until now is too old to be sent again."""
        with self.open("sales") as opened:
            prune_journal(opened, "sales")

    def retain_nothing(self, *numbers: int) -> None:
        """The retention of these records has ended."""
        with self.open("sales") as opened:
            lossy_logs.age(opened.log, STREAM, numbers)
            opened.log.maintain()

    def lose(self, *numbers: int) -> None:
        with self.open("sales") as opened:
            lossy_logs.lose(opened.log, STREAM, numbers)

    def billed(self) -> list[str]:
        with self.open() as opened:
            return bills(opened, self.shop.finance)

    def shipped(self) -> list[str]:
        with self.open() as opened, opened.connection(self.shipping) as connection:
            shipped = connection.execute(sql("select purchase from parcel order by position")).fetchall()
        return [name for (purchase,) in shipped for name in "abcde" if texts(name) == [purchase]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shop = declare()
    shipping = Component("shipping", tables=sql("create table parcel (position integer primary key, purchase text)"))

    @shipping.handles(ItemPurchased)
    def ship(event: ItemPurchased, connection: Connection) -> None:
        connection.execute(sql("insert into parcel (purchase) values (?)"), [str(event.purchase_id)])

    return Place(tmp_path, shop, shipping, System("shop", [shop.sales, shop.finance, shipping], partitions=1))


def shipping_was_away_for_too_long(place: Place) -> None:
    """It has read "a"; "b" and "c" are in no log and no journal by now, and "d" is."""
    place.sell("a", only=())
    place.sell("b", "c")
    place.prune_journal()
    place.sell("d")
    place.retain_nothing(1, 2, 3)


@pytest.mark.rule(5)
def test_a_subscriber_that_was_away_for_too_long_is_stalled_and_stops_nobody(place: Place) -> None:
    shipping_was_away_for_too_long(place)
    with place.open() as opened:
        with pytest.raises(LogError, match="'shipping' cannot settle: number 2 of sales/0 is missing; neither"):
            opened.settle()
        publish(opened, place.shop.sales, purchased("e"))
        with pytest.raises(LogError, match="preterite recover plan"):
            opened.settle()
        statuses = opened.status()

    assert place.billed() == texts(*"abcde")
    assert place.shipped() == ["a"]
    assert statuses["sales"].problems == []
    assert statuses["finance"].problems == []
    assert "which begins at 4, has it" in statuses["shipping"].problems[0]


@pytest.mark.rule(5)
def test_an_end_of_the_log_that_is_lost_and_that_no_journal_holds_is_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.sell("a", "b", "c")
    place.prune_journal()
    place.lose(2, 3)
    with place.open("sales") as opened, closing(opened.runtime.relay("sales")) as relay:
        relay.step()

    says = "the log has lost sales/0 from number 2 to 3, and the journal begins at 4. Nothing can send them again"
    assert says in caplog.text
    assert "preterite recover fill sales" in caplog.text


@pytest.mark.rule(5)
def test_an_operator_accepts_the_loss_on_record_and_the_subscriber_goes_on_while_it_runs(place: Place) -> None:
    shipping_was_away_for_too_long(place)
    with place.open() as opened:
        with pytest.raises(LogError):
            opened.settle()
        receiver = opened.runtime.receiver("shipping")
        while receiver.step():
            pass
        store = opened.databases["shipping"].store
        with opened.connection(place.shipping) as connection:
            gone = recovery.dropped(store, connection, opened.log, "sales")
            lost = recovery.accept_loss(store, connection, opened.log, "sales", OPS)
            audit = store.audit(connection, 1)[0]
            with pytest.raises(UsageError, match="nothing was changed"):
                recovery.accept_loss(store, connection, opened.log, "sales", OPS)
        until(lambda: bool(receiver.step()) and "d" in place.shipped(), "it goes on")
        receiver.close()
        status = opened.status()["shipping"]

    assert gone == [Gone(STREAM, range(2, 4))]
    assert lost == 2
    assert place.shipped() == ["a", "d"]
    assert (audit.action, audit.target, audit.reason) == ("accept the loss of events", "sales/0 2 to 3", "it was away")
    assert (status.problems, status.counts.skipped) == ([], 2)


@pytest.mark.rule(5)
def test_a_publisher_that_runs_answers_a_subscriber_that_requests_what_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PRUNE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    with place.open() as opened:
        relay, receiver = opened.runtime.relay("sales"), opened.runtime.receiver("shipping")
        publish(opened, place.shop.sales, *map(purchased, "abc"))
        relay.step()
        relay.journal_seconds = -1.0
        relay.step()
        lossy_logs.lose(opened.log, STREAM, [2])
        stalled: list[str] = []
        for _ in range(2):
            for _ in range(5):
                receiver.step()
            stalled.append(opened.status()["shipping"].stalled[STREAM])
            relay.step()
        receiver.close()
        relay.close()

    assert "until its publisher sends it again" in stalled[0]
    assert "neither the log nor the publisher's journal, which begins at 4, has it" in stalled[1]


@pytest.mark.rule(11)
def test_a_publisher_goes_on_though_the_answer_to_pruning_its_journal_was_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.sell("a", "b")
    with place.open("sales", "finance") as opened:
        store = opened.databases["sales"].store
        prune = store.prune_journal

        def commit_and_lose_the_answer(connection: Connection, before: float, limit: int) -> int:
            prune(connection, before, limit)
            connection.commit()
            raise StoreUnavailable("The database has gone away.")

        relay = opened.runtime.relay("sales")
        relay.journal_seconds = -1.0
        with monkeypatch.context() as patch:
            patch.setattr(store, "prune_journal", commit_and_lose_the_answer)
            with pytest.raises(StoreUnavailable):
                relay.step()
        monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
        opened.log.request_resend(STREAM, 1)
        publish(opened, place.shop.sales, purchased("c"))
        relay.step()
        relay.step()
        relay.close()
        opened.settle()

    assert place.billed() == texts(*"abc")


@pytest.mark.rule(5)
def test_a_loss_is_not_accepted_for_a_subscriber_that_has_read_on_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipping_was_away_for_too_long(place)
    with place.open() as opened, opened.connection(place.shipping) as connection:
        store = opened.databases["shipping"].store
        first_number = opened.log.first_number
        moved = sql("update preterite_cursor set number = 5 where publisher = 'sales'")

        def read_on(stream: Stream) -> int:
            connection.execute(moved)
            connection.commit()
            return first_number(stream)

        monkeypatch.setattr(opened.log, "first_number", read_on)
        with pytest.raises(UsageError, match="was read on meanwhile; nothing was changed"):
            recovery.accept_loss(store, connection, opened.log, "sales", OPS)
        cursor = store.cursors(connection)[STREAM].cursor

    assert cursor.number == 5


@pytest.mark.rule(18)
def test_a_head_from_before_a_subscriber_came_is_no_sign_that_the_publisher_went_back(place: Place) -> None:
    place.sell("a")
    place.sell("b")
    place.retain_nothing(1, 2)
    with place.open() as opened:
        receiver = opened.runtime.receiver("shipping")
        for _ in range(3):
            receiver.step()
        receiver.close()
        stalled = opened.status()["shipping"].stalled
    place.sell("c", only=())

    assert stalled == {}
    assert place.shipped() == ["c"]


@pytest.mark.rule(4)
def test_a_late_subscriber_reads_all_that_follows_a_record_that_was_sent_again_though_some_is_too_old(
    place: Place,
) -> None:
    place.sell("a", "b", "c")
    place.lose(2)
    place.sell("d")
    place.prune_journal()
    place.retain_nothing(1, 3)
    place.sell("e", only=())

    assert place.shipped() == list("bcde")
    assert place.billed() == texts(*"abcde")


@pytest.mark.rule(5)
def test_what_the_journal_holds_is_sent_again_to_a_subscriber_that_was_away(place: Place) -> None:
    place.sell("a", only=())
    place.sell("b", "c")
    place.retain_nothing(1, 2, 3)
    place.sell("d", only=())

    assert place.shipped() == list("abcd")
    assert place.billed() == texts(*"abcd")


@pytest.mark.rule(17)
def test_a_hole_that_nobody_can_fill_stops_neither_its_publisher_nor_who_has_read_it(place: Place) -> None:
    place.sell("a", "b", "c")
    place.prune_journal()
    place.lose(2)
    for name in "de":
        place.sell(name)

    assert place.billed() == texts(*"abcde")


@pytest.mark.rule(17)
def test_an_operator_fills_a_hole_and_who_had_not_read_it_gets_a_dead_letter(place: Place) -> None:
    place.sell("a", "b", "c")
    place.prune_journal()
    place.lose(2)
    place.sell("d")
    with place.open() as opened:
        with pytest.raises(LogError, match="'shipping' cannot settle: number 2 of sales/0 is missing; neither"):
            opened.settle()
        store = opened.databases["sales"].store
        with opened.connection(place.shop.sales) as connection:
            holes = recovery.holes(store, connection, opened.log, "sales")
            filled = recovery.fill(store, connection, opened.log, "sales", OPS)
            audit = store.audit(connection, 1)[0]
            with pytest.raises(UsageError, match="nothing was changed"):
                recovery.fill(store, connection, opened.log, "sales", OPS)
        opened.settle(failures="park")
        dead = letters(opened, place.shipping)
        billing = opened.status()["finance"]

    assert (holes, filled) == ([Gone(STREAM, range(2, 3))], 1)
    assert place.shipped() == ["a", "c", "d"]
    assert [letter.record.number for letter in dead] == [2]
    assert dead[0].failure is not None
    assert "filled by ops: it was away" in dead[0].failure.text
    assert (audit.action, audit.target) == ("fill lost numbers with voids", "sales/0 2 to 2")
    assert billing.problems == []
    assert place.billed() == texts(*"abcd")


@pytest.mark.rule(3)
def test_a_restored_publisher_takes_over_what_follows_what_the_log_has_lost(place: Place) -> None:
    place.sell("a")
    with place.open() as opened, opened.connection(place.shop.sales) as connection:
        store = opened.databases["sales"].store
        known = store.stream_numbers(connection)[0].last_number
    place.sell("b", "c", "d", "e")
    place.lose(3)
    with place.open() as opened:
        found = list(recovery.read_forgotten(opened.log, recovery.Forgotten(STREAM, known, 5)))

    assert [(record.kind, record.number) for record in found] == [
        ("event", 2),
        ("void", 3),
        ("event", 4),
        ("event", 5),
    ]


@pytest.mark.rule(7)
def test_a_replay_of_what_is_gone_is_paused_and_says_why(place: Place) -> None:
    place.sell("a", "b", "c", only=())
    place.prune_journal()
    with place.open() as opened:
        subscriptions = opened.topology.subscriptions["shipping"]
        store = opened.databases["shipping"].store
        wanted = replays.Wanted(("ship",), again=True)
        with opened.connection(place.shipping) as connection:
            replays.start(store, connection, opened.log, subscriptions, wanted, OPS)
    place.lose(2)
    with place.open() as opened:
        relay = opened.runtime.relay("sales")
        relay.step()
        relay.close()
        receiver = opened.runtime.receiver("shipping")
        store = opened.databases["shipping"].store
        with opened.connection(place.shipping) as connection:
            until(
                lambda: not receiver.step() and store.replays(connection, active=True)[0].state == "paused",
                "it is paused",
            )
            replay = store.replays(connection, active=True)[0]
        receiver.close()

    assert "number 2 of sales/0 is neither in the log nor in its publisher's journal" in replay.reason
