"""Promise 8, loss is noticed: a gap, a lost end, a publisher that has gone back.

Nothing beyond is applied, and everybody can see why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from support import lossy_logs
from support.any_store import sql, started
from support.shop import Shop, bills, declare, publish, purchased, texts

from preterite.errors import LogAhead, LogError
from preterite.leases import Leases
from preterite.log import gaps
from preterite.log.contract import Record, Stream
from preterite.publishing import relay as outbox
from preterite.testing import StartedSystem


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def opened(shop: Shop) -> Iterator[StartedSystem]:
    with started(shop.system) as opened:
        yield opened


def announce(opened: StartedSystem, shop: Shop, *names: str) -> Stream:
    """Publish and send, without anybody handling it yet; returns the stream they are in."""
    publish(opened, shop.sales, *(purchased(name) for name in names))
    relay = opened.runtime.relay("sales")
    while relay.step():
        pass
    relay.close()
    return next(stream for stream in streams(opened) if opened.log.end(stream).number)


def streams(opened: StartedSystem) -> Sequence[Stream]:
    return [Stream("sales", partition) for partition in range(8)]


def lose(opened: StartedSystem, stream: Stream, *numbers: int) -> None:
    lossy_logs.lose(opened.log, stream, numbers)


def handle(opened: StartedSystem) -> None:
    """Let Finance handle what it can get, without the relay of Sales mending anything."""
    receiver = opened.runtime.receiver("finance")
    while receiver.step():
        pass
    receiver.close()


def look_often(opened: StartedSystem) -> None:
    """Let Finance look again though it found nothing."""
    receiver = opened.runtime.receiver("finance")
    for _ in range(3):
        receiver.step()
    receiver.close()


def stopped(opened: StartedSystem) -> Mapping[Stream, str]:
    return opened.status()["finance"].stalled


@pytest.mark.rule(5)
@pytest.mark.parametrize("lost", [(1,), (1, 2), (1, 2, 3)])
def test_what_the_log_lost_before_a_component_came_is_sent_again(
    opened: StartedSystem, shop: Shop, lost: tuple[int, ...]
) -> None:
    lose(opened, announce(opened, shop, "a", "b", "c"), *lost)
    opened.settle()

    assert bills(opened, shop.finance) == texts("a", "b", "c")


@pytest.mark.rule(5)
def test_nothing_beyond_a_gap_is_applied_and_the_reason_is_visible(opened: StartedSystem, shop: Shop) -> None:
    stream = announce(opened, shop, "a", "b", "c")
    lose(opened, stream, 2)
    handle(opened)

    assert bills(opened, shop.finance) == texts("a")
    assert stopped(opened)[stream].startswith(f"number 2 of {stream} is missing; there is 3.")


@pytest.mark.rule(5)
def test_a_system_with_a_gap_says_that_it_cannot_settle(opened: StartedSystem, shop: Shop) -> None:
    stream = announce(opened, shop, "a", "b", "c")
    relay = opened.runtime.relay("sales")
    relay.step()
    lose(opened, stream, 2)
    with pytest.raises(LogError, match="'finance' cannot settle: number 2"):
        opened.settle()
    relay.close()


@pytest.mark.rule(5)
def test_a_gap_lets_other_streams_flow(opened: StartedSystem, shop: Shop) -> None:
    handle(opened)
    relay = opened.runtime.relay("sales")
    publish(opened, shop.sales, purchased("a"), purchased("b"))
    relay.step()
    lose(opened, next(stream for stream in streams(opened) if opened.log.end(stream).number), 1)
    publish(opened, shop.sales, purchased("c", "somebody in another stream"))
    relay.step()
    handle(opened)
    relay.close()

    assert bills(opened, shop.finance) == texts("c")


@pytest.mark.rule(5)
def test_a_gap_is_healed_from_the_journal_when_the_relay_takes_over(opened: StartedSystem, shop: Shop) -> None:
    stream = announce(opened, shop, "a", "b", "c")
    lose(opened, stream, 2)
    handle(opened)
    announce(opened, shop, "d")
    handle(opened)

    assert bills(opened, shop.finance) == texts("a", "b", "c", "d")
    assert stopped(opened) == {}


@pytest.mark.rule(5)
def test_a_stream_that_moves_again_says_so_even_if_its_worker_dies_at_once(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = announce(opened, shop, "a", "b", "c")
    lose(opened, stream, 2)
    handle(opened)
    announce(opened, shop)

    def die(_leases: Leases) -> None:
        raise RuntimeError("just after the commit")

    receiver = opened.runtime.receiver("finance")
    monkeypatch.setattr(Leases, "committed", die)
    with pytest.raises(RuntimeError, match="just after the commit"):
        while receiver.step():
            pass
    receiver.close()

    assert bills(opened, shop.finance) == texts("a", "b", "c")
    assert stopped(opened) == {}


@pytest.mark.rule(4)
def test_a_lost_end_is_noticed_though_nothing_is_published_afterwards(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a", "b")
    stream = announce(opened, shop)
    lose(opened, stream, 2)
    handle(opened)

    assert bills(opened, shop.finance) == texts("a")
    assert "number 2" in stopped(opened)[stream]
    assert "the log should hold 2" in stopped(opened)[stream]


@pytest.mark.rule(3)
def test_a_record_of_an_older_epoch_is_not_applied_and_the_stream_is_stalled_visibly(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = announce(opened, shop, "a")
    handle(opened)
    zombie = Record(stream, "event", 1, 2, b"forgotten", b"{}")
    lossy_logs.arrive_late(opened.log, zombie)
    look_often(opened)
    at_once = stopped(opened)
    monkeypatch.setattr(gaps, "RESEND_SECONDS_MIN", 0.0)
    look_often(opened)

    assert bills(opened, shop.finance) == texts("a")
    assert at_once == {}, "its publisher may be sending it again"
    assert "number 2 of" in stopped(opened)[stream]
    assert "under an older epoch" in stopped(opened)[stream]


@pytest.mark.rule(3)
@pytest.mark.rule(5)
def test_a_reader_follows_a_publisher_that_sends_again_in_chunks_what_it_wrote_under_an_older_epoch(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = announce(opened, shop, *"abcdefgh")
    lose(opened, stream, 2)
    receiver = opened.runtime.receiver("finance")
    while receiver.step():
        pass
    monkeypatch.setattr(outbox, "APPEND_EVENTS_PER_PARTITION", 2)
    append = opened.log.append

    def slowly(records: Sequence[Record]) -> Mapping[Stream, int]:
        appended = append(records)
        for _ in range(3):
            receiver.step()
        return appended

    monkeypatch.setattr(opened.log, "append", slowly)
    announce(opened, shop)
    while receiver.step():
        pass
    receiver.close()

    assert bills(opened, shop.finance) == texts(*"abcdefgh")
    assert stopped(opened) == {}


@pytest.mark.rule(3)
@pytest.mark.rule(11)
def test_what_a_publisher_was_sending_again_when_it_died_is_sent_before_it_is_too_old(
    opened: StartedSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log lacks nothing any more, and still its readers wait for what is there under an older epoch."""
    lose(opened, announce(opened, shop, *"abcdef"), 2)
    append = opened.log.append

    def die_after_the_first(records: Sequence[Record]) -> Mapping[Stream, int]:
        if any(record.number > 3 for record in records if record.kind == "event"):
            raise RuntimeError("the process has ended")
        return append(records)

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "APPEND_EVENTS_PER_PARTITION", 2)
        patch.setattr(opened.log, "append", die_after_the_first)
        dying = opened.runtime.relay("sales")
        with pytest.raises(RuntimeError, match="has ended"):
            dying.step()
        dying.close()
    relay = opened.runtime.relay("sales")
    relay.journal_seconds = -1.0
    while relay.step():
        pass
    relay.close()
    handle(opened)

    assert bills(opened, shop.finance) == texts(*"abcdef")
    assert stopped(opened) == {}


@pytest.mark.rule(3)
def test_a_publisher_that_has_gone_back_stops_its_stream(opened: StartedSystem, shop: Shop) -> None:
    stream = announce(opened, shop, "a", "b")
    handle(opened)
    epoch = opened.log.end(stream).epoch + 1
    opened.log.append([Record(stream, "head", epoch, 1, b"another life", b"")])
    handle(opened)

    assert "has gone back" in stopped(opened)[stream]


@pytest.mark.rule(3)
def test_a_publisher_that_gave_the_last_number_to_another_event_stops_its_stream(
    opened: StartedSystem, shop: Shop
) -> None:
    stream = announce(opened, shop, "a", "b")
    handle(opened)
    epoch = opened.log.end(stream).epoch + 1
    opened.log.append([Record(stream, "head", epoch, 2, b"another life", b"")])
    handle(opened)

    assert "has gone back: 2 is not what was read here up to 2" in stopped(opened)[stream]


@pytest.mark.rule(3)
def test_a_database_that_is_behind_its_log_appends_nothing_and_says_so(opened: StartedSystem, shop: Shop) -> None:
    stream = announce(opened, shop, "a", "b")
    with opened.connection(shop.sales) as connection:
        connection.execute(sql("update preterite_stream set last_number = 1, confirmed = 1 where last_number > 0"))
        connection.execute(sql("delete from preterite_journal where number > 1"))
    publish(opened, shop.sales, purchased("c"))
    claims = opened.log.end(stream).epoch
    relay = opened.runtime.relay("sales")
    with pytest.raises(LogAhead, match=f"the log holds {stream} up to number 2, this database gave only 1"):
        relay.step()
    relay.close()

    assert opened.log.end(stream).number == 2
    assert opened.log.end(stream).epoch == claims, "a copy that is behind must not fence the publisher in use"
    assert "restored from a backup" in str(opened.status()["sales"].counts.relay_halt)


@pytest.mark.rule(3)
def test_a_database_whose_events_differ_from_the_logs_appends_nothing(opened: StartedSystem, shop: Shop) -> None:
    announce(opened, shop, "a", "b")
    with opened.connection(shop.sales) as connection:
        connection.execute(sql("update preterite_stream set last_id = x'00' where last_number > 0"))
    relay = opened.runtime.relay("sales")
    with pytest.raises(LogAhead, match="another event than the journal"):
        relay.step()
    relay.close()


@pytest.mark.rule(18)
def test_what_the_log_never_showed_a_known_subscriber_is_a_gap(opened: StartedSystem, shop: Shop) -> None:
    """Finance has looked at an empty stream; later its first events are gone. That is loss, not a late start."""
    handle(opened)
    stream = announce(opened, shop, "a", "b", "c")
    lose(opened, stream, 1, 2)
    handle(opened)

    assert bills(opened, shop.finance) == []
    assert "number 1" in stopped(opened)[stream]
