"""Promise 4, order per key: a failing event holds back only its own key. Promise 2: each effect exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from support.any_store import Connection, sql, started
from support.shop import (
    AT,
    ItemBilled,
    ItemPurchased,
    ItemReturned,
    Shop,
    bills,
    declare,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    returned,
    texts,
)

from preterite import Recoverability, UnitOfWork
from preterite.operations.dead_letters import Operator, discard, redrive
from preterite.testing import StartedSystem

INSERT = text("insert into bill (purchase, customer) values (:purchase, '')")
NEVER_AGAIN = Recoverability(immediate_retries=0, delayed_retries=0)
SCHEDULED = timedelta(hours=2)


class Trouble:
    """Which purchases cannot be billed just now; a test clears it up."""

    def __init__(self, *names: str) -> None:
        self.ids = {id_of(name) for name in names}

    def __call__(self, purchase_id: UUID) -> bool:
        return purchase_id in self.ids


def dead(opened: StartedSystem, shop: Shop) -> list[int]:
    return [letter.id for letter in letters(opened, shop.finance)]


def billed(opened: StartedSystem) -> list[str]:
    """What Finance has told the world, in order."""
    return [str(event.purchase_id) for event in opened.published(ItemBilled)]


def test_a_failing_event_lets_every_other_key_flow() -> None:
    shop = declare(fails=Trouble("b"))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"), purchased("c", "carl"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "c"))
        assert opened.status()["finance"].counts.parked == 1


@pytest.mark.rule(2)
def test_later_events_of_the_key_wait_and_keep_their_order() -> None:
    trouble = Trouble("a")
    shop = declare(fails=trouble)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle(failures="park")
        publish(opened, shop.sales, purchased("c"))
        opened.settle(failures="park")
        waiting = bills(opened, shop.finance)
        trouble.ids.clear()
        opened.clock.advance(SCHEDULED)

        assert waiting == []
        assert bills(opened, shop.finance) == billed(opened) == texts("a", "b", "c")


@pytest.mark.rule(2)
def test_the_lane_is_shared_by_all_handlers_of_the_component() -> None:
    """A failed purchase must not be billed after its return has been handled by another handler."""
    trouble = Trouble("a")
    shop = declare(fails=trouble)

    @shop.finance.handles(ItemReturned)
    def unbill(event: ItemReturned, connection: Connection) -> None:
        connection.execute(sql("delete from bill where purchase = ?"), [str(event.purchase_id)])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), returned("a"))
        opened.settle(failures="park")
        trouble.ids.clear()
        opened.clock.advance(SCHEDULED)

        assert bills(opened, shop.finance) == []
        assert opened.status()["finance"].counts.parked == 0


def test_handlers_declared_apart_do_not_wait_for_each_other() -> None:
    shop = declare(fails=Trouble("a"))

    @shop.finance.handles(ItemPurchased, lane="mail")
    def thank(event: ItemPurchased, connection: Connection) -> None:
        connection.execute(sql("insert into bill (purchase, customer) values (?, 'thanked')"), [str(event.purchase_id)])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle(failures="park")

        assert bills(opened, shop.finance) == texts("a", "b")


def test_one_handler_fails_and_the_other_one_of_the_same_event_does_not_run_again() -> None:
    trouble = Trouble("a")
    shop = declare(fails=trouble)

    @shop.finance.handles(ItemPurchased)
    def count(event: ItemPurchased, connection: Connection) -> None:
        connection.execute(sql("insert into bill (purchase, customer) values ('counted', ?)"), [str(event.purchase_id)])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        trouble.ids.clear()
        opened.clock.advance(SCHEDULED)

        assert bills(opened, shop.finance) == ["counted", *texts("a")]


@pytest.mark.rule(8)
def test_what_failed_leaves_nothing_behind_and_what_succeeded_stands_once() -> None:
    shop = declare(fails=Trouble("b", "d"))
    names = "abcdef"
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in names))
        opened.settle(failures="park")

        done = sorted(texts("a", "c", "e", "f"))
        assert sorted(bills(opened, shop.finance)) == sorted(billed(opened)) == done


@pytest.mark.rule(8)
def test_what_a_failed_attempt_published_over_a_session_is_not_published() -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
        session.execute(INSERT, {"purchase": str(event.purchase_id)})
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
        if event.purchase_id == id_of("c"):
            raise RuntimeError("no price")

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in "abcd"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(billed(opened)) == sorted(texts("a", "b", "d"))


@pytest.mark.rule(8)
def test_more_failures_than_one_batch_can_name_are_each_dealt_with_alone() -> None:
    names = [f"p{number}" for number in range(40)]
    shop = declare(fails=Trouble(*names[::2]))
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in names))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(billed(opened)) == sorted(texts(*names[1::2]))
        assert opened.status()["finance"].counts.parked == 20


@pytest.mark.rule(8)
def test_a_failure_at_the_commit_names_no_handler_and_every_event_is_run_alone() -> None:
    shop = declare(bills=False)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
        connection.execute(sql("insert into line values (?)"), [str(event.purchase_id)])
        insert_bill(connection, event)
        unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))

    @shop.finance.handles(ItemPurchased)
    def count(event: ItemPurchased, connection: Connection) -> None:
        connection.execute(sql("insert into bill (purchase, customer) values ('counted', ?)"), [str(event.purchase_id)])

    with started(shop.system) as opened:
        with opened.connection(shop.finance) as connection:
            connection.execute(sql("create table price (purchase text primary key)"))
            known = "references price (purchase) deferrable initially deferred"
            connection.execute(sql(f"create table line (purchase text {known})"))
            connection.cursor().executemany(sql("insert into price values (?)"), [[known] for known in texts("a", "c")])
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in "abc"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted([*texts("a", "c"), *["counted"] * 3])
        assert sorted(billed(opened)) == sorted(texts("a", "c"))
        assert opened.status()["finance"].counts.parked == 1


def test_a_failed_handler_is_retried_at_once_and_later_and_then_is_dead() -> None:
    shop = declare(fails=Trouble("a"), recoverability=Recoverability(immediate_retries=2, delayed_retries=3))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        at_once = len(shop.attempted)
        opened.clock.advance(timedelta(days=30))

        assert at_once == 3
        assert len(shop.attempted) == 6
        assert opened.status()["finance"].counts.dead == 1


def test_a_dead_letter_says_what_happened_and_where_in_the_users_own_code() -> None:
    shop = declare(fails=Trouble("a"), recoverability=NEVER_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        letter = letters(opened, shop.finance)[0]

    assert letter.failure is not None
    assert (letter.handler, letter.type, letter.attempts) == ("bill", "sales.ItemPurchased", 1)
    assert (letter.failure.error, letter.failure.text) == ("RuntimeError", f"no price for {id_of('a')}")
    assert letter.failure.place.startswith("shop.py:")
    assert "raise RuntimeError" in letter.failure.trace


@pytest.mark.rule(13)
def test_a_redriven_dead_letter_is_applied_and_its_followers_come_after_it() -> None:
    trouble = Trouble("a")
    shop = declare(fails=trouble, recoverability=NEVER_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"), purchased("c"))
        opened.settle(failures="park")
        held = bills(opened, shop.finance)
        trouble.ids.clear()
        with opened.connection(shop.finance) as connection:
            done = redrive(opened.databases["finance"].store, connection, dead(opened, shop), Operator("ops", "", 0.0))
        opened.settle()

        assert held == []
        assert len(done) == 1
        assert bills(opened, shop.finance) == texts("a", "b", "c")


@pytest.mark.rule(13)
def test_a_discarded_dead_letter_lets_its_followers_go() -> None:
    shop = declare(fails=Trouble("a"), recoverability=NEVER_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle(failures="park")
        with opened.connection(shop.finance) as connection:
            waiting = dead(opened, shop)
            done = discard(
                opened.databases["finance"].store, connection, [*waiting, 99], Operator("ops", "test data", 0.0)
            )
        opened.settle()

        assert done == waiting
        assert bills(opened, shop.finance) == texts("b")
        assert opened.status()["finance"].counts.discarded == 1


def test_settle_raises_the_handlers_own_exception() -> None:
    shop = declare(fails=Trouble("a"))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b", "ben"))
        with pytest.raises(RuntimeError, match="no price for"):
            opened.settle()
        opened.settle(failures="park")

        assert bills(opened, shop.finance) == texts("b")


def test_a_failing_batch_handler_is_run_one_event_at_a_time() -> None:
    shop = declare(bills=False)
    sizes: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: Connection) -> None:
        sizes.append(len(events))
        for event in events:
            insert_bill(connection, event)
            if event.purchase_id == id_of("b"):
                raise RuntimeError("no price")

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name) for name in "abc"), purchased("d", "ben"))
        opened.settle(failures="park")

        assert sorted(bills(opened, shop.finance)) == sorted(texts("a", "d"))
        assert sizes[0] == 4
        assert set(sizes[1:]) == {1}


def test_a_batch_handler_gets_consecutive_events_of_its_type_and_never_across_another_type() -> None:
    shop = declare(bills=False)
    runs: list[list[UUID]] = []

    @shop.finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased]) -> None:
        runs.append([event.purchase_id for event in events])

    @shop.finance.handles(ItemReturned)
    def unbill(event: ItemReturned) -> None:
        runs.append([event.purchase_id])

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"), returned("a"), purchased("c"))
        opened.settle()

    assert runs == [[id_of("a"), id_of("b")], [id_of("a")], [id_of("c")]]


def test_an_event_for_a_batch_handler_and_a_plain_one_keeps_its_lane() -> None:
    """The plain handler sees each event of a key before the batch handler sees the key's next one."""
    shop = declare(bills=False)
    order: list[tuple[str, UUID]] = []

    @shop.finance.handles(ItemPurchased)
    def plain(event: ItemPurchased) -> None:
        order.append(("plain", event.purchase_id))

    @shop.finance.handles(ItemPurchased)
    def batch(events: Sequence[ItemPurchased]) -> None:
        order.extend(("batch", event.purchase_id) for event in events)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

    assert order == [("plain", id_of("a")), ("batch", id_of("a")), ("plain", id_of("b")), ("batch", id_of("b"))]
