"""Calling handlers: what one publishes waits for the end of its batch, and a quiet replay publishes nothing.

What one schedules or cancels holds at once, for the command may be in the same batch.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support.shop import declare, publish, purchased

from preterite import Command, Component, System, UnitOfWork
from preterite.handling.delivery import decode as made_ready
from preterite.handling.invoker import HandlerInvoker
from preterite.handling.transaction import Batch, runner_for
from preterite.log.contract import Stream
from preterite.publishing.transaction import SessionContext
from preterite.store.rows import ReplayMode, StoreIdentity
from preterite.testing import SeededRandomness, started


@pytest.mark.rule(15)
@pytest.mark.parametrize(("quiet", "written"), [(True, 0), (False, 1)])
def test_a_replay_that_is_to_be_quiet_writes_nothing_to_the_outbox(quiet: bool, written: int) -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        relay = opened.runtime.relay("sales")
        relay.step()
        relay.close()
        database, subscriptions = opened.databases["finance"], opened.topology.subscriptions["finance"]
        reader = opened.log.reader({Stream("sales", number): 0 for number in range(8)})
        delivery = next(made_ready(subscriptions, record) for record in reader.read(100) if record.kind == "event")
        reader.close()
        assert delivery.subscription is not None
        bound = delivery.subscription.handlers[0]
        seed = SeededRandomness(7)
        identity = StoreIdentity("finance", seed.uuid(), "shop", opened.log.identity.system_id, 8)
        handling = HandlerInvoker(subscriptions, database, identity, opened.clock, {})
        transactions = runner_for(subscriptions.given, database, SessionContext(opened.clock, seed))

        def again(batch: Batch) -> None:
            handling.call(batch, bound, [delivery], 0, ReplayMode(7, again=True, quiet=quiet))
            handling.write_outbox(batch)

        transactions.transact(again)
        transactions.close()
        with opened.connection(shop.finance) as connection:
            rows = connection.execute("select count(*) from preterite_outbox").fetchone()[0]

        assert rows == written


class Remind(Command):
    name: str


def _with_session(made: Component, remind: Callable[..., None]) -> None:
    @made.handles(Remind)
    def handle(command: Remind, session: Session, unit_of_work: UnitOfWork) -> None:
        remind(command, unit_of_work)


def _with_async_session(made: Component, remind: Callable[..., None]) -> None:
    @made.handles(Remind)
    async def handle(command: Remind, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
        remind(command, unit_of_work)


def _without(made: Component, remind: Callable[..., None]) -> None:
    @made.handles(Remind)
    def handle(command: Remind, unit_of_work: UnitOfWork) -> None:
        remind(command, unit_of_work)


@pytest.mark.parametrize("declaring", [_with_session, _with_async_session, _without])
def test_a_command_that_an_earlier_handler_of_its_batch_cancels_does_not_run(declaring: Callable[..., Any]) -> None:
    finance = Component("finance")
    reminded: list[str] = []

    def remind(command: Remind, unit_of_work: UnitOfWork) -> None:
        reminded.append(command.name)
        unit_of_work.cancel(tokens["b"])
        unit_of_work.reschedule(tokens["c"], after=timedelta(days=1))

    declaring(finance, remind)
    with started(System("shop", [finance])) as opened:
        with opened.connection(finance) as connection, finance.unit_of_work(connection) as unit_of_work:
            tokens = {name: unit_of_work.schedule(Remind(name=name), after=timedelta(hours=1)) for name in "abc"}
        opened.clock.advance(timedelta(hours=1))
        opened.settle()
        first = list(reminded)
        opened.clock.advance(timedelta(days=1))
        opened.settle()

        assert (first, reminded) == (["a"], ["a", "c"])
