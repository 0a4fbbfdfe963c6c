"""Reading streams in a row: what is not taken never moves a reader on."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from preterite.clock import SystemClock
from preterite.log.contract import Cursor, Record, Verdict, head
from preterite.log.memory import MemoryLog
from preterite.receiving.streams import Refused, StreamPosition, StreamReader
from preterite.testing.conformance.log_steps import OTHER, SALES, SYSTEM, event, events

START = Cursor(0, b"", 0)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(SYSTEM, SystemClock())


@pytest.mark.rule(3)
def test_a_stale_record_is_read_again_once_it_has_been_sent_again(log: MemoryLog) -> None:
    log.append(events(1, 5, epoch=1))
    log.take_over({SALES: 0}, 5, b"nonce")
    log.append(events(2, 3, epoch=5))
    reader = StreamReader(log, {SALES: START})
    taken, refused, _ = reader.read(100)
    unchanged = reader.read(100)
    log.append(events(4, 6, epoch=5))
    again, _, _ = reader.read(100)

    assert [record.number for record in taken] == [1, 2, 3]
    assert [(one.verdict, one.record.number) for one in refused] == [(Verdict.STALE, 4)]
    assert unchanged == ([], [], 0)
    assert [record.number for record in again] == [4, 5, 6]


@pytest.mark.rule(3)
@given(
    common=some.integers(0, 8),
    read=some.integers(0, 8),
    since=some.integers(0, 20),
    batch=some.integers(1, 20),
    others=some.integers(0, 3),
    continues=some.booleans(),
)
def test_nothing_of_another_history_is_taken_for_what_comes_next(
    common: int, read: int, since: int, batch: int, others: int, continues: bool
) -> None:
    """Sales and the log went back to where they had `common` events, and it published others `since`.

    Who had read no more than those goes on; whatever was read beyond, nothing is taken any more, whether the reader is
    a new one or `continues`.
    """
    was = MemoryLog(SYSTEM, SystemClock())
    before = events(1, 8)
    was.append(before)
    log = MemoryLog(SYSTEM, SystemClock())
    log.append([*before[:common], event(1, stream=OTHER)])
    cursors = {SALES: START if read == 0 else Cursor(read, before[read - 1].event_id, 1), OTHER: START}
    reader = StreamReader(log, cursors)
    taken = list(reader.read(batch)[0]) if continues else []
    log.take_over({SALES: 0}, 5, b"nonce")
    new = [replace(one, event_id=uuid4().bytes) for one in events(common + 1, common + since, epoch=5)]
    log.append([*new, *events(2, 1 + others, stream=OTHER)])
    refused: list[Refused] = []
    for _ in range(40):
        found, gone, _ = reader.read(batch)
        taken += found
        refused += gone

    of_sales = [one.event_id for one in taken if one.stream == SALES]
    if read <= common:
        assert of_sales == [one.event_id for one in [*before[:common], *new][read:]]
        assert refused == []
    else:
        assert of_sales == []
        assert reader.positions[SALES].gone_back == (common + since >= read + 1)
    assert len(taken) - len(of_sales) == 1 + others, "another stream goes on"


@pytest.mark.rule(4)
def test_a_head_makes_no_record_stale(log: MemoryLog) -> None:
    """A gap was filled with what is as old as what follows it."""
    log.append([event(1), event(3)])
    log.take_over({SALES: 0}, 5, b"nonce")
    log.append([head(SALES, 5, 3, event(3).event_id, 3)])
    reader = StreamReader(log, {SALES: START})
    before = [*reader.read(100)[0], *reader.read(100)[0]]
    log.fill(SALES, range(2, 3), "lost")
    after, _, _ = reader.read(100)

    assert [record.number for record in before] == [1]
    assert [record.number for record in after] == [2, 3]


@pytest.mark.rule(5)
def test_a_reader_knows_from_the_newest_head_what_cannot_be_sent_again(log: MemoryLog) -> None:
    log.append([event(1), event(4)])
    reader = StreamReader(log, {SALES: START})
    reader.read(100)
    unknown = reader.positions[SALES].is_gone
    log.append([head(SALES, 1, 4, event(4).event_id, 3)])
    reader.read(100)

    assert (unknown, reader.positions[SALES].is_gone) == (False, True)


@pytest.mark.rule(5)
def test_a_gap_keeps_no_other_stream_out(log: MemoryLog) -> None:
    log.append([event(1), *events(3, 40), event(1, stream=OTHER)])
    reader = StreamReader(log, {SALES: START, OTHER: START})
    while reader.read(5)[2]:
        pass
    log.append([event(2, stream=OTHER)])
    taken, _, _ = reader.read(5)

    assert [(record.stream, record.number) for record in taken] == [(OTHER, 2)]


@pytest.mark.rule(4)
def test_a_late_reader_gets_all_that_follows_a_record_that_was_sent_again() -> None:
    log = MemoryLog(SYSTEM, SystemClock(), timedelta(hours=1))
    log.append(events(1, 5))
    log.age(SALES, [1, 3, 4])
    log.maintain()
    reader = StreamReader(log, {SALES: Cursor(log.first_number(SALES) - 1, b"", 0)})

    assert [record.number for record in reader.read(100)[0]] == [2, 3, 4, 5]


NUMBERS = some.integers(0, 2**60)
ANYTHING = some.builds(
    Record,
    some.just(SALES),
    some.sampled_from(["event", "void", "head", "claim"]),
    NUMBERS,
    NUMBERS | some.integers(0, 3),
    some.binary(max_size=64),
    some.binary(max_size=20) | some.integers().map(lambda number: str(number).encode()) | some.just("²".encode()),
)


@given(some.lists(some.lists(ANYTHING, max_size=4), max_size=4))
def test_nothing_that_a_publisher_writes_in_its_streams_ends_their_reader(runs: list[list[Record]]) -> None:
    position = StreamPosition(START)
    for run in runs:
        taken, refused = position.take(run)

        assert len(taken) + len(refused) <= len(run)
        assert all(record in run for record in taken)
