"""Promise 5 for operators: dead letters are grouped, planned, redriven in steps, edited, discarded, noted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from support.any_store import IS_SQLITE, sql, started
from support.shop import ItemPurchased, Shop, bills, declare, id_of, letters, publish, purchased, texts
from support.tiers import sample

from preterite import OpenSystem, Recoverability
from preterite.contracts import Checked
from preterite.errors import UsageError
from preterite.hosting.runtime import Runtime
from preterite.operations.dead_letters import (
    Operator,
    discard,
    edit,
    failure_groups,
    group_name,
    growing_steps,
    note,
    plan,
    redrive,
    redrive_in_steps,
    stops_after,
)
from preterite.store.rows import AuditLine
from preterite.testing import SeededRandomness, StartedSystem

AT_ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
OPS = Operator("ops", "price added", 5.0)


class Office:
    """A shop whose Finance fails for some purchases, and an operator who looks at what failed."""

    def __init__(self, opened: StartedSystem, shop: Shop) -> None:
        self.opened = opened
        self.shop = shop
        self.store = opened.databases["finance"].store
        self.connection = opened.databases["finance"].connect()

    def fail(self, *names: str) -> list[int]:
        """Purchases of different customers that fail; their letters."""
        for name in names:
            publish(self.opened, self.shop.sales, purchased(name, customer=name))
        self.opened.settle(failures="park")
        return [letter.id for letter in letters(self.opened, self.shop.finance)]

    def audit(self) -> list[AuditLine]:
        return list(self.store.audit(self.connection, 100))

    def work(self) -> bool:
        """Let the component work, as if it ran beside."""
        self.opened.settle(failures="park")
        return True


@pytest.fixture
def broken() -> set[object]:
    return {id_of(name) for name in "abcdefgh"}


@pytest.fixture
def office(broken: set[object]) -> object:
    shop = declare(recoverability=AT_ONCE, fails=lambda purchase: purchase in broken)
    with started(shop.system) as opened:
        made = Office(opened, shop)
        yield made
        made.connection.close()


def test_dead_letters_that_failed_in_the_same_way_are_one_failure_group_whose_name_stays(office: Office) -> None:
    office.fail("a", "b")
    first = failure_groups(office.store, office.connection)
    office.fail("c")
    second = failure_groups(office.store, office.connection)

    assert [group.dead_letters for group in first] == [2]
    assert [group.dead_letters for group in second] == [3]
    assert first[0].fingerprint.handler == "bill"
    assert first[0].fingerprint.place.startswith("shop.py:")
    names = {group_name("finance", group.fingerprint) for group in (*first, *second)}
    assert len(names) == 1
    assert names != {group_name("shipping", first[0].fingerprint)}


def test_a_plan_says_what_will_run_and_what_waits_behind_and_changes_nothing(office: Office) -> None:
    failed = office.fail("a", "b")
    publish(office.opened, office.shop.sales, purchased("behind a", customer="a"), purchased("and", customer="a"))
    office.opened.settle(failures="park")
    planned = plan(office.store, office.connection, [*failed, 999])

    assert planned.dead_letters == tuple(failed)
    assert planned.handlers == {"bill": 2}
    assert planned.followers == 2
    assert planned.not_dead == (999,)
    assert planned.steps == (1, 1)
    assert [letter.id for letter in letters(office.opened, office.shop.finance)] == failed
    assert office.audit() == []


def test_steps_grow_so_that_the_first_mistake_is_made_with_one_dead_letter() -> None:
    assert list(growing_steps(0)) == []
    assert list(growing_steps(1)) == [1]
    assert list(growing_steps(200)) == [1, 5, 25, 125, 44]


@pytest.mark.parametrize(
    ("handled", "failed", "stops"), [(0, 1, True), (1, 0, False), (19, 1, False), (18, 1, True), (94, 6, True)]
)
def test_more_than_one_in_twenty_that_fail_again_stop_it(handled: int, failed: int, stops: bool) -> None:
    assert stops_after(handled, failed) is stops


def test_a_redrive_in_steps_handles_all_and_says_how_it_goes(office: Office, broken: set[object]) -> None:
    failed = office.fail(*"abcdefgh")
    broken.clear()
    planned = plan(office.store, office.connection, failed)
    steps = list(redrive_in_steps(office.store, office.connection, planned, OPS, office.work))

    assert [(step.handled, step.failed_again, step.left) for step in steps] == [(1, 0, 0), (5, 0, 0), (2, 0, 0)]
    assert sorted(bills(office.opened, office.shop.finance)) == sorted(texts(*"abcdefgh"))
    assert [line.action for line in office.audit()] == ["redrive"] * 3
    assert [len(line.target.split()) for line in office.audit()] == [2, 5, 1]


def test_a_redrive_stops_when_dead_letters_fail_again_and_leaves_the_rest(office: Office) -> None:
    failed = office.fail(*"abcdefgh")
    planned = plan(office.store, office.connection, failed)
    steps = list(redrive_in_steps(office.store, office.connection, planned, OPS, office.work))

    assert [(step.handled, step.failed_again, step.left) for step in steps] == [(0, 1, 7)]
    assert len(letters(office.opened, office.shop.finance)) == 8


def test_a_redrive_that_no_worker_runs_stops(office: Office) -> None:
    failed = office.fail("a", "b")
    looks: list[int] = []

    def wait() -> bool:
        looks.append(1)
        return len(looks) < 3

    planned = plan(office.store, office.connection, failed)
    steps = list(redrive_in_steps(office.store, office.connection, planned, OPS, wait))

    assert [(step.unfinished, step.left) for step in steps] == [(1, 1)]


def test_an_edited_dead_letter_is_applied_as_changed_and_the_original_is_kept(
    office: Office, broken: set[object]
) -> None:
    number = office.fail("a")[0]
    checked = Checked(type(purchased("a")))
    edit(office.store, office.connection, number, {"purchase_id": str(id_of("mended"))}, checked, OPS)
    row = letters(office.opened, office.shop.finance)[0]
    redrive(office.store, office.connection, [number], OPS)
    office.opened.settle()
    edited = office.audit()[1]

    assert row.original is not None
    assert str(id_of("a")) in row.original.decode()
    assert bills(office.opened, office.shop.finance) == texts("mended")
    assert (edited.action, edited.operator, edited.reason, edited.at) == ("edit", "ops", "price added", 5.0)
    assert str(id_of("a")) in edited.before
    assert str(id_of("mended")) in edited.after


def test_what_cannot_be_edited_is_refused_and_nothing_changes(office: Office) -> None:
    number = office.fail("a")[0]
    checked = Checked(type(purchased("a")))

    def refuse(changes: dict[str, object], says: str, letter: int = number) -> None:
        with pytest.raises(UsageError, match=says):
            edit(office.store, office.connection, letter, changes, checked, OPS)

    refuse({"price": 3}, "has no field 'price'; it has purchase_id, customer_id, purchased_at")
    refuse({"purchased_at": "yesterday"}, "would not be valid")
    refuse({"customer_id": str(id_of("somebody else"))}, "The key of an event decides its order and cannot be changed")
    refuse({}, "is not a dead letter", letter=999)

    assert letters(office.opened, office.shop.finance)[0].original is None
    assert office.audit() == []


def test_discarding_needs_a_reason_and_is_on_record(office: Office) -> None:
    numbers = office.fail("a", "b")
    with pytest.raises(UsageError, match="needs a reason"):
        discard(office.store, office.connection, numbers, replace_reason(OPS, ""))
    done = discard(office.store, office.connection, numbers[:1], replace_reason(OPS, "a test"))

    assert done == numbers[:1]
    assert [(line.action, line.reason) for line in office.audit()] == [("discard", "a test")]
    assert [letter.id for letter in letters(office.opened, office.shop.finance)] == numbers[1:]


def replace_reason(operator: Operator, reason: str) -> Operator:
    return operator._replace(reason=reason)


def test_a_note_comes_back_when_the_group_does(office: Office, broken: set[object]) -> None:
    numbers = office.fail("a")
    fingerprint = failure_groups(office.store, office.connection)[0].fingerprint
    note(office.store, office.connection, fingerprint, "add the price, then redrive", OPS)
    discard(office.store, office.connection, numbers, OPS)
    office.fail("b")
    found = failure_groups(office.store, office.connection)[0]

    assert found.note is not None
    assert (found.note.text, found.note.by) == ("add the price, then redrive", "ops")


# what a component may do about failures by itself


@pytest.mark.parametrize("where", ["handler", "component", "system"])
def test_errors_declared_pointless_to_retry_are_dead_at_once(where: str) -> None:
    from preterite import Component, System
    from preterite.testing import SeededRandomness

    assert SeededRandomness().fraction() < 1
    policy = Recoverability(immediate_retries=5, delayed_retries=5, unrecoverable=(KeyError,))
    patient = Recoverability(immediate_retries=5, delayed_retries=5)
    small = declare(bills=False)
    finance = Component("finance", recoverability={"handler": patient, "component": policy, "system": None}[where])
    attempts: list[str] = []

    @finance.handles(type(purchased("a")), recoverability=policy if where == "handler" else None)
    def bill(event: object) -> None:
        attempts.append("one")
        raise KeyError("no price")

    bill.__annotations__["event"] = type(purchased("a"))
    system = System("shop", [small.sales, finance], recoverability=policy if where == "system" else None)
    with started(system) as opened:
        publish(opened, small.sales, purchased("a"))
        opened.settle(failures="park")

        assert len(attempts) == 1
        assert opened.status()["finance"].counts.dead == 1


def test_a_component_whose_events_fail_again_and_again_goes_on_with_the_others() -> None:
    """A hundred customers whose events fail, and are due again at once; meanwhile all others are billed."""
    failing = {id_of(f"failing {number}") for number in range(100)}
    shop = declare(recoverability=Recoverability(immediate_retries=1_000_000), fails=lambda one: one in failing)
    with started(shop.system) as opened:
        relay, receiver = opened.runtime.relay("sales"), opened.runtime.receiver("finance")
        for number in range(100):
            publish(opened, shop.sales, purchased(f"failing {number}", customer=f"failing {number}"))
        relay.step()
        while len(set(shop.attempted)) < 100:
            receiver.step()
        publish(opened, shop.sales, *[purchased(str(number), customer=str(number)) for number in range(3_000)])
        while relay.step():
            pass
        before = shop.attempted.count(str(id_of("failing 0")))
        shop.attempted.clear()
        while len(bills(opened, shop.finance)) < 3_000:
            receiver.step()
        retries = sum(UUID(one) in failing for one in shop.attempted)
        relay.close()
        receiver.close()

    assert before > 0
    assert 0 < retries <= 3_000 / 10 + 100 + 10, "a tenth of what succeeded, what was saved up, and one round before"


@pytest.mark.rule(13)
def test_thousands_of_followers_of_a_parked_key_are_released_in_order(broken: set[object]) -> None:
    """The key's own events one after the other; nobody else has waited for them."""
    broken.clear()
    broken.add(id_of("0"))
    shop = declare(recoverability=AT_ONCE, fails=lambda purchase: purchase in broken)
    names = [str(number) for number in range(sample(1_001, 10_001 if IS_SQLITE else 2_001))]
    with started(shop.system) as opened:
        publish(opened, shop.sales, *[purchased(name) for name in names])
        opened.settle(failures="park")
        publish(opened, shop.sales, purchased("other", customer="ben"))
        opened.settle(failures="park")
        waiting = opened.status()["finance"].counts
        before = bills(opened, shop.finance)
        broken.clear()
        made = Office(opened, shop)
        redrive(made.store, made.connection, [letters(opened, shop.finance)[0].id], OPS)
        opened.settle()
        made.connection.close()

        assert (waiting.dead, waiting.parked) == (1, len(names) - 1)
        assert before == texts("other")
        assert bills(opened, shop.finance)[1:] == texts(*names)


def test_a_lane_that_is_full_holds_up_its_stream_visibly_and_no_other(
    broken: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from preterite.handling import batch as inbox

    monkeypatch.setattr(inbox, "PARKED_PER_LANE_MAX", 2)
    broken.clear()
    broken.add(id_of("0"))
    shop = declare(recoverability=AT_ONCE, fails=lambda purchase: purchase in broken)
    other = customer_elsewhere()
    with started(shop.system) as opened:
        publish(opened, shop.sales, *[purchased(str(number)) for number in range(4)])
        publish(opened, shop.sales, *[purchased(f"other {number}", customer=other) for number in range(4)])
        relay, receiver = opened.runtime.relay("sales"), opened.runtime.receiver("finance")
        relay.step()
        for _ in range(10):
            receiver.step()
        stopped = list(opened.status()["finance"].stalled.values())
        meanwhile = bills(opened, shop.finance)
        broken.clear()
        made = Office(opened, shop)
        redrive(made.store, made.connection, [letters(opened, shop.finance)[0].id], OPS)
        until(lambda: receiver.step().busy, lambda: len(bills(opened, shop.finance)) == 8)
        for loop in (relay, receiver, made.connection):
            loop.close()

        assert len(stopped) == 1
        assert "events of sales/" in stopped[0]
        assert "wait behind one another for key" in stopped[0]
        assert meanwhile == texts(*[f"other {number}" for number in range(4)])
        assert opened.status()["finance"].stalled == {}
        assert [bill for bill in bills(opened, shop.finance) if bill not in meanwhile] == texts("0", "1", "2", "3")


def customer_elsewhere() -> str:
    """A customer whose events go to another partition than Anna's."""
    from preterite.contracts import partition_of

    mine = partition_of(str(id_of("anna")), 8)
    return next(name for name in "abcdefgh" if partition_of(str(id_of(name)), 8) != mine)


def until(step: Callable[[], bool], true: Callable[[], bool]) -> None:
    """Step until it is so; a stream that stood still is read again after a second."""
    import time

    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        step()


def work_once(opened: OpenSystem) -> None:
    """Do what there is to do, and give the leases back."""
    for loop in (opened.runtime.relay("sales"), opened.runtime.receiver("finance")):
        while loop.step():
            pass
        loop.close()


def test_what_is_behind_a_dead_letter_of_a_retired_handler_goes_on_when_it_is_discarded() -> None:
    """Redriving it is refused: nothing could run it, and its key would wait behind it."""
    shop, newer = declare(recoverability=AT_ONCE, fails=lambda _purchase: True), declare(bills=False)
    handled: list[object] = []

    @newer.finance.handles(ItemPurchased, name="count")
    def count(event: ItemPurchased) -> None:
        handled.append(event.purchase_id)

    with started(shop.system) as opened, opened.connection(shop.finance) as connection:
        store = opened.databases["finance"].store
        publish(opened, shop.sales, purchased("a"))
        work_once(opened)
        failed = [row.id for row in letters(opened, shop.finance)]
        store.begin(connection)
        store.retire_handler(connection, "bill", 0.0)
        connection.commit()
        kept = (opened.databases, opened.log, opened.clock, SeededRandomness(2))
        topology = newer.system.verify(opened.databases)
        connect = partial(Runtime, "shop", newer.system.components, topology, *kept)
        deployed = OpenSystem(connect(), connect)
        redriven = redrive(store, connection, failed, OPS)
        publish(opened, shop.sales, purchased("b"))
        work_once(deployed)
        before = list(handled)
        discarded = discard(store, connection, failed, OPS)
        work_once(deployed)

    assert (len(failed), redriven, before) == (1, [], [])
    assert (discarded, handled) == (failed, [id_of("b")])


def test_what_is_parked_for_a_handler_that_no_program_declares_is_dead_after_one_attempt(office: Office) -> None:
    failed = office.fail("a")
    redrive(office.store, office.connection, failed, OPS)
    with office.opened.connection(office.shop.finance) as connection:
        connection.execute(sql("update preterite_parked set handler = 'nobody'"))
    office.opened.settle(failures="park")
    (row,) = letters(office.opened, office.shop.finance)

    assert (row.handler, row.state, row.attempts) == ("nobody", "dead", 1)
