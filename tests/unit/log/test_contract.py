"""What a record means to a reader: the one function that decides it (protocol rules 3 to 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from preterite.log.contract import Cursor, Kind, Record, Stream, Verdict, accept, applied_in_a_row

STREAM = Stream("sales", 3)
AT_FIVE = Cursor(5, b"five", 2)
FRESH = Cursor(0, b"", 0)


def record(kind: Kind, number: int, *, epoch: int = 2, event_id: bytes = b"other") -> Record:
    return Record(STREAM, kind, epoch, number, event_id, b"")


@pytest.mark.rule(3)
@pytest.mark.rule(4)
@pytest.mark.rule(5)
@pytest.mark.parametrize(
    ("cursor", "seen", "found", "verdict"),
    [
        (FRESH, 0, record("event", 1), Verdict.APPLY),
        (AT_FIVE, 2, record("event", 6), Verdict.APPLY),
        (AT_FIVE, 2, record("void", 6), Verdict.APPLY),
        (AT_FIVE, 2, record("event", 6, epoch=3), Verdict.APPLY),
        (AT_FIVE, 2, record("event", 4), Verdict.REPEAT),
        (AT_FIVE, 2, record("event", 5, event_id=b"five"), Verdict.REPEAT),
        (AT_FIVE, 2, record("event", 7), Verdict.GAP),
        (FRESH, 0, record("event", 2), Verdict.GAP),
        (AT_FIVE, 3, record("event", 6, epoch=2), Verdict.STALE),
        (AT_FIVE, 3, record("head", 9, epoch=2), Verdict.STALE),
        (AT_FIVE, 2, record("claim", 0, epoch=9), Verdict.PASS),
        (AT_FIVE, 2, record("head", 5, event_id=b"five"), Verdict.PASS),
        (AT_FIVE, 2, record("head", 4), Verdict.PASS),
        (AT_FIVE, 2, record("head", 6), Verdict.GAP),
        (FRESH, 0, record("head", 0), Verdict.PASS),
        (AT_FIVE, 2, record("head", 4, epoch=3), Verdict.GONE_BACK),
        (AT_FIVE, 2, record("head", 5, epoch=3), Verdict.GONE_BACK),
        (Cursor(5, b"", 0), 2, record("head", 4, epoch=3), Verdict.PASS),
        (AT_FIVE, 2, record("event", 5), Verdict.GONE_BACK),
        (Cursor(5, b"", 0), 2, record("event", 5), Verdict.REPEAT),
    ],
)
def test_what_a_record_means(cursor: Cursor, seen: int, found: Record, verdict: Verdict) -> None:
    assert accept(cursor, seen, found) is verdict


def test_a_cursor_stands_where_the_record_was_applied() -> None:
    assert AT_FIVE.at(record("event", 6, epoch=4, event_id=b"six")) == Cursor(6, b"six", 4)


@given(
    some.integers(0, 3),
    some.integers(0, 2),
    some.lists(
        some.builds(
            record,
            some.sampled_from(["event", "event", "event", "void", "claim", "head"]),
            some.integers(0, 6),
            epoch=some.integers(0, 2),
        ),
        max_size=6,
    ),
)
def test_the_quick_decision_is_the_same_as_the_full_one(number: int, seen: int, records: list[Record]) -> None:
    cursor = Cursor(number, b"here", 0)
    expected, at, epoch = 0, cursor, seen
    while expected < len(records) and accept(at, epoch, records[expected]) is Verdict.APPLY:
        at, epoch = at.at(records[expected]), records[expected].epoch
        expected += 1

    assert applied_in_a_row(cursor, seen, records) == expected
