"""The conformance suite of logs: what `preterite.log.contract.Log` promises, test by test."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar
from uuid import UUID

import pytest

from preterite.clock import SystemClock
from preterite.errors import LogConflict, LogFenced, RecordRefused, WrongLog
from preterite.log.contract import (
    MACHINE_TIME,
    READ_BYTES_MAX,
    RECORD_BYTES_MAX,
    ClockSetting,
    Log,
    LogIdentity,
    Record,
    Stream,
    StreamEnd,
)
from preterite.testing.conformance.log_loss import LossConformance
from preterite.testing.conformance.log_steps import (
    OTHER,
    SALES,
    SYSTEM,
    LogAbilities,
    OpenLog,
    event,
    events,
    head,
    numbers,
    read_all,
)

PATIENCE_SECONDS = 5.0
VERSIONS_READ_MAX = 1_000


class LogConformance(LossConformance):
    """Every log passes this."""

    abilities: ClassVar[LogAbilities]

    @pytest.fixture
    def log(self, open_log: OpenLog) -> Log:
        """A new log."""
        return open_log()

    def test_records_are_read_in_the_order_of_their_numbers(self, log: Log) -> None:
        log.append(events(1, 3))
        log.append(events(4, 5))

        assert numbers(read_all(log.reader({SALES: 0}))) == [1, 2, 3, 4, 5]

    def test_a_record_is_read_as_it_was_appended(self, log: Log) -> None:
        record = event(1, body=b"\x00\xff{}")
        log.append([record])

        assert read_all(log.reader({SALES: 0})) == [record]

    def test_a_reader_starts_behind_the_given_number(self, log: Log) -> None:
        log.append(events(1, 5))

        assert numbers(read_all(log.reader({SALES: 3}))) == [4, 5]

    def test_a_reader_goes_on_to_what_is_appended_later(self, log: Log) -> None:
        reader = log.reader({SALES: 0})
        log.append(events(1, 2))
        before = read_all(reader)
        log.append(events(3, 4))

        assert numbers(before) == [1, 2]
        assert numbers(read_all(reader)) == [3, 4]

    def test_a_reader_gives_only_its_own_streams(self, log: Log) -> None:
        log.append([*events(1, 2), *events(1, 3, stream=OTHER)])

        assert {record.stream for record in read_all(log.reader({OTHER: 0}))} == {OTHER}

    def test_a_read_gives_no_more_than_was_asked_for_and_every_stream_has_its_turn(self, log: Log) -> None:
        log.append([*events(1, 10), *events(1, 10, stream=OTHER)])
        reader = log.reader({SALES: 0, OTHER: 0})
        reads = [reader.read(5)]
        while reads[-1]:
            reads.append(reader.read(5))

        assert all(len(read) <= 5 for read in reads)
        assert sum(len(read) for read in reads) == 20
        assert {record.stream for read in reads[:2] for record in read} == {SALES, OTHER}

    def test_a_read_of_many_streams_gives_no_more_than_was_asked_for(self, log: Log) -> None:
        streams = [Stream("sales", partition) for partition in range(8)]
        for stream in streams:
            log.append(events(1, 2, stream=stream))
        reader = log.reader(dict.fromkeys(streams, 0))
        reads = [reader.read(3)]
        while reads[-1]:
            reads.append(reader.read(3))

        assert all(len(read) <= 3 for read in reads)
        assert sum(len(read) for read in reads) == 16

    def test_append_returns_the_last_confirmed_number_of_each_stream(self, log: Log) -> None:
        assert log.append([*events(1, 3), *events(1, 2, stream=OTHER)]) == {SALES: 3, OTHER: 2}

    def test_appending_again_changes_nothing_and_is_confirmed_again(self, log: Log) -> None:
        log.append(events(1, 3))

        assert log.append(events(2, 4)) == {SALES: 4}
        assert numbers(read_all(log.reader({SALES: 0}))) == [1, 2, 3, 4]

    def test_another_event_under_a_known_number_is_a_conflict(self, log: Log) -> None:
        log.append(events(1, 3))

        with pytest.raises(LogConflict, match="number 3 of sales/0"):
            log.append([event(3, of="another customer")])
        assert read_all(log.reader({SALES: 2})) == [event(3)]

    def test_a_record_that_is_sent_again_carries_the_newer_epoch(self, log: Log) -> None:
        log.append(events(1, 2, epoch=1))
        log.take_over({SALES: 0}, 5, b"nonce")
        log.append(events(2, 3, epoch=5))

        assert [(record.number, record.epoch) for record in read_all(log.reader({SALES: 0}))] == [
            (1, 1),
            (2, 5),
            (3, 5),
        ]

    def test_a_void_fills_a_number(self, log: Log) -> None:
        void = Record(SALES, "void", 1, 2, event(2).event_id, b"too large")
        log.append([event(1), void, event(3)])

        assert read_all(log.reader({SALES: 0}))[1] == void

    def test_a_read_holds_a_bounded_number_of_bytes_whatever_was_published(self, log: Log) -> None:
        """One publisher of large events costs its readers no memory beyond it."""
        large = b"x" * RECORD_BYTES_MAX
        for stream in (SALES, OTHER):
            for first in range(1, 41, 10):
                log.append([event(number, stream=stream, body=large) for number in range(first, first + 10)])
        reader = log.reader({SALES: 0, OTHER: 0})
        reads = [reader.read(1_000)]
        while reads[-1]:
            reads.append(reader.read(1_000))

        assert max(sum(len(record.body) for record in read) for read in reads) <= READ_BYTES_MAX + 2 * RECORD_BYTES_MAX
        for stream in (SALES, OTHER):
            assert numbers([one for read in reads for one in read if one.stream == stream]) == list(range(1, 41))

    def test_a_record_beyond_the_limit_is_refused_for_ever_and_nothing_of_its_batch_is_written(self, log: Log) -> None:
        with pytest.raises(RecordRefused) as refused:
            log.append([event(1), event(2, body=b"x" * (RECORD_BYTES_MAX + 1))])

        assert (refused.value.stream, refused.value.number) == (SALES, 2)
        assert numbers(read_all(log.reader({SALES: 0}))) in ([], [1])

    # taking over: no number twice (protocol rule 3)

    def test_a_new_writer_learns_how_far_the_stream_reaches(self, log: Log) -> None:
        log.append(events(1, 4))

        ends = log.take_over({SALES: 0, OTHER: 0}, 9, b"nonce")

        assert ends[SALES][:2] == (4, event(4).event_id)
        assert ends[OTHER][:2] == (0, b"")
        assert log.end(SALES) == StreamEnd(4, event(4).event_id, 9)

    def test_an_overtaken_writer_is_refused(self, log: Log) -> None:
        log.take_over({SALES: 0}, 5, b"old")
        log.take_over({SALES: 0}, 6, b"new")

        with pytest.raises(LogFenced) as fenced:
            log.append([event(1, epoch=5)])
        assert fenced.value.epoch == 6
        assert log.append([event(1, epoch=6)]) == {SALES: 1}

    def test_a_claim_that_is_not_newer_is_refused(self, log: Log) -> None:
        log.take_over({SALES: 0}, 5, b"first")

        with pytest.raises(LogFenced):
            log.take_over({SALES: 0}, 5, b"second")

    # waking up

    def test_the_version_changes_with_every_append(self, log: Log) -> None:
        before = log.version()
        log.append([event(1)])
        after = log.version()

        assert after != before

    def test_the_version_stays_the_same_between_appends(self, log: Log) -> None:
        """At times: where the version follows all that a server writes, others change it too."""
        log.append([event(1)])

        assert any(log.version() == log.version() for _ in range(VERSIONS_READ_MAX))

    def test_several_threads_may_append_at_once(self, log: Log) -> None:
        def write(stream: Stream) -> None:
            for number in range(1, 51):
                log.append([event(number, stream=stream)])

        writers = [threading.Thread(target=write, args=(Stream("sales", partition),)) for partition in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        found = read_all(log.reader({Stream("sales", partition): 0 for partition in range(4)}))
        assert len(found) == 200

    # the business clock of a demo

    def test_the_clock_is_the_machines_until_it_is_set(self, open_log: OpenLog) -> None:
        log = open_log()
        before = log.clock_setting()
        log.set_clock(ClockSetting(1_000_000.0, 0.0))
        first = log.clock_setting()
        log.set_clock(ClockSetting(None, 60.0))

        assert before == MACHINE_TIME
        assert first == ClockSetting(1_000_000.0, 0.0)
        assert log.clock_setting() == ClockSetting(None, 60.0)

    def test_setting_the_clock_is_a_reason_to_look_again(self, open_log: OpenLog) -> None:
        log = open_log()
        before = log.version()
        log.set_clock(ClockSetting(1_000_000.0, 0.0))

        assert log.version() != before

    # the same log, opened again

    def test_other_processes_see_the_time_of_the_clock(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        mine, theirs = open_log(), open_log()
        before = theirs.clock_setting()
        mine.set_clock(ClockSetting(1_000_000.0, 0.0))

        assert before == MACHINE_TIME
        assert theirs.clock_setting() == ClockSetting(1_000_000.0, 0.0)
        assert open_log().clock_setting() == ClockSetting(1_000_000.0, 0.0)

    def test_other_processes_read_what_was_appended(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        open_log().append([*events(1, 3), head(3)])
        other = open_log()

        assert numbers(read_all(other.reader({SALES: 0}))) == [1, 2, 3]
        assert other.end(SALES).number == 3

    def test_the_ends_of_many_streams_are_read_at_once(self, open_log: OpenLog) -> None:
        log = open_log()
        log.append(events(1, 2))

        assert log.ends([]) == {}
        assert log.ends([SALES, OTHER]) == {SALES: log.end(SALES), OTHER: StreamEnd(0, b"", 0)}

    def test_the_version_changes_when_others_append(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        log, other = open_log(), open_log()
        before = log.version()
        other.append([event(1)])

        end = SystemClock().monotonic() + PATIENCE_SECONDS
        while (after := log.version()) == before and SystemClock().monotonic() < end:
            pass
        assert after != before

    def test_it_keeps_its_identity(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        open_log()

        assert open_log(LogIdentity("shop", UUID(int=99), 8)).identity == SYSTEM

    def test_another_system_or_number_of_partitions_is_refused(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        open_log()

        with pytest.raises(WrongLog, match="belongs to system 'shop'"):
            open_log(LogIdentity("bank", UUID(int=1), 8))
        with pytest.raises(WrongLog, match="8 partitions"):
            open_log(LogIdentity("shop", UUID(int=1), 16))

    # a component has one database (protocol rule 22)

    def test_a_component_has_the_database_that_was_bound_first(self, log: Log) -> None:
        first, second = UUID(int=1), UUID(int=2)
        before = log.databases.of("sales")

        assert before is None
        assert [log.databases.bind("sales", one) for one in (first, second)] == [first, first]
        assert log.databases.bind("finance", second) == second
        assert (log.databases.of("sales"), log.databases.of("finance")) == (first, second)

    def test_whoever_binds_at_the_same_time_learns_of_the_same_database(self, open_log: OpenLog) -> None:
        logs = [open_log() for _ in range(4)] if self.abilities.survives_reopening else [open_log()] * 4
        meeting = threading.Barrier(len(logs))

        def bind(number: int) -> UUID:
            meeting.wait()
            return logs[number].databases.bind("sales", UUID(int=number))

        with ThreadPoolExecutor(len(logs)) as threads:
            bound = set(threads.map(bind, range(len(logs))))

        assert bound == {logs[0].databases.of("sales")}

    def test_an_operator_replaces_the_database_of_a_component_and_of_no_other(self, log: Log) -> None:
        log.databases.bind("sales", UUID(int=1))
        log.databases.bind("finance", UUID(int=2))
        log.databases.replace("sales", UUID(int=3))
        log.databases.replace("shipping", UUID(int=4))

        found = [log.databases.of(name) for name in ("sales", "finance", "shipping")]
        assert found == [UUID(int=3), UUID(int=2), UUID(int=4)]

    def test_it_keeps_which_database_is_whose(self, open_log: OpenLog) -> None:
        self._skip_unless_it_survives()
        open_log().databases.bind("sales", UUID(int=1))

        assert open_log().databases.bind("sales", UUID(int=2)) == UUID(int=1)

    def _skip_unless_it_survives(self) -> None:
        if not self.abilities.survives_reopening:
            pytest.skip("declared: this log ends with its process")
