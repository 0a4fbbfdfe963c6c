"""The relay: numbers what was committed and gets it into the log, whatever happens to either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.shop import Shop, declare, publish, purchased, texts

from preterite.errors import LogConflict, LogFenced, RecordRefused, StoreUnavailable
from preterite.log.contract import Record, Stream, journal_start
from preterite.log.memory import MemoryLog
from preterite.publishing import relay as outbox
from preterite.publishing.relay import Relay
from preterite.testing import SeededRandomness, StartedSystem, started
from preterite.testing.clock import MovableClock


class TroubledLog(MemoryLog):
    """An in-memory log that can be told to fail as brokers do."""

    def __init__(self, log: MemoryLog, clock: MovableClock) -> None:
        super().__init__(log.identity, clock)
        self.unreachable = False
        self.takes = 1_000_000
        self.answers = True
        self.refuses: bytes | None = None
        self.chunks: list[int] = []

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        if self.unreachable:
            raise StoreUnavailable("The log is out of reach.")
        for record in records:
            if self.refuses is not None and self.refuses in record.body and record.kind == "event":
                raise RecordRefused(record.stream, record.number, "the log does not take it")
        if any(record.kind == "event" for record in records):
            self.chunks.append(len(records))
        taken = super().append(records[: self.takes])
        if not self.answers:
            raise StoreUnavailable("No answer from the log.")
        return taken


@dataclass
class Bench:
    """A shop whose Sales is announced by a relay of the test's own, into a log that can be troubled."""

    shop: Shop
    opened: StartedSystem
    log: TroubledLog
    clock: MovableClock
    relays: list[Relay] = field(default_factory=list[Relay])

    def relay(self) -> Relay:
        self.relays.append(
            Relay(
                "sales",
                self.opened.databases["sales"],
                self.log,
                self.clock,
                SeededRandomness(len(self.relays) + 1),
                lambda: None,
            )
        )
        return self.relays[-1]

    def publish(self, *names: str) -> None:
        publish(self.opened, self.shop.sales, *(purchased(name) for name in names))

    def announced(self) -> list[str]:
        """The purchases in the log, by number."""
        streams = [Stream("sales", partition) for partition in range(8)]
        records = self.log.reader(dict.fromkeys(streams, 0)).read(10_000)
        found: list[str] = []
        for record in records:
            if record.kind == "event":
                body = record.body.decode()
                found.append(body.partition('"purchase_id":"')[2][:36])
        return found

    def journaled(self) -> int:
        """How many events are in the journal."""
        with self.opened.connection(self.shop.sales) as connection:
            return connection.execute("select count(*) from preterite_journal").fetchone()[0]

    def heads(self) -> list[tuple[int, int]]:
        """What the newest head says of the stream: its last number, and the first that can be sent again."""
        stream = self.stream()
        found = self.log.reader({stream: self.log.end(stream).number}).read(10)
        return [(record.number, journal_start(record)) for record in found]

    def stream(self) -> Stream:
        """The stream that is used."""
        return next(s for s in (Stream("sales", p) for p in range(8)) if self.log.end(s).number)

    def epochs(self) -> list[int]:
        """Under which epoch each record was written, as places among the epochs that there are."""
        found = [record.epoch for record in self.log.reader({self.stream(): 0}).read(100) if record.kind == "event"]
        return [sorted(set(found)).index(epoch) for epoch in found]

    def numbers(self) -> tuple[int, int]:
        """Last number given, and last one confirmed, over all partitions."""
        with self.opened.connection(self.shop.sales) as connection:
            rows = self.opened.databases["sales"].store.stream_numbers(connection)
        return sum(row.last_number for row in rows), sum(row.confirmed for row in rows)


@pytest.fixture
def bench() -> Iterator[Bench]:
    shop = declare(bills=False)
    with started(shop.system) as opened:
        assert isinstance(opened.log, MemoryLog)
        made = Bench(shop, opened, TroubledLog(opened.log, opened.clock), opened.clock)
        yield made
        for relay in made.relays:
            relay.close()


def test_what_is_committed_is_in_the_log_after_a_step_in_order(bench: Bench) -> None:
    bench.publish("a", "b")
    bench.publish("c")

    assert bench.relay().step()
    assert bench.announced() == texts("a", "b", "c")


def test_a_relay_reports_whether_it_has_taken_all_there_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "NUMBER_EVENTS", 2)
    relay = bench.relay()
    bench.publish("a", "b", "c")
    taken: list[bool] = []
    while progress := relay.step():
        taken.append(progress.drained)

    assert taken == [False, True]
    assert bench.announced() == texts("a", "b", "c")


def test_an_idle_step_does_nothing(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()

    assert not relay.step()


def test_numbering_is_durable_before_anything_is_sent(bench: Bench) -> None:
    bench.publish("a")
    relay = bench.relay()
    bench.log.unreachable = True
    with pytest.raises(StoreUnavailable):
        relay.step()

    assert bench.numbers() == (1, 0)
    assert bench.announced() == []


def test_what_was_numbered_is_sent_when_the_answer_was_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction that numbers has committed, and the relay does not hear of it."""
    relay = bench.relay()
    relay.step()
    bench.publish("a")
    database = bench.opened.databases["sales"]
    number = database.store.number
    connection: Any = relay._connection  # pyright: ignore[reportPrivateUsage]
    commit = connection.commit

    def lose_the_answer() -> None:
        commit()
        monkeypatch.setattr(connection, "commit", commit)
        raise StoreUnavailable("The database has gone away.")

    def number_then_lose(*arguments: Any) -> Any:
        monkeypatch.setattr(connection, "commit", lose_the_answer)
        return number(*arguments)

    monkeypatch.setattr(database.store, "number", number_then_lose)
    with pytest.raises(StoreUnavailable):
        relay.step()
    numbered = bench.numbers()
    relay.step()

    assert numbered == (1, 0)
    assert bench.announced() == texts("a")


def test_what_the_log_did_not_take_goes_again_under_the_same_numbers(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a", "b")
    bench.log.unreachable = True
    with pytest.raises(StoreUnavailable):
        relay.step()
    bench.log.unreachable = False
    bench.publish("c")
    relay.step()

    assert bench.announced() == texts("a", "b", "c")


def test_an_append_without_an_answer_is_repeated_and_doubles_nothing(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a", "b")
    bench.log.answers = False
    with pytest.raises(StoreUnavailable):
        relay.step()
    bench.log.answers = True
    relay.step()

    assert bench.announced() == texts("a", "b")
    assert bench.log.chunks == [2, 2]


@pytest.mark.rule(12)
def test_confirmed_is_a_prefix_everything_behind_the_first_failure_goes_again(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a", "b", "c", "d")
    bench.log.takes = 1
    relay.step()

    assert bench.announced() == texts("a", "b", "c", "d")
    assert bench.log.chunks == [4, 3, 2, 1]


@pytest.mark.rule(16)
def test_a_backlog_is_appended_in_bounded_chunks_and_remembered_after_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "APPEND_EVENTS_PER_PARTITION", 3)
    relay = bench.relay()
    relay.step()
    bench.publish(*"abcdefgh")
    bench.log.unreachable = True
    with pytest.raises(StoreUnavailable):
        relay.step()
    bench.log.unreachable = False
    seen: list[int] = []
    append = bench.log.append

    def remember(records: Sequence[Record]) -> Mapping[Stream, int]:
        seen.append(bench.numbers()[1])
        return append(records)

    monkeypatch.setattr(bench.log, "append", remember)
    relay.step()

    assert bench.log.chunks == [3, 3, 2]
    assert seen == [0, 3, 6]


@pytest.mark.rule(16)
def test_a_relay_that_may_have_been_overtaken_sends_nothing_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a")
    monkeypatch.setattr("preterite.leases.TRUST_SECONDS", 0.0)
    relay.step()

    assert bench.announced() == []


def test_the_next_relay_goes_on_where_the_last_one_stalled(bench: Bench) -> None:
    first = bench.relay()
    bench.publish("a")
    first.step()
    bench.publish("b")
    bench.log.unreachable = True
    with pytest.raises(StoreUnavailable):
        first.step()
    first.close()
    bench.log.unreachable = False
    bench.publish("c")
    bench.relay().step()

    assert bench.announced() == texts("a", "b", "c")


@pytest.mark.rule(3)
def test_only_one_relay_is_active(bench: Bench) -> None:
    first, second = bench.relay(), bench.relay()
    first.step()
    bench.publish("a")

    assert not second.step()
    assert bench.announced() == []


@pytest.mark.rule(3)
def test_every_takeover_takes_a_newer_epoch_than_any_before(bench: Bench) -> None:
    epochs: list[int] = []
    for _ in range(3):
        relay = bench.relay()
        relay.step()
        relay.close()
        epochs.append(bench.log.end(Stream("sales", 0)).epoch)

    assert epochs == sorted(set(epochs))
    assert epochs[0] >= bench.clock.wall() * 1000 - 60_000, "the epoch grows with the clock, even after a restore"


@pytest.mark.rule(3)
def test_an_overtaken_relay_takes_over_again_before_it_writes(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()
    bench.log.take_over({Stream("sales", partition): 0 for partition in range(8)}, 2**62, b"somebody else")
    bench.publish("a")
    relay.step()
    overtaken = bench.announced()
    relay.step()

    assert overtaken == []
    assert bench.announced() == texts("a")
    assert bench.log.end(Stream("sales", 0)).epoch > 2**62


@pytest.mark.rule(3)
def test_a_takeover_takes_from_the_log_how_far_it_is_up_and_down(bench: Bench) -> None:
    first = bench.relay()
    first.step()
    bench.publish("a", "b", "c")
    first.step()
    first.close()
    stream = next(s for s in (Stream("sales", p) for p in range(8)) if bench.log.end(s).number)
    bench.log.lose(stream, [2, 3])
    bench.relay().step()

    assert bench.announced() == texts("a", "b", "c")
    assert bench.numbers() == (3, 3), "what the log has now is remembered"


@pytest.mark.rule(4)
def test_a_head_is_appended_at_the_takeover_and_every_minute(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[tuple[int, int]] = []
    append = bench.log.append

    def watch(records: Sequence[Record]) -> Mapping[Stream, int]:
        heads.extend((record.stream.partition, record.number) for record in records if record.kind == "head")
        return append(records)

    monkeypatch.setattr(bench.log, "append", watch)
    bench.publish("a")
    relay = bench.relay()
    relay.step()
    relay.close()
    second = bench.relay()
    second.step()
    at_takeover = list(heads)
    second.step()
    monkeypatch.setattr(outbox, "HEAD_SECONDS", 0.0)
    second.step()

    assert [number for _, number in at_takeover] == [1]
    assert heads == at_takeover * 2


@pytest.mark.rule(17)
def test_an_event_that_the_log_refuses_leaves_a_void_under_its_number(bench: Bench) -> None:
    bench.log.refuses = texts("b")[0].encode()
    bench.publish("a", "b", "c")
    relay = bench.relay()
    relay.step()
    relay.step()
    stream = next(s for s in (Stream("sales", p) for p in range(8)) if bench.log.end(s).number)
    records = [record for record in bench.log.reader({stream: 0}).read(10) if record.kind != "head"]

    assert [(record.kind, record.number) for record in records] == [("event", 1), ("void", 2), ("event", 3)]
    assert records[1].body.decode() == "the log does not take it"
    with bench.opened.connection(bench.shop.sales) as connection:
        kept = connection.execute("select envelope from preterite_journal where void is not null").fetchone()[0]
    assert texts("b")[0].encode() in kept
    assert bench.opened.status()["sales"].problems == ["sales has 1 event in its journal that the log refused"]


def test_another_event_under_a_number_stops_the_relay_visibly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a")

    def conflict(_records: Sequence[Record]) -> Mapping[Stream, int]:
        raise LogConflict("Another event stands under number 1 of sales/7; nothing was appended.")

    monkeypatch.setattr(bench.log, "append", conflict)
    with pytest.raises(Exception, match="Another event stands under number 1"):
        relay.step()
    assert "Another event stands" in str(bench.opened.status()["sales"].counts.relay_halt)


@pytest.mark.rule(3)
def test_the_log_does_not_take_another_event_under_a_number_that_it_has(bench: Bench) -> None:
    relay = bench.relay()
    relay.step()
    bench.publish("a")
    end = bench.log.end(Stream("sales", 0))
    # Somebody writes what is not this publisher's, under its epoch: a mistake, or a forged record.
    for partition in range(8):
        bench.log.append([Record(Stream("sales", partition), "event", end.epoch, 1, b"x" * 16, b"{}")])
    with pytest.raises(Exception, match="Another event stands under number 1"):
        relay.step()

    assert bench.announced() == [""] * 8, "nothing was appended, and nothing replaced"
    assert "Another event stands" in str(bench.opened.status()["sales"].counts.relay_halt)


@pytest.mark.rule(11)
def test_the_journal_keeps_what_is_not_confirmed_however_old(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "JOURNAL_SECONDS", -1.0)
    monkeypatch.setattr(outbox, "PRUNE_SECONDS", 0.0)
    relay = bench.relay()
    bench.publish("a")
    relay.step()
    confirmed = bench.journaled()
    bench.publish("b")
    bench.log.takes = 0
    relay.step()
    not_confirmed = bench.journaled()
    bench.log.takes = 1
    relay.step()

    assert (confirmed, not_confirmed, bench.journaled()) == (0, 1, 0)


@pytest.mark.rule(5)
def test_a_request_for_what_the_journal_no_longer_holds_is_answered_and_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = _with_a_pruned_journal(bench, monkeypatch)
    bench.publish("c")
    relay.step()
    bench.log.request_resend(bench.stream(), 1)
    relay.step()
    confirmed, answer = bench.numbers(), bench.heads()
    bench.publish("d")
    relay.step()

    assert confirmed == (3, 3), "nothing is sent again"
    assert answer == [(3, 3)], "the journal begins at 3"
    assert bench.announced() == texts("a", "b", "c", "d")


@pytest.mark.rule(3)
@pytest.mark.rule(5)
@pytest.mark.parametrize("lost", [(1,), (2,), (1, 2), (2, 3)])
def test_a_hole_that_is_older_than_the_journal_keeps_no_publisher_from_going_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: tuple[int, ...]
) -> None:
    relay = _with_a_pruned_journal(bench, monkeypatch)
    bench.publish("c")
    relay.step()
    relay.close()
    bench.log.lose(bench.stream(), lost)
    for name in "de":
        after_restart = bench.relay()
        bench.publish(name)
        after_restart.step()
        after_restart.step()
        after_restart.close()
    reader = bench.log.reader({bench.stream(): 2})

    assert [record.number for record in reader.read(100) if record.kind == "event"] == [3, 4, 5]
    assert bench.numbers() == (5, 5)
    assert bench.opened.status()["sales"].counts.relay_halt is None


@pytest.mark.rule(5)
def test_what_was_being_sent_again_is_sent_by_the_next_relay_though_the_log_lacks_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its readers wait for ever for what is there under an older epoch."""
    monkeypatch.setattr(outbox, "APPEND_EVENTS_PER_PARTITION", 2)
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    first = bench.relay()
    first.step()
    bench.publish(*"abcdef")
    first.step()
    first.close()
    second = bench.relay()
    second.step()
    bench.log.lose(bench.stream(), [2])
    bench.log.request_resend(bench.stream(), 2)
    second.step()
    append = bench.log.append

    def once(records: Sequence[Record]) -> Mapping[Stream, int]:
        appended = append(records)
        bench.log.unreachable = True
        return appended

    monkeypatch.setattr(bench.log, "append", once)
    with pytest.raises(StoreUnavailable):
        second.step()
    interrupted = bench.epochs()
    monkeypatch.undo()
    bench.log.unreachable = False
    second.close()
    bench.relay().step()

    assert interrupted == [0, 1, 1, 0, 0, 0]
    assert bench.epochs() == [0, 1, 1, 2, 2, 2]


@pytest.mark.rule(11)
def test_what_is_to_be_sent_again_stays_in_the_journal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PRUNE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "SAVE_SECONDS", 3600.0)
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    relay = bench.relay()
    bench.publish("a", "b", "c")
    relay.step()
    bench.log.lose(bench.stream(), [2])
    bench.log.request_resend(bench.stream(), 2)
    relay.journal_seconds = -1.0
    relay.step()

    assert bench.journaled() == 2
    assert relay.step()
    assert bench.announced() == texts("a", "b", "c")


@pytest.mark.rule(11)
def test_a_relay_that_does_not_know_whether_it_has_pruned_asks_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PRUNE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    relay = bench.relay()
    relay.step()
    bench.publish("a", "b")
    relay.step()
    relay.journal_seconds = -1.0
    store = bench.opened.databases["sales"].store
    prune = store.prune_journal
    connection: Any = relay._connection  # pyright: ignore[reportPrivateUsage]
    commit = connection.commit

    def lose_the_answer() -> None:
        commit()
        monkeypatch.undo()
        raise StoreUnavailable("The database has gone away.")

    def prune_then_lose(*arguments: Any) -> int:
        monkeypatch.setattr(connection, "commit", lose_the_answer)
        return prune(*arguments)

    monkeypatch.setattr(store, "prune_journal", prune_then_lose)
    with pytest.raises(StoreUnavailable):
        relay.step()
    pruned = bench.journaled()
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    bench.log.request_resend(bench.stream(), 1)
    relay.step()
    bench.publish("c")
    relay.step()

    assert pruned == 0
    assert bench.announced() == texts("a", "b", "c")


def _with_a_pruned_journal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """A relay that has sent two events, long ago: its journal does not hold them any more."""
    monkeypatch.setattr(outbox, "PRUNE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "HEAL_SECONDS", 0.0)
    relay = bench.relay()
    relay.journal_seconds = -1.0
    bench.publish("a", "b")
    relay.step()
    assert bench.journaled() == 0
    relay.journal_seconds = 3600.0
    return relay


@pytest.mark.rule(1)
def test_a_relay_that_was_overtaken_while_idle_writes_nothing_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SAVE_SECONDS", 3600.0)
    relay = bench.relay()
    for name in "ab":
        bench.publish(name)
        relay.step()
    with bench.opened.connection(bench.shop.sales) as connection:
        connection.execute("update preterite_lease set owner = 'somebody else', epoch = epoch + 1, expires_at = 1e12")
    monkeypatch.setattr(outbox, "SAVE_SECONDS", 0.0)

    assert not relay.step()
    assert bench.numbers() == (2, 1), "what it had not saved is for whoever has overtaken it"


@pytest.mark.rule(3)
def test_a_relay_that_is_overtaken_while_it_compares_does_not_call_the_log_ahead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = bench.log.ends
    overtaken = False

    def ends(streams: Sequence[Stream]) -> object:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            with bench.opened.connection(bench.shop.sales) as connection:
                connection.execute("update preterite_lease set expires_at = 0")
            bench.publish("a")
            bench.relay().step()
        return looking(streams)

    monkeypatch.setattr(bench.log, "ends", ends)
    slow = bench.relay()

    assert not slow.step()
    assert bench.announced() == texts("a")
    assert bench.opened.status()["sales"].counts.relay_halt is None


@pytest.mark.rule(14)
def test_what_was_published_before_a_restore_is_not_published_again(bench: Bench) -> None:
    bench.publish("a", "b")
    with bench.opened.connection(bench.shop.sales) as connection:
        connection.execute(
            "insert into preterite_forgotten (event_id, envelope) "
            "select event_id, envelope from preterite_outbox order by id limit 1"
        )
    bench.relay().step()

    assert bench.announced() == texts("b")


def test_the_journal_is_pruned_as_fast_as_it_grows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "JOURNAL_SECONDS", -1.0)
    monkeypatch.setattr(outbox, "PRUNE_EVENTS", 2)
    monkeypatch.setattr(outbox, "SAVE_SECONDS", 0.0)
    relay = bench.relay()
    bench.publish("a", "b", "c", "d", "e")
    for _ in range(4):
        relay.step()

    with bench.opened.connection(bench.shop.sales) as connection:
        assert connection.execute("select count(*) from preterite_journal").fetchone()[0] == 0


def test_that_a_saga_has_ended_is_forgotten_after_as_long_as_the_journal_keeps_an_event(bench: Bench) -> None:
    add = "insert into preterite_saga_ended values ('Window', ?, ?)"
    now = bench.opened.clock.wall()
    with bench.opened.connection(bench.shop.sales) as connection:
        for value, seconds in (("old", outbox.JOURNAL_SECONDS + 60.0), ("young", outbox.JOURNAL_SECONDS - 60.0)):
            connection.execute(add, [value, now - seconds])
        bench.relay().step()
        left = connection.execute("select correlation from preterite_saga_ended").fetchall()

    assert left == [("young",)]


def test_a_claim_of_another_relay_in_between_makes_it_start_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.publish("a")
    taking = bench.log.take_over
    raced: list[int] = []

    def race(after: Mapping[Stream, int], epoch: int, nonce: bytes) -> object:
        if not raced:
            raced.append(epoch)
            raise LogFenced("sales/0", epoch)
        return taking(after, epoch, nonce)

    monkeypatch.setattr(bench.log, "take_over", race)
    relay = bench.relay()

    assert not relay.step()
    relay.step()
    assert bench.announced() == texts("a")
