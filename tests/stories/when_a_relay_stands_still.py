"""Promise 1 where a worker stands still at the worst moment and another takes over: it changes nothing on waking."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from support.any_store import sql, started
from support.shop import Shop, bills, declare, publish, purchased, texts

from preterite import leases
from preterite.log.contract import Record, Stream
from preterite.publishing.relay import Relay
from preterite.testing import StartedSystem

NAMES = ("a", "b", "c")


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def opened(shop: Shop) -> Iterator[StartedSystem]:
    with started(shop.system) as opened:
        yield opened


@contextmanager
def relaying(opened: StartedSystem) -> Generator[Relay]:
    relay = opened.runtime.relay("sales", f"elsewhere/{id(object())}")
    try:
        yield relay
    finally:
        relay.close()


def once(act: Callable[[], None]) -> Callable[[], None]:
    """Do it the first time only."""
    waiting = [act]
    return lambda: waiting.pop()() if waiting else None


def run_out(opened: StartedSystem, shop: Shop) -> None:
    """Whatever lease there is has run out."""
    with opened.connection(shop.sales) as connection:
        connection.execute(sql("update preterite_lease set expires_at = 0"))
        connection.commit()


def another_takes_over(opened: StartedSystem, shop: Shop, relays: list[Relay]) -> None:
    """The lease has run out, and whoever comes next sends what there is."""
    run_out(opened, shop)
    relays.append(opened.runtime.relay("sales", "another/process"))
    relays[-1].step()


@pytest.mark.rule(16)
def test_it_sends_nothing_that_it_had_numbered(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[str] = []
    append = opened.log.append

    def noting(records: Sequence[Record]) -> Mapping[Stream, int]:
        appended.extend("event" for record in records if record.kind == "event")
        return append(records)

    monkeypatch.setattr(opened.log, "append", noting)
    with relaying(opened) as slow:
        slow.step()
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in NAMES))
        # So long does it stand still after numbering that it cannot know whether its lease still holds.
        monkeypatch.setattr(leases, "TRUST_SECONDS", 0.0)
        slow.step()
        sent_by_the_slow_one = list(appended)
        monkeypatch.undo()
    run_out(opened, shop)
    opened.settle()

    assert sent_by_the_slow_one == []
    assert sorted(bills(opened, shop.finance)) == sorted(texts(*NAMES))


@pytest.mark.rule(3)
def test_it_does_not_call_the_log_ahead_that_another_has_written_meanwhile(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays: list[Relay] = []
    publish(opened, shop.sales, *(purchased(name, customer=name) for name in NAMES))
    overtake = once(lambda: another_takes_over(opened, shop, relays))
    ends = opened.log.ends

    def looking(streams: Sequence[Stream]) -> Any:
        overtake()
        return ends(streams)

    monkeypatch.setattr(opened.log, "ends", looking)
    with relaying(opened) as slow:
        slow.step()
        for relay in relays:
            relay.close()
    opened.settle()

    assert len(relays) == 1, "it was overtaken while it looked"
    assert opened.status()["sales"].counts.relay_halt is None
    assert sorted(bills(opened, shop.finance)) == sorted(texts(*NAMES))
