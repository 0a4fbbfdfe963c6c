"""Whether the log is ahead of a publisher's database: then that was restored, or copied, and a person decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from preterite.log.contract import Stream, StreamEnd
from preterite.store.rows import StreamNumbers


def log_ahead_fault(
    numbers: Mapping[int, StreamNumbers], ends: Mapping[Stream, StreamEnd], journal_id: Callable[[int, int], bytes]
) -> str | None:
    """The first end of a stream that contradicts the numbers that this database has given; None if none does.

    `journal_id` gives the event's identifier that the journal holds for a partition and number, empty if it does not.
    """
    faults = (_fault(stream, numbers[stream.partition], end, journal_id) for stream, end in ends.items())
    return next((fault for fault in faults if fault is not None), None)


def _fault(stream: Stream, own: StreamNumbers, end: StreamEnd, journal_id: Callable[[int, int], bytes]) -> str | None:
    if end.number > own.last_number:
        return f"the log holds {stream} up to number {end.number}, this database gave only {own.last_number}"
    known = own.last_id if end.number == own.last_number else journal_id(stream.partition, end.number)
    if known and end.event_id and known != end.event_id:
        return f"under number {end.number} of {stream} the log holds another event than the journal"
    return None
