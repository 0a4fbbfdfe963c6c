"""Promise 6 for commands: what a component asks of its own future is handled once, in order, not early."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.any_store import Connection, sql, started
from support.shop import ItemPurchased, letters, purchased

from preterite import Command, Component, Envelope, Event, Recoverability, System, UnitOfWork
from preterite.errors import SystemRefused, UnitOfWorkSealed, UsageError
from preterite.testing import StartedSystem

START = "2013-07-30T12:00Z"
HOUR = timedelta(hours=1)


class Remind(Command):
    """Write to a customer who has not paid."""

    name: str


class ReminderSent(Event, key="name"):
    name: str


@dataclass
class Office:
    """One component that reminds, and what it was given to do."""

    finance: Component
    system: System
    reminded: list[tuple[str, datetime]] = field(default_factory=list[tuple[str, datetime]])
    clock: object = None


def office(recoverability: Recoverability | None = None, fails: Sequence[str] = ()) -> Office:
    sales = Component("sales", publishes=[ItemPurchased])
    finance = Component(
        "finance",
        publishes=[ReminderSent],
        tables=sql("create table reminder (position integer primary key, name text)"),
        recoverability=recoverability,
    )
    made = Office(finance, System("shop", [sales, finance]))

    @finance.handles(Remind)
    def remind(command: Remind, connection: Connection, unit_of_work: UnitOfWork, envelope: Envelope) -> None:
        if command.name in fails:
            raise RuntimeError("no paper")
        connection.execute(sql("insert into reminder (name) values (?)"), [command.name])
        unit_of_work.publish(ReminderSent(name=command.name))
        if command.name == "again":
            unit_of_work.schedule(Remind(name="and again"), after=HOUR)

    return made


def ask(shop: StartedSystem, finance: Component, name: str, after: timedelta) -> UUID:
    with shop.connection(finance) as connection, finance.unit_of_work(connection) as unit_of_work:
        return unit_of_work.schedule(Remind(name=name), after=after)


def reminders(shop: StartedSystem, finance: Component) -> list[str]:
    with shop.connection(finance) as connection:
        return [row[0] for row in connection.execute(sql("select name from reminder order by position"))]


def test_a_command_is_handled_when_it_is_due_and_not_before() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        ask(shop, made.finance, "anna", HOUR)
        shop.clock.advance(HOUR - timedelta(microseconds=1))
        shop.settle()
        before = reminders(shop, made.finance)
        shop.clock.advance(timedelta(microseconds=1))

        assert before == []
        assert reminders(shop, made.finance) == ["anna"]
        assert [event.name for event in shop.published(ReminderSent)] == ["anna"]


def test_commands_are_handled_once_in_the_order_of_their_times() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        for name, hours in (("c", 3), ("a", 1), ("b", 2), ("a again", 1)):
            ask(shop, made.finance, name, hours * HOUR)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert reminders(shop, made.finance) == ["a", "a again", "b", "c"]
        assert shop.status()["finance"].counts.scheduled == 0


def test_what_a_handler_asks_for_is_handled_in_its_turn() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        ask(shop, made.finance, "again", HOUR)
        shop.clock.advance(HOUR)
        after_one = reminders(shop, made.finance)
        shop.clock.advance(HOUR)

        assert after_one == ["again"]
        assert reminders(shop, made.finance) == ["again", "and again"]


def test_a_command_of_a_unit_of_work_that_fails_is_never_handled() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        with pytest.raises(RuntimeError):
            with shop.connection(made.finance) as connection, made.finance.unit_of_work(connection) as unit_of_work:
                unit_of_work.schedule(Remind(name="anna"), after=HOUR)
                raise RuntimeError
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert reminders(shop, made.finance) == []


def test_a_savepoint_takes_back_what_was_asked_for_inside_it() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        with shop.session(made.finance) as session, made.finance.unit_of_work(session) as unit_of_work:
            unit_of_work.schedule(Remind(name="kept"), after=HOUR)
            nested = session.begin_nested()
            unit_of_work.schedule(Remind(name="taken back"), after=HOUR)
            nested.rollback()
        shop.clock.advance(HOUR)

        assert reminders(shop, made.finance) == ["kept"]


def test_a_command_can_be_cancelled_and_moved_by_its_token() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        cancelled, moved = ask(shop, made.finance, "anna", HOUR), ask(shop, made.finance, "ben", HOUR)
        ask(shop, made.finance, "carl", 2 * HOUR)
        with shop.session(made.finance) as session, made.finance.unit_of_work(session) as unit_of_work:
            unit_of_work.cancel(cancelled)
            unit_of_work.reschedule(moved, at=shop.clock.now() + 3 * HOUR)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert reminders(shop, made.finance) == ["carl", "ben"]


def test_cancelling_what_was_handled_changes_nothing() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        token = ask(shop, made.finance, "anna", HOUR)
        shop.clock.advance(HOUR)
        with shop.session(made.finance) as session, made.finance.unit_of_work(session) as unit_of_work:
            unit_of_work.cancel(token)
            unit_of_work.reschedule(token, after=HOUR)
        shop.clock.advance(10 * HOUR)
        shop.settle()

        assert reminders(shop, made.finance) == ["anna"]


def test_a_handler_can_cancel_what_is_due_in_the_same_batch() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    handled: list[str] = []
    tokens: dict[str, UUID] = {}

    @finance.handles(Remind)
    def remind(command: Remind, unit_of_work: UnitOfWork) -> None:
        handled.append(command.name)
        if command.name == "first":
            unit_of_work.cancel(tokens["second"])
            unit_of_work.reschedule(tokens["third"], after=HOUR)

    with started(System("shop", [sales, finance]), at=START) as shop:
        for name in ("first", "second", "third", "fourth"):
            tokens[name] = ask(shop, finance, name, HOUR)
        shop.clock.advance(HOUR)
        at_one = list(handled)
        shop.clock.advance(HOUR)

        assert at_one == ["first", "fourth"]
        assert handled == ["first", "fourth", "third"]


@pytest.mark.rule(8)
def test_a_failing_command_is_run_again_and_holds_up_no_other() -> None:
    made = office(Recoverability(immediate_retries=1, delayed_retries=1, first_delay_seconds=60), fails=["ben"])
    with started(made.system, at=START) as shop:
        for name in ("anna", "ben", "carl"):
            ask(shop, made.finance, name, HOUR)
        shop.clock.advance(2 * HOUR)
        shop.settle(failures="park")

        assert reminders(shop, made.finance) == ["anna", "carl"]
        assert shop.status()["finance"].counts.dead == 1
        assert [event.name for event in shop.published(ReminderSent)] == ["anna", "carl"]


def test_a_failed_command_that_waits_to_be_run_again_can_be_cancelled() -> None:
    made = office(Recoverability(immediate_retries=0, first_delay_seconds=7200), fails=["ben"])
    with started(made.system, at=START) as shop:
        token = ask(shop, made.finance, "ben", HOUR)
        shop.clock.to(shop.clock.now() + HOUR)
        parked = shop.status()["finance"].counts.parked
        with shop.connection(made.finance) as connection, made.finance.unit_of_work(connection) as unit_of_work:
            unit_of_work.cancel(token)

        assert parked == 1
        assert shop.status()["finance"].counts.parked == 0


@pytest.mark.rule(15)
def test_what_a_command_publishes_has_the_same_identifier_in_every_attempt() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance", publishes=[ReminderSent])
    identifiers: list[UUID] = []

    @finance.handles(Remind)
    def remind(command: Remind, unit_of_work: UnitOfWork) -> None:
        identifiers.append(unit_of_work.new_id())
        if len(identifiers) < 3:
            raise RuntimeError("not yet")

    with started(System("shop", [sales, finance]), at=START) as shop:
        ask(shop, finance, "anna", HOUR)
        shop.clock.advance(2 * HOUR)
        shop.settle(failures="park")

        assert len(identifiers) == 3
        assert len(set(identifiers)) == 1


@pytest.mark.rule(15)
def test_what_a_handler_asks_for_has_the_same_token_in_every_attempt() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    tokens: list[UUID] = []

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
        tokens.append(unit_of_work.schedule(Remind(name="anna"), after=HOUR))
        tokens.append(unit_of_work.schedule(Remind(name="anna"), after=HOUR))
        if len(tokens) < 6:
            raise RuntimeError("not yet")

    @finance.handles(Remind)
    def remind(command: Remind) -> None: ...

    with started(System("shop", [sales, finance]), at=START) as shop:
        with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
            unit_of_work.publish(purchased("one"))
        shop.settle(failures="park")

        assert tokens == tokens[:2] * 3
        assert tokens[0] != tokens[1]
        assert shop.status()["finance"].counts.scheduled == 2


def test_an_async_handler_asks_for_later_and_handles_it() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    handled: list[str] = []

    @finance.handles(ItemPurchased)
    async def bill(event: ItemPurchased, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
        await asyncio.sleep(0)
        unit_of_work.schedule(Remind(name="by event"), after=HOUR)

    @finance.handles(Remind)
    async def remind(command: Remind, session: AsyncSession) -> None:
        handled.append(command.name)

    async def purchase(shop: StartedSystem) -> None:
        async with shop.session(finance) as session, finance.unit_of_work(session) as unit_of_work:
            unit_of_work.schedule(Remind(name="by unit of work"), after=HOUR)

    with started(System("shop", [sales, finance]), at=START) as shop:
        with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
            unit_of_work.publish(purchased("one"))
        shop.settle()
        asyncio.run(purchase(shop))
        shop.clock.advance(HOUR)
        shop.settle()

        assert sorted(handled) == ["by event", "by unit of work"]


def test_a_handler_over_a_session_asks_for_later() -> None:
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    handled: list[str] = []

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
        with session.begin_nested():
            unit_of_work.schedule(Remind(name="kept"), after=HOUR)
        nested = session.begin_nested()
        unit_of_work.schedule(Remind(name="taken back"), after=HOUR)
        nested.rollback()

    @finance.handles(Remind)
    def remind(command: Remind) -> None:
        handled.append(command.name)

    with started(System("shop", [sales, finance]), at=START) as shop:
        with shop.session(sales) as session, sales.unit_of_work(session) as unit_of_work:
            unit_of_work.publish(purchased("one"))
        shop.settle()
        shop.clock.advance(HOUR)

        assert handled == ["kept"]


def test_what_cannot_be_asked_for_is_refused_in_one_sentence() -> None:
    class Unheard(Command):
        name: str

    made = office()
    with started(made.system, at=START) as shop, shop.connection(made.finance) as connection:
        with made.finance.unit_of_work(connection) as unit_of_work:
            with pytest.raises(UsageError, match="Nothing in component 'finance' handles Unheard"):
                unit_of_work.schedule(Unheard(name="anna"), after=HOUR)
            with pytest.raises(UsageError, match="Pass either at= or after="):
                unit_of_work.schedule(Remind(name="anna"))
            with pytest.raises(UsageError, match="either"):
                unit_of_work.schedule(Remind(name="anna"), at=shop.clock.now(), after=HOUR)
            with pytest.raises(UsageError, match="without zone"):
                unit_of_work.schedule(Remind(name="anna"), at=datetime(2013, 7, 30))
            with pytest.raises(UsageError, match=r"Remind.name must be str"):
                unit_of_work.schedule(Remind(name=1), after=HOUR)  # pyright: ignore[reportArgumentType] - on purpose
        with pytest.raises(UnitOfWorkSealed, match="after its unit of work had ended"):
            unit_of_work.schedule(Remind(name="anna"), after=HOUR)
        shop.clock.advance(10 * HOUR)

        assert reminders(shop, made.finance) == []


def test_a_command_has_one_handler_in_one_component() -> None:
    sales, finance = Component("sales"), Component("finance")
    for component in (sales, finance):

        @component.handles(Remind)
        def remind(command: Remind) -> None: ...

    @finance.handles(Remind, name="twice")
    def again(commands: Sequence[Remind]) -> None: ...

    with pytest.raises(SystemRefused) as refused:
        System("shop", [sales, finance]).verify()

    assert "Remind is handled by finance.remind and finance.twice and sales.remind" in str(refused.value)
    assert "commands are handled one by one" in str(refused.value)


@pytest.mark.rule(21)
def test_after_a_stall_what_happened_before_comes_before_what_is_due() -> None:
    """Finance was down for two days: the payment that arrived meanwhile is heard before the reminder is sent."""
    sales, finance = Component("sales", publishes=[ItemPurchased]), Component("finance")
    order: list[str] = []

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        order.append("event")

    @finance.handles(Remind)
    def remind(command: Remind) -> None:
        order.append("due")

    with started(System("shop", [sales, finance]), at=START) as shop:
        ask(shop, finance, "anna", HOUR)
        for number in range(600):
            with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(purchased(str(number), customer=str(number)))
        relay = shop.runtime.relay("sales")
        while relay.step():
            pass
        relay.close()
        shop.clock.settle_with(lambda: None, lambda: None)
        shop.clock.advance(48 * HOUR)
        shop.settle()

        assert order == ["event"] * 600 + ["due"]


def test_what_waits_for_a_handler_that_is_retired_becomes_a_dead_letter() -> None:
    made = office()
    with started(made.system, at=START) as shop:
        ask(shop, made.finance, "anna", HOUR)
        store = shop.databases["finance"].store
        with shop.connection(made.finance) as connection:
            store.begin(connection)
            dead = store.retire_handler(connection, "remind", 0.0)
            connection.commit()

        assert dead == 1
        assert [(letter.handler, letter.state) for letter in letters(shop, made.finance)] == [("remind", "dead")]
        assert shop.status()["finance"].counts.scheduled == 0
