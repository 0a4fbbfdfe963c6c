"""Promise 5, nothing vanishes: applied, or a visible record with a reason; and the rest flows."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from support.any_store import log_place, places, sql, sqlite_only, started
from support.shop import (
    AT,
    Shop,
    bills,
    declare,
    id_of,
    letters,
    publish,
    purchased,
    returned,
    texts,
)

from preterite import Component, Event, Recoverability, System
from preterite.contracts import NAME_BYTES_MAX
from preterite.envelope import Envelope, to_bytes
from preterite.errors import StoreUnavailable
from preterite.log.contract import Log, Record, Stream
from preterite.log.sqlite.log import SqliteLog
from preterite.operations.dead_letters import Operator, redrive
from preterite.testing import StartedSystem


class TroubleSome:
    """Fails the first times it is asked, then no more."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, _purchase: UUID) -> bool:
        self.times -= 1
        return self.times >= 0


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def opened(shop: Shop) -> Iterator[StartedSystem]:
    with started(shop.system) as opened:
        yield opened


def envelope(kind: str, data: bytes, *, key: str | None = "anna", number: int = 1) -> bytes:
    return to_bytes(
        Envelope(id=UUID(int=number), source="/shop/sales", type=kind, time=AT, data=msgspec.Raw(data), subject=key)
    )


def from_elsewhere(opened: StartedSystem, *bodies: bytes) -> None:
    """Put records into a stream of Sales, as a publisher in another language, or a newer one, would."""
    stream = Stream("sales", 0)
    epoch, first = opened.log.end(stream).epoch, opened.log.end(stream).number + 1
    records = [
        Record(stream, "event", epoch, first + index, UUID(int=first + index).bytes, body)
        for index, body in enumerate(bodies)
    ]
    opened.log.append(records)
    receiver = opened.runtime.receiver("finance")
    while receiver.step():
        pass
    receiver.close()


GOOD = msgspec.json.encode(purchased("good"))
NEWER = b'{"purchase_id": "7", "customer_id": 5}'


def test_a_handler_that_fails_sometimes_has_its_event_applied_in_the_end() -> None:
    shop = declare(fails=TroubleSome(2))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        opened.clock.to("2014-01-01")

        assert bills(opened, shop.finance) == texts("a")
        assert opened.status()["finance"].counts.parked == 0


def test_what_is_no_envelope_is_set_aside_with_its_bytes_and_the_rest_flows(opened: StartedSystem, shop: Shop) -> None:
    from_elsewhere(opened, b"\x00 not json", envelope("sales.ItemPurchased", GOOD, number=2))

    assert bills(opened, shop.finance) == texts("good")
    letter = letters(opened, shop.finance)[0]
    assert letter.failure is not None
    assert letter.failure.error == "Undecodable"
    assert letter.record.body == b"\x00 not json"


@pytest.mark.parametrize("depth", [65, 991, 1_100, 50_000])
def test_a_record_nested_too_deep_is_set_aside_and_the_rest_flows(
    opened: StartedSystem, shop: Shop, depth: int
) -> None:
    deep = envelope("sales.ItemPurchased", b"[" * depth + b"1" + b"]" * depth)
    from_elsewhere(opened, deep, envelope("sales.ItemPurchased", GOOD, key="ben", number=2))

    assert bills(opened, shop.finance) == texts("good")
    assert [letter.record.body for letter in letters(opened, shop.finance)] == [deep]


def test_a_record_whose_key_has_nul_is_a_dead_letter_and_the_rest_flows(opened: StartedSystem, shop: Shop) -> None:
    """PostgreSQL cannot store such a key: parking the event under it would fail at every round."""
    bad = envelope("sales.ItemPurchased", GOOD, key="an\0na")
    from_elsewhere(opened, bad, bad, envelope("sales.ItemPurchased", GOOD, key="ben", number=2))

    assert bills(opened, shop.finance) == texts("good")
    assert [(one.record.body, one.failure and one.failure.error) for one in letters(opened, shop.finance)] == [
        (bad, "Undecodable")
    ] * 2


@pytest.mark.parametrize(
    ("kind", "key", "says"),
    [
        ("sales.Item\0Wrapped", "anna", "The name of its type contains NUL"),
        ("x" * 100_000, "anna", "The name of its type has over 1,024 bytes"),
        ("sales.ItemPurchased", "k" * 100_000, "sales.ItemPurchased: its key has over 1,024 bytes"),
    ],
    ids=["NUL", "a long name", "a long key"],
)
def test_a_name_that_no_index_holds_is_a_dead_letter_and_the_rest_flows(kind: str, key: str, says: str) -> None:
    """Counting it, or parking under it, would fail at every round."""
    shop = declare(fails=lambda purchase: purchase != id_of("good"))
    bad = envelope(kind, msgspec.json.encode(purchased("bad")), key=key)
    with started(shop.system) as opened:
        from_elsewhere(opened, bad, envelope("sales.ItemPurchased", GOOD, key="ben", number=2))

        assert bills(opened, shop.finance) == texts("good")
        assert [(one.record.body, one.failure and one.failure.text) for one in letters(opened, shop.finance)] == [
            (bad, says)
        ]


def test_the_longest_key_is_parked_like_any_other() -> None:
    key = "".join(sha256(b"%d" % number).hexdigest() for number in range(16))
    assert len(key) == NAME_BYTES_MAX
    shop = declare(fails=lambda _purchase: True, recoverability=Recoverability(immediate_retries=0, delayed_retries=0))
    with started(shop.system) as opened:
        from_elsewhere(opened, envelope("sales.ItemPurchased", GOOD, key=key))

        assert [letter.key for letter in letters(opened, shop.finance)] == [key]


def test_an_event_of_another_component_in_ones_own_stream_is_a_dead_letter_and_nothing_else() -> None:
    """What may append for Shipping speaks for Shipping only, live and in history, and holds up no event of Sales."""
    shop = declare()

    class ParcelPosted(Event, key="customer_id"):
        purchase_id: UUID
        customer_id: UUID

    shipping = Component("shipping", publishes=[ParcelPosted])

    @shop.finance.handles(ParcelPosted)
    def note(event: ParcelPosted) -> None:
        """Finance reads the streams of Shipping."""

    with started(System("shop", [shop.sales, shop.finance, shipping])) as opened:
        forged = envelope("sales.ItemPurchased", GOOD)
        publisher = Stream("shipping", 0)
        opened.log.append([Record(publisher, "event", opened.log.end(publisher).epoch, 1, UUID(int=1).bytes, forged)])
        from_elsewhere(opened, envelope("sales.ItemPurchased", msgspec.json.encode(purchased("true")), number=2))
        letter = letters(opened, shop.finance)[0]
        with opened.connection(shop.finance) as connection:
            redrive(opened.databases["finance"].store, connection, [letter.id], Operator("ops", "", 0.0))
        from_elsewhere(opened, envelope("sales.ItemPurchased", msgspec.json.encode(purchased("next")), number=3))

        assert bills(opened, shop.finance) == texts("true", "next")
        assert [one.record.body for one in letters(opened, shop.finance)] == [forged]
        assert letter.failure is not None
        assert letter.failure.text == (
            "sales.ItemPurchased: only sales publishes it, and it stands in a stream of shipping"
        )


def test_an_event_that_needs_newer_code_waits_with_its_followers_until_the_contracts_change(
    opened: StartedSystem, shop: Shop
) -> None:
    from_elsewhere(
        opened,
        envelope("sales.ItemPurchased", NEWER),
        envelope("sales.ItemPurchased", GOOD, number=2),
        envelope("sales.ItemPurchased", msgspec.json.encode(purchased("other", "ben")), key="ben", number=3),
    )
    waiting = letters(opened, shop.finance)[0]

    assert bills(opened, shop.finance) == texts("other"), "the other key flows"
    assert waiting.state == "undecodable"
    assert waiting.failure is not None
    assert "sales.ItemPurchased version 1" in waiting.failure.text

    store = opened.databases["finance"].store
    with opened.connection(shop.finance) as connection:
        connection.execute(sql("begin"))
        assert store.retry_undecodable(connection, "newer contracts") == 1
        connection.execute(
            sql("update preterite_parked set envelope = ? where state = 'parked' and number = 1"),
            [envelope("sales.ItemPurchased", msgspec.json.encode(purchased("mended")))],
        )
        connection.commit()
    receiver = opened.runtime.receiver("finance")
    while receiver.step():
        pass
    receiver.close()

    assert bills(opened, shop.finance) == texts("other", "mended", "good")


def test_what_still_cannot_be_read_when_it_is_redriven_waits_again(opened: StartedSystem, shop: Shop) -> None:
    from_elsewhere(opened, envelope("sales.ItemPurchased", NEWER))
    with opened.connection(shop.finance) as connection:
        number = letters(opened, shop.finance)[0].id
        redrive(opened.databases["finance"].store, connection, [number], Operator("ops", "", 0.0))
    receiver = opened.runtime.receiver("finance")
    while receiver.step():
        pass
    receiver.close()

    assert [letter.state for letter in letters(opened, shop.finance)] == ["undecodable"]


def test_a_type_that_no_component_declares_is_counted_and_passed(opened: StartedSystem, shop: Shop) -> None:
    from_elsewhere(
        opened,
        envelope("sales.ItemWrapped", b"{}"),
        envelope("sales.ItemWrapped", b"{}", number=2),
        envelope("sales.ItemPurchased", GOOD, number=3),
    )

    assert bills(opened, shop.finance) == texts("good")
    assert letters(opened, shop.finance) == []
    with opened.connection(shop.finance) as connection:
        found = connection.execute(sql("select publisher, what, count from preterite_skipped")).fetchall()
    assert found == [("sales", "sales.ItemWrapped", 2)]


@pytest.mark.rule(17)
def test_a_void_moves_on_and_leaves_a_dead_letter_with_its_reason(opened: StartedSystem, shop: Shop) -> None:
    stream = Stream("sales", 0)
    opened.log.append([Record(stream, "void", 0, 1, UUID(int=1).bytes, b"the log does not take it")])
    from_elsewhere(opened, envelope("sales.ItemPurchased", GOOD, number=2))

    assert bills(opened, shop.finance) == texts("good")
    letter = letters(opened, shop.finance)[0]
    assert letter.failure is not None
    assert (letter.failure.error, letter.failure.text) == ("Void", "the log does not take it")


def test_events_without_a_key_wait_for_no_other() -> None:
    class NoteWritten(Event):
        text: str

    notes = Component("notes", publishes=[NoteWritten])
    reader = Component("reader")
    read: list[str] = []

    @reader.handles(NoteWritten)
    def keep(event: NoteWritten) -> None:
        if event.text == "bad":
            raise RuntimeError("cannot read this")
        read.append(event.text)

    with started(System("notes", [notes, reader])) as opened:
        publish(opened, notes, *(NoteWritten(text=text) for text in ("a", "bad", "b")))
        opened.settle(failures="park")
        publish(opened, notes, NoteWritten(text="c"))
        opened.settle(failures="park")

        assert set(read) == {"a", "b", "c"}
        assert opened.status()["reader"].counts.parked == 1


def test_the_counts_add_up(shop: Shop) -> None:
    """What was published = applied + parked + dead + discarded, whatever happened on the way."""
    shop = declare(fails=lambda purchase: purchase.int % 3 == 0)
    with started(shop.system) as opened:
        for number in range(60):
            publish(opened, shop.sales, purchased(f"p{number}", customer=f"c{number % 7}"))
        opened.settle(failures="park")
        opened.clock.to("2014-01-01")
        counts = opened.status()["finance"].counts

        assert len(bills(opened, shop.finance)) + counts.parked + counts.dead + counts.discarded == 60
        assert counts.dead > 0


@sqlite_only
def test_a_unit_of_work_on_a_full_disk_fails_and_the_next_one_succeeds(tmp_path: Path) -> None:
    """What the user sees is their own database's error; nothing was announced, nothing is half done."""
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        with opened.connection(shop.sales) as connection:
            pages = connection.execute(sql("pragma page_count")).fetchone()[0]
            connection.execute(sql(f"pragma max_page_count={pages}"))
            with pytest.raises(Exception, match="database or disk is full"):
                with shop.sales.unit_of_work(connection) as unit_of_work:
                    for number in range(5000):
                        unit_of_work.publish(purchased(f"p{number}"))
            connection.execute(sql("pragma max_page_count=1000000"))
            with shop.sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("a", "b")


def test_two_events_of_one_customer_keep_their_order_across_types(opened: StartedSystem, shop: Shop) -> None:
    publish(opened, shop.sales, purchased("a"), returned("a"), purchased("b"))
    opened.settle()
    stream = next(s for s in (Stream("sales", n) for n in range(8)) if opened.log.end(s).number)
    reader = opened.log.reader({stream: 0})
    kinds = [msgspec.json.decode(record.body)["type"] for record in reader.read(10)][:3]
    reader.close()

    assert kinds == ["sales.ItemPurchased", "sales.ItemReturned", "sales.ItemPurchased"]


def pages_of(log: Log, pragma: str) -> int:
    """Ask the connection on which the log writes, or tell it how many pages its disk has."""
    assert isinstance(log, SqliteLog)
    return log._connection.execute(sql(f"pragma {pragma}")).fetchone()[0]  # pyright: ignore[reportPrivateUsage]


@sqlite_only
def test_a_log_on_a_full_disk_is_waited_for_and_everything_committed_is_appended_afterwards(tmp_path: Path) -> None:
    """Sales goes on purchasing meanwhile; nothing is lost, doubled or out of order."""
    shop = declare()
    files = places(tmp_path, ("sales", "finance"))
    with shop.system.open(databases=files, log=log_place(tmp_path), create_tables=True) as opened:
        opened.settle()
        pages = pages_of(opened.log, "page_count")
        pages_of(opened.log, f"max_page_count={pages}")
        names = [f"p{number}" for number in range(300)]
        publish(opened, shop.sales, *(purchased(name) for name in names))
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="The log is not available"):
                opened.settle()
        unsent = opened.status()["sales"].outbox
        pages_of(opened.log, "max_page_count=1000000")
        opened.settle()

        assert unsent == 300
        assert bills(opened, shop.finance) == texts(*names)
