"""The conformance suite of logs: what is lost, what is sent again, and what retention drops."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import pytest
from msgspec.structs import replace

from preterite.log.contract import Log, Stream, StreamEnd, journal_start
from preterite.testing.conformance.log_steps import (
    OTHER,
    SALES,
    LogAbilities,
    OpenLog,
    event,
    events,
    head,
    numbers,
    read_all,
)


class LossConformance:
    """Every log passes this."""

    abilities: ClassVar[LogAbilities]

    # loss: heads and gaps (protocol rules 4 and 5)

    def test_a_reader_at_the_end_gets_how_far_the_stream_should_reach(self, log: Log) -> None:
        log.append([*events(1, 2), head(2)])
        found = read_all(log.reader({SALES: 0}))

        assert [(record.kind, record.number) for record in found] == [("event", 1), ("event", 2), ("head", 2)]

    def test_a_head_comes_to_a_reader_for_which_nothing_is_left(self, open_log: OpenLog) -> None:
        if self.abilities.ages is None:
            pytest.skip("declared: a test cannot make the records of this log older")
        log = open_log(retention=timedelta(hours=1))
        log.append([*events(1, 3), head(3)])
        self.abilities.ages(log, SALES, [1, 2, 3])
        log.maintain()

        assert numbers(read_all(log.reader({SALES: 1})), "head") == [3]

    def test_a_head_carries_what_its_publisher_can_send_again(self, log: Log) -> None:
        log.append([event(1), replace(head(1), body=b"1")])

        assert journal_start(read_all(log.reader({SALES: 1}))[0]) == 1

    def test_the_newest_head_counts(self, log: Log) -> None:
        log.append([*events(1, 2), head(2)])
        log.append([event(3), head(3)])

        assert numbers(read_all(log.reader({SALES: 0})), "head")[-1] == 3

    def test_behind_a_gap_the_next_number_shows_that_one_is_missing_and_is_read_once_it_is_there(
        self, log: Log
    ) -> None:
        log.append([event(1), event(3)])
        reader = log.reader({SALES: 0})
        before = read_all(reader)
        log.append([event(2)])

        assert numbers(before) == [1, 3]
        assert numbers(read_all(reader)) == [2, 3]

    def test_a_stream_with_a_gap_keeps_no_other_stream_out(self, log: Log) -> None:
        """Not even if more is beyond the gap than is read at once."""
        log.append([event(1), *events(3, 40), event(1, stream=OTHER)])
        reader = log.reader({SALES: 0, OTHER: 0})
        before = read_all(reader, 5)
        log.append([event(2, stream=OTHER), replace(head(2), stream=OTHER)])
        after = read_all(reader, 5)

        assert [(record.stream, record.number) for record in before] == [(SALES, 1), (SALES, 3), (OTHER, 1)]
        assert [(record.stream, record.kind, record.number) for record in after] == [
            (OTHER, "event", 2),
            (OTHER, "head", 2),
        ]

    @pytest.mark.parametrize("limit", [3, 100])
    def test_a_record_that_is_put_back_is_read_again_once_its_publisher_has_sent_it_again(
        self, log: Log, limit: int
    ) -> None:
        log.append(events(1, 5, epoch=1))
        log.take_over({SALES: 0}, 5, b"nonce")
        log.append(events(2, 2, epoch=5))
        reader = log.reader({SALES: 0})
        first = list(reader.read(limit))
        reader.put_back(first[2])
        unchanged = read_all(reader, limit)
        log.append(events(3, 6, epoch=5))
        again = read_all(reader, limit)

        assert [(record.number, record.epoch) for record in first[:3]] == [(1, 1), (2, 5), (3, 1)]
        assert numbers(unchanged) == []
        assert [(record.number, record.epoch) for record in again] == [(3, 5), (4, 5), (5, 5), (6, 5)]

    def test_a_lost_tail_shows_at_the_takeover(self, log: Log) -> None:
        if self.abilities.loses is None:
            pytest.skip("declared: a test cannot make this log lose records")
        log.append([*events(1, 5), head(5)])
        self.abilities.loses(log, SALES, [4, 5])

        assert log.take_over({SALES: 0}, 9, b"nonce")[SALES].number == 3
        assert numbers(read_all(log.reader({SALES: 0})), "head") == [5]

    def test_a_lost_middle_shows_at_the_takeover(self, log: Log) -> None:
        if self.abilities.loses is None:
            pytest.skip("declared: a test cannot make this log lose records")
        log.append(events(1, 5))
        self.abilities.loses(log, SALES, [3])

        assert log.take_over({SALES: 0}, 9, b"nonce")[SALES].number == 2

    def test_what_a_new_writer_cannot_send_again_is_not_looked_for_at_the_takeover(self, log: Log) -> None:
        log.append([event(1), *events(4, 5), event(7)])

        assert log.take_over({SALES: 3}, 9, b"a")[SALES].number == 5
        assert log.take_over({SALES: 6}, 10, b"b")[SALES] == StreamEnd(7, event(7).event_id, 10)
        assert log.take_over({SALES: 8}, 11, b"c")[SALES] == StreamEnd(8, b"", 11)

    # what nobody can send again (protocol rule 17)

    def test_the_holes_of_a_stream_are_found(self, log: Log) -> None:
        log.append([event(2), event(3), event(6), event(8)])

        assert log.holes(SALES, 0, 9) == [range(1, 2), range(4, 6), range(7, 8), range(9, 10)]
        assert log.holes(SALES, 4, 7) == [range(5, 6), range(7, 8)]
        assert log.holes(SALES, 5, 6) == log.holes(SALES, 9, 9) == log.holes(SALES, 2, 3) == []
        assert log.holes(OTHER, 0, 2) == [range(1, 3)]

    def test_a_hole_is_filled_by_voids_and_what_is_there_stays(self, log: Log) -> None:
        log.append([event(1), event(3), event(5)])
        reader = log.reader({SALES: 0})
        before = numbers(read_all(reader))
        log.fill(SALES, range(2, 5), "lost")
        log.fill(SALES, range(2, 4), "lost again")
        after = read_all(reader)

        assert before == [1, 3]
        assert [(record.kind, record.number, record.body) for record in after] == [
            ("void", 2, b"lost"),
            ("event", 3, b"{}"),
            ("void", 4, b"lost"),
            ("event", 5, b"{}"),
        ]
        assert log.append([event(6)]) == {SALES: 6}

    def test_a_void_that_fills_a_hole_has_the_epoch_of_what_follows(self, log: Log) -> None:
        """Readers take what follows an older epoch as it is, and nothing that follows a newer one."""
        log.append([*events(1, 1, epoch=1), *events(3, 3, epoch=1)])
        log.take_over({SALES: 0}, 5, b"nonce")
        log.append(events(5, 5, epoch=5))
        for number in (2, 4, 6):
            log.fill(SALES, range(number, number + 1), "lost")

        assert [record.epoch for record in read_all(log.reader({SALES: 0}))] == [1, 1, 1, 5, 5, 5]
        assert log.end(SALES).number == 6

    def test_an_append_behind_a_lost_end_reports_where_the_log_ends(self, log: Log) -> None:
        if self.abilities.loses is None:
            pytest.skip("declared: a test cannot make this log lose records")
        log.append(events(1, 5))
        self.abilities.loses(log, SALES, [4, 5])

        assert log.append(events(6, 7)) == {SALES: 3}
        assert log.append(events(4, 7)) == {SALES: 7}

    def test_a_request_to_resend_reaches_its_publisher_once(self, log: Log) -> None:
        finance = Stream("finance", 0)
        for stream, number in ((SALES, 7), (SALES, 5), (SALES, 6), (OTHER, 2), (finance, 1)):
            log.request_resend(stream, number)

        assert log.resend_requests("sales") == {SALES: 5, OTHER: 2}
        assert log.resend_requests("sales") == {}
        assert log.resend_requests("finance") == {finance: 1}

    # where streams begin and end (protocol rule 18)

    def test_a_stream_that_holds_nothing_begins_at_one_and_ends_at_zero(self, log: Log) -> None:
        assert log.first_number(SALES) == 1
        assert log.end(SALES) == StreamEnd(0, b"", 0)

    def test_a_stream_begins_where_it_began_though_its_first_numbers_are_not_there(self, log: Log) -> None:
        log.append(events(7, 9))

        assert log.first_number(SALES) == 1, "a reader that begins here notices that something was lost"

    # a log in the place of one that was lost

    def test_an_empty_log_takes_the_place_of_a_lost_one(self, log: Log) -> None:
        system_id = UUID(int=5)

        assert log.continue_lost(system_id, {SALES: 6, OTHER: 0})

        assert log.identity.system_id == system_id
        assert (log.first_number(SALES), log.first_number(OTHER)) == (7, 1)
        assert log.take_over({SALES: 6, OTHER: 0}, 9, b"nonce") == {
            SALES: StreamEnd(6, b"", 9),
            OTHER: StreamEnd(0, b"", 9),
        }
        assert log.append([event(7, epoch=9)]) == {SALES: 7}
        assert numbers(read_all(log.reader({SALES: 6}))) == [7]
        assert log.holes(SALES, log.first_number(SALES) - 1, 7) == []

    def test_an_empty_log_takes_the_place_of_a_lost_one_to_which_nothing_was_published(self, log: Log) -> None:
        assert log.continue_lost(UUID(int=5), {})

        assert log.identity.system_id == UUID(int=5)
        assert log.append([event(1)]) == {SALES: 1}

    def test_a_log_that_holds_something_takes_no_other_ones_place(self, log: Log) -> None:
        before = log.identity
        log.append(events(1, 2))

        assert not log.continue_lost(UUID(int=5), {SALES: 6})

        assert log.identity == before
        assert (log.first_number(SALES), log.end(SALES).number) == (1, 2)

    # retention

    @pytest.mark.parametrize(
        ("old", "left"),
        [([1, 2], [3, 4, 5]), ([1, 3, 4, 5], [2, 3, 4, 5]), ([1, 2, 3, 4, 5], []), ([4, 5], [1, 2, 3, 4, 5])],
    )
    def test_retention_leaves_an_unbroken_end_of_a_stream_though_records_were_sent_again(
        self, open_log: OpenLog, old: Sequence[int], left: Sequence[int]
    ) -> None:
        """A record that was lost and sent again is younger than those after it."""
        if self.abilities.ages is None:
            pytest.skip("declared: a test cannot make the records of this log older")
        log = open_log(retention=timedelta(hours=1))
        log.append(events(1, 5))
        self.abilities.ages(log, SALES, old)
        log.maintain()

        first = log.first_number(SALES)
        assert first == (left[0] if left else 6)
        assert numbers(read_all(log.reader({SALES: first - 1}))) == left
        assert log.take_over({SALES: 0}, 9, b"nonce")[SALES].number == 5
