"""Calling handlers: what one publishes waits for the end of its batch, and a quiet replay publishes nothing."""

from __future__ import annotations

import pytest
from small_shop import declare, publish, purchased

from preterite.handling import Handling
from preterite.items import opened as made_ready
from preterite.log import Stream
from preterite.rows import Replaying, StoreIdentity
from preterite.sessions import Binding
from preterite.testing import SeededRandomness, started
from preterite.workplace import Batch, workplace_for


@pytest.mark.rule(15)
@pytest.mark.parametrize(("quiet", "written"), [(True, 0), (False, 1)])
def test_a_replay_that_is_to_be_quiet_writes_nothing_to_the_outbox(quiet: bool, written: int) -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        relay = opened.relay("sales")
        relay.step()
        relay.close()
        database, subscriptions = opened.databases["finance"], opened.topology.subscriptions["finance"]
        reader = opened.log.reader({Stream("sales", number): 0 for number in range(8)})
        item = next(made_ready(subscriptions, record) for record in reader.read(100) if record.kind == "event")
        reader.close()
        assert item.subscription is not None
        bound = item.subscription.handlers[0]
        seed = SeededRandomness(7)
        identity = StoreIdentity("finance", seed.uuid(), "shop", opened.log.identity.system_id, 8)
        handling = Handling(subscriptions, database.store, identity, opened.clock)
        workplace = workplace_for(subscriptions.given, database, Binding(opened.clock, seed))

        def again(batch: Batch) -> None:
            handling.call(batch, bound, [item], 0, Replaying(7, again=True, quiet=quiet))
            handling.write_outbox(batch)

        workplace.transact(again)
        workplace.close()
        with opened.connection(shop.finance) as connection:
            rows = connection.execute("select count(*) from preterite_outbox").fetchone()[0]

        assert rows == written
