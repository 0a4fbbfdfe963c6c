"""Promise 3, at least once outside the database: a call may repeat, and carries the same key each time."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
from support.any_store import Connection, started
from support.shop import AT, ItemBilled, ItemPurchased, declare, insert_bill, publish, purchased

from preterite import Envelope, UnitOfWork
from preterite.envelope import from_bytes
from preterite.log.contract import Record, Stream


@pytest.mark.rule(15)
def test_a_call_that_is_repeated_carries_the_same_key() -> None:
    shop = declare(bills=False)
    charged: list[UUID] = []
    envelopes: list[UUID] = []

    @shop.finance.handles(ItemPurchased)
    def charge(event: ItemPurchased, unit_of_work: UnitOfWork, envelope: Envelope) -> None:
        charged.append(unit_of_work.new_id())
        envelopes.append(envelope.id)
        if len(charged) < 4:
            raise ConnectionError("the payment provider did not answer")

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        opened.clock.to("2014-01-01")

    assert len(charged) == 4
    assert len(set(charged)) == len(set(envelopes)) == 1


@pytest.mark.rule(15)
def test_what_a_rerun_publishes_has_the_same_identifiers_one_event_at_a_time_or_many() -> None:
    """A batch handler names the cause, so that a run of one makes the same identifiers as a run of many."""
    shop = declare(bills=False)
    failing = [True]

    @shop.finance.handles(ItemPurchased)
    def bill(events: Sequence[ItemPurchased], connection: Connection, unit_of_work: UnitOfWork) -> None:
        for event in events:
            insert_bill(connection, event)
            billed = ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT)
            unit_of_work.publish(billed, caused_by=event)
            shop.attempted.append(str(unit_of_work.new_id(caused_by=event)))
        if failing.pop() if failing else False:
            raise RuntimeError("once")

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle(failures="park")

    assert shop.attempted[:2] == shop.attempted[2:4]
    assert len(set(shop.attempted)) == 2


def test_what_a_handler_publishes_belongs_to_the_conversation_of_its_cause() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        reader = opened.log.reader(dict.fromkeys(_streams("sales", "finance"), 0))
        messages = {message.type: message for message in _messages(reader.read(100))}
        reader.close()

    cause, effect = messages["sales.ItemPurchased"], messages["finance.ItemBilled"]
    assert (effect.causationid, effect.correlationid) == (cause.id, cause.id)
    assert (cause.causationid, cause.correlationid) == (None, None)
    assert effect.source == "/shop/finance"


def _streams(*publishers: str) -> list[Stream]:
    return [Stream(publisher, partition) for publisher in publishers for partition in range(8)]


def _messages(records: Sequence[Record]) -> list[Envelope]:
    return [from_bytes(record.body) for record in records if record.kind == "event"]
