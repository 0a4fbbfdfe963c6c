"""Calling handlers: what one publishes waits for the end of its batch, and a quiet replay publishes nothing."""

from __future__ import annotations

import pytest
from support.small_shop import declare, publish, purchased

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
        handling = HandlerInvoker(subscriptions, database.store, identity, opened.clock)
        transactions = runner_for(subscriptions.given, database, SessionContext(opened.clock, seed))

        def again(batch: Batch) -> None:
            handling.call(batch, bound, [delivery], 0, ReplayMode(7, again=True, quiet=quiet))
            handling.write_outbox(batch)

        transactions.transact(again)
        transactions.close()
        with opened.connection(shop.finance) as connection:
            rows = connection.execute("select count(*) from preterite_outbox").fetchone()[0]

        assert rows == written
