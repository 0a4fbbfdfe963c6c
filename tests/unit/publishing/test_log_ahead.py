"""Whether a log is ahead of a publisher's database, by numbers and by identifiers."""

from __future__ import annotations

import pytest

from preterite.log.contract import Stream, StreamEnd
from preterite.publishing.log_ahead import log_ahead_fault
from preterite.store.rows import StreamNumbers

STREAM = Stream("sales", 0)
JOURNAL = {3: b"three", 5: b"five"}


@pytest.mark.rule(3)
@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (StreamEnd(5, b"five", 1), None),
        (StreamEnd(3, b"three", 1), None),
        (StreamEnd(4, b"unknown to the journal", 1), None),
        (StreamEnd(5, b"", 1), None),
        (StreamEnd(6, b"six", 1), "the log holds sales/0 up to number 6, this database gave only 5"),
        (StreamEnd(5, b"another", 1), "under number 5 of sales/0 the log holds another event than the journal"),
        (StreamEnd(3, b"another", 1), "under number 3 of sales/0 the log holds another event than the journal"),
    ],
)
def test_a_log_is_ahead_by_a_number_or_by_another_event(end: StreamEnd, fault: str | None) -> None:
    numbers = {0: StreamNumbers(partition=0, last_number=5, last_id=b"five", epoch=1, confirmed=0)}

    assert log_ahead_fault(numbers, {STREAM: end}, lambda _partition, number: JOURNAL.get(number, b"")) == fault
