"""After a fault that an event may have caused, events run alone, but only as many as a batch can have had."""

from __future__ import annotations

import sqlite3

import pytest
from support.shop import AT, ItemPurchased, bills, declare, insert_bill, publish, purchased

from preterite.clock import SystemClock
from preterite.handling.batch import BATCH_EVENTS, BatchProcessor
from preterite.receiving.careful import CAREFUL_EVENTS, CAREFUL_SECONDS, Careful
from preterite.testing import started

EVENTS = 400


class HandlersTakeTime(SystemClock):
    """Machine time stands still but for what handlers take of it."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> object:  # pyright: ignore[reportIncompatibleMethodOverride] - the business time of the test
        return AT


def test_events_run_alone_until_handlers_have_run_for_as_long_as_a_batch_can_have_taken() -> None:
    ran = [10.0]
    careful = Careful(lambda: ran[0])
    careful.begin()
    careful.passed(CAREFUL_EVENTS)

    ran[0] += CAREFUL_SECONDS - 0.01
    before = bool(careful)
    ran[0] += 0.02

    assert before
    assert not careful


def test_no_more_events_run_alone_than_a_batch_holds() -> None:
    careful = Careful(lambda: 0.0)
    careful.begin()

    careful.passed(BATCH_EVENTS - 1)
    before = bool(careful)
    careful.passed(1)

    assert before
    assert not careful


@pytest.mark.rule(9)
@pytest.mark.parametrize(("handler_seconds", "alone"), [(0.001, 200), (0.01, 50), (0.0, EVENTS)])
def test_after_a_crash_few_events_run_alone_where_handlers_take_time(
    handler_seconds: float, alone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one millisecond: the 200 of `CAREFUL_SECONDS`."""
    clock = HandlersTakeTime()
    shop = declare(bills=False)
    parked: list[int] = []
    park_all = BatchProcessor.park_all

    @shop.finance.handles(ItemPurchased, name="bill")
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        clock.passed += handler_seconds
        insert_bill(connection, event)

    def counted(batches: BatchProcessor, records: list[object], source: object) -> object:
        parked.append(len(records))
        return park_all(batches, records, source)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(BatchProcessor, "park_all", counted)
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(str(number), customer=str(number)) for number in range(EVENTS)))
        relay = opened.runtime.relay("sales")
        while relay.step():
            pass
        relay.close()
        with opened.connection(shop.finance) as connection:
            for partition in range(8):
                name = f"partition/{partition}"
                connection.execute("insert into preterite_lease values (?, 'dead', 7, 0, 3)", [name])
        monkeypatch.setattr(opened.runtime, "clock", clock)
        receiver = opened.runtime.receiver("finance")
        while receiver.step():
            pass
        receiver.close()

        assert len(set(bills(opened, shop.finance))) == len(bills(opened, shop.finance)) == EVENTS
    assert sum(parked) == alone
    assert max(parked) <= CAREFUL_EVENTS
