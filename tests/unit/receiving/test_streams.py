"""Reading streams in a row: what is not taken never moves a reader on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from preterite.clock import SystemClock
from preterite.log.contract import Cursor, Record, Verdict, head
from preterite.log.memory import MemoryLog
from preterite.receiving.streams import StreamPosition, StreamReader
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
