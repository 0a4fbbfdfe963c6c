"""Conformance of stores: parked events, the order in which they run, and what operators decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from preterite.store.contract import Database
from preterite.store.rows import Failure
from preterite.testing.conformance.store_steps import FINANCE, NOW, SCHEDULED, due, park, parked, transaction

FAILURE = Failure("UnknownPrice", "no price for 85123A", "pricing.py:41", "Traceback …")


class ParkingConformance:
    """Rows run in order per lane; a row is removed by being handled or by an operator's decision only."""

    def test_a_parked_row_is_kept_as_it_was(self, database: Database, connection: Any) -> None:
        row = parked(5, attempts=2, due_at=NOW, failure=FAILURE, failed_at=NOW)
        park(database.store, connection, row)
        found = database.store.list_parked(connection, ["parked"], 10)[0]

        assert replace(found, id=0) == row
        assert database.store.get_parked(connection, found.id) == found
        assert database.store.get_parked(connection, found.id + 1) is None

    def test_what_is_due_has_an_age_and_what_waits_for_its_time_has_none(
        self, database: Database, connection: Any
    ) -> None:
        park(database.store, connection, parked(6, "anna", due_at=SCHEDULED), parked(7, "anna", due_at=NOW))
        before = database.store.ages(connection, NOW).due
        park(database.store, connection, parked(5, "ben", due_at=NOW))

        assert before is None, "the second one waits behind the first of its key"
        assert database.store.ages(connection, NOW + 7.0).due == 7.0

    def test_what_is_to_run_at_once_has_waited_since_it_failed(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, "anna", due_at=0.0, failed_at=NOW), parked(6, "ben", due_at=0.0))

        assert database.store.ages(connection, NOW + 7.0).due == 7.0

    def test_only_due_rows_come_back(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, "anna", due_at=NOW), parked(6, "ben", due_at=SCHEDULED))

        assert [row.record.number for row in due(database.store, connection, NOW)] == [5]
        assert [row.record.number for row in due(database.store, connection, SCHEDULED)] == [5, 6]

    def test_only_rows_of_the_partitions_asked_for_come_back(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5))

        assert database.store.due_heads(connection, [FINANCE.partition + 1], NOW, 10) == []

    def test_a_follower_waits_for_the_head_of_its_lane(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, due_at=SCHEDULED), parked(6), parked(7), parked(8, "ben"))

        assert [row.record.number for row in due(database.store, connection, NOW)] == [8]

    def test_the_head_of_a_lane_is_found_whatever_its_state(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(7), parked(6, state="dead"), parked(1, "ben"))
        head = store.lane_head(connection, "", "finance", "anna")

        assert head is not None
        assert (head.record.number, head.state) == (6, "dead")
        assert store.lane_head(connection, "mail", "finance", "anna") is None

    def test_followers_wait_behind_a_dead_head(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, state="dead"), parked(6))

        assert due(database.store, connection) == []

    def test_the_first_of_a_lane_is_its_head_even_if_it_was_parked_last(
        self, database: Database, connection: Any
    ) -> None:
        park(database.store, connection, parked(6))
        park(database.store, connection, parked(5))

        assert [row.record.number for row in due(database.store, connection)] == [5]

    def test_each_handler_group_has_lanes_of_its_own(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, state="dead"), parked(6, handler="mail", lane="mail"))

        assert [row.handler for row in due(database.store, connection)] == ["mail"]

    def test_two_handlers_of_the_first_event_are_both_heads(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, handler="bill"), parked(5, handler="count"), parked(6))

        assert [row.handler for row in due(database.store, connection)] == ["bill", "count"]

    def test_rows_without_key_wait_for_no_other(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, None, state="dead"), parked(6, None))

        assert [row.record.number for row in due(database.store, connection)] == [6]

    def test_the_lanes_that_hold_something_are_known(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5), parked(6, "ben", handler="mail", lane="mail", state="dead"))
        lanes = database.store.parked_lanes(
            connection, [("finance", "anna"), ("finance", "ben"), ("finance", "carl"), ("sales", "anna")]
        )

        assert lanes == {("", "finance", "anna"), ("mail", "finance", "ben")}
        assert database.store.parked_count(connection) == 2

    # one attempt

    def test_an_attempt_is_counted_before_it_runs_and_only_once(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5))
        row = due(database.store, connection)[0]
        with transaction(database.store, connection):
            assert database.store.start_attempt(connection, row)
            assert not database.store.start_attempt(connection, row)

        started = database.store.list_parked(connection, ["parked"], 10)[0]
        assert (started.attempts, started.running) == (1, True)
        assert due(database.store, connection) == []
        assert database.store.interrupted(connection, [FINANCE.partition]) == [started]

    def test_an_applied_row_is_gone_and_its_follower_is_next(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5), parked(6))
        started = self._start(database, connection)
        with transaction(database.store, connection):
            assert not database.store.take_parked(connection, replace(started, attempts=started.attempts - 1))
            assert database.store.take_parked(connection, started)
            assert not database.store.take_parked(connection, started)

        assert [row.record.number for row in due(database.store, connection)] == [6]

    def test_a_failed_attempt_is_settled_once(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5))
        started = self._start(database, connection)
        settled = replace(started, running=False, due_at=SCHEDULED, failure=FAILURE, failed_at=NOW)
        with transaction(database.store, connection):
            database.store.settle_attempt(connection, settled, started.attempts)
            database.store.settle_attempt(connection, replace(settled, state="dead"), started.attempts - 1)

        assert database.store.get_parked(connection, started.id) == settled
        assert database.store.interrupted(connection, [FINANCE.partition]) == []

    # what a person decides

    def test_a_redriven_dead_letter_is_due_with_its_attempts_forgotten(
        self, database: Database, connection: Any
    ) -> None:
        park(database.store, connection, parked(5, state="dead", attempts=7, due_at=SCHEDULED))
        row = database.store.list_parked(connection, ["dead"], 10)[0]
        with transaction(database.store, connection):
            assert database.store.redrive(connection, row.id)
            assert not database.store.redrive(connection, row.id)

        assert [(row.record.number, row.attempts) for row in due(database.store, connection)] == [(5, 0)]

    def test_a_discarded_dead_letter_is_kept_with_the_reason_and_lets_its_followers_go(
        self, database: Database, connection: Any
    ) -> None:
        park(database.store, connection, parked(5, state="dead", failure=FAILURE), parked(6))
        dead = database.store.list_parked(connection, ["dead"], 10)[0]
        with transaction(database.store, connection):
            assert database.store.discard(connection, dead.id, "test data", "ana", NOW)
            assert not database.store.discard(connection, dead.id, "again", "ana", NOW)

        assert [row.record.number for row in due(database.store, connection)] == [6]
        assert database.store.counts(connection, NOW, NOW).discarded == 1

    def test_what_is_not_dead_is_neither_redriven_nor_discarded(self, database: Database, connection: Any) -> None:
        park(database.store, connection, parked(5, attempts=3))
        row = due(database.store, connection)[0]
        with transaction(database.store, connection):
            assert not database.store.redrive(connection, row.id)
            assert not database.store.discard(connection, row.id, "no", "ana", NOW)

        assert database.store.parked_count(connection) == 1

    def test_what_could_not_be_decoded_is_tried_again_when_the_contracts_change(
        self, database: Database, connection: Any
    ) -> None:
        with transaction(database.store, connection):
            database.store.retry_undecodable(connection, "contracts, first")
        park(database.store, connection, parked(5, state="undecodable"))
        with transaction(database.store, connection):
            unchanged = database.store.retry_undecodable(connection, "contracts, first")
        with transaction(database.store, connection):
            changed = database.store.retry_undecodable(connection, "contracts, second")

        assert (unchanged, changed) == (0, 1)
        assert [row.record.number for row in due(database.store, connection)] == [5]

    def test_everything_set_aside_is_counted(self, database: Database, connection: Any) -> None:
        park(
            database.store,
            connection,
            parked(5, "anna", due_at=NOW),
            parked(6, "anna", due_at=NOW),
            parked(7, "ben", due_at=SCHEDULED),
            parked(8, "carl", state="dead"),
            parked(9, "dora", state="undecodable"),
        )
        counts = database.store.counts(connection, NOW, NOW)

        assert (counts.parked, counts.due, counts.dead, counts.next_due_at) == (3, 1, 2, NOW)

    def _start(self, database: Database, connection: Any) -> Any:
        row = due(database.store, connection)[0]
        with transaction(database.store, connection):
            assert database.store.start_attempt(connection, row)
        return database.store.get_parked(connection, row.id)
