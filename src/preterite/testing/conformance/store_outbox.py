"""Conformance of stores: outbox, numbers, journal, leases."""

from __future__ import annotations

from typing import Any

import pytest

from preterite.errors import Fenced
from preterite.log.contract import Record, Stream
from preterite.store.contract import Database
from preterite.store.rows import RELAY, LeaseState
from preterite.testing.conformance.store_steps import (
    AGE_SECONDS_MAX,
    ANOTHER,
    ME,
    NOW,
    SCHEDULED,
    id_of,
    outbox_row,
    publish,
    take,
    transaction,
)


class OutboxConformance:
    """Committed events get gap-free numbers, and stay in the journal until the log has them."""

    @pytest.mark.rule(14)
    def test_what_was_forgotten_is_in_the_journal_and_is_never_numbered_again(
        self, database: Database, connection: Any
    ) -> None:
        stream = Stream("sales", 0)
        forgotten = [
            Record(stream, "event", 1, 1, id_of("a"), b"a"),
            Record(stream, "void", 1, 2, b"", b"lost"),
            Record(stream, "event", 1, 3, id_of("c"), b"c"),
        ]
        before = database.store.has_forgotten(connection)
        with transaction(database.store, connection):
            database.store.adopt(connection, forgotten, NOW)
        publish(database.store, connection, [outbox_row("a"), outbox_row("d")])
        lease = take(database.store, connection)
        with transaction(database.store, connection):
            suppressed = database.store.take_forgotten(connection, lease)
            numbered = database.store.number(connection, lease, NOW, 100)
        journal = database.store.journal(connection, stream, 0, 9, 100)

        assert (before, database.store.has_forgotten(connection)) == (False, True)
        assert [(one.row.event_id, one.published) for one in suppressed] == [(id_of("a"), b"a")]
        assert numbered == [(0, 4, id_of("d"), b"d")]
        assert [(record.number, record.kind, record.body) for record in journal] == [
            (1, "event", b"a"),
            (2, "void", b"lost"),
            (3, "event", b"c"),
            (4, "event", b"d"),
        ]
        assert database.store.stream_numbers(connection)[0][:4] == (0, 4, id_of("d"), 3)

    @pytest.mark.rule(14)
    @pytest.mark.parametrize("alone", [False, True])
    def test_what_was_forgotten_is_not_numbered_even_if_it_comes_after_all_else_was_taken_out(
        self, database: Database, connection: Any, *, alone: bool
    ) -> None:
        """As handlers do that run again while the relay is at work, where several transactions write at a time."""
        store = database.store
        with transaction(store, connection):
            store.adopt(connection, [Record(Stream("sales", 0), "event", 1, 1, id_of("a"), b"a")], NOW)
        lease = take(store, connection)
        late = [outbox_row("b"), outbox_row("a"), outbox_row("c")]
        if alone:
            with transaction(store, connection):
                store.take_forgotten(connection, lease)
            publish(store, connection, late)
            numbered = store.number_alone(connection, lease, NOW, 100)
        else:
            with transaction(store, connection):
                store.take_forgotten(connection, lease)
                store.add_to_outbox(connection, late)
                numbered = store.number(connection, lease, NOW, 100)
        left = store.outbox(connection)
        with transaction(store, connection):
            suppressed = store.take_forgotten(connection, lease)

        assert numbered == [(0, 2, id_of("b"), b"b"), (0, 3, id_of("c"), b"c")]
        assert left == [b"a"]
        assert [one.row.event_id for one in suppressed] == [id_of("a")]
        assert store.stream_numbers(connection)[0][:3] == (0, 3, id_of("c"))

    def test_a_worker_that_lost_the_lease_takes_nothing_from_the_outbox(
        self, database: Database, connection: Any
    ) -> None:
        lost = take(database.store, connection)
        take(database.store, connection, owner=ANOTHER)

        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.take_forgotten(connection, lost)

    def test_workers_are_there_until_their_time_is_over_or_they_leave(
        self, database: Database, connection: Any
    ) -> None:
        with transaction(database.store, connection):
            database.store.heartbeat(connection, ME, NOW + 6, NOW)
            both = database.store.heartbeat(connection, ANOTHER, NOW + 9, NOW)
        with transaction(database.store, connection):
            later = database.store.heartbeat(connection, ANOTHER, NOW + 16, NOW + 7)
        known = dict(database.store.workers(connection))
        with transaction(database.store, connection):
            database.store.deregister(connection, ANOTHER)

        assert sorted(both) == sorted([ME, ANOTHER])
        assert list(later) == [ANOTHER]
        assert known == {ANOTHER: NOW + 16}
        assert dict(database.store.workers(connection)) == {}

    def test_what_is_rolled_back_is_not_in_the_outbox(self, database: Database, connection: Any) -> None:
        database.store.begin(connection)
        database.store.add_to_outbox(connection, [outbox_row("one")])
        connection.rollback()

        assert not database.store.has_outbox(connection)

    def test_events_written_one_by_one_stand_in_the_outbox_in_their_order(
        self, database: Database, connection: Any
    ) -> None:
        with transaction(database.store, connection):
            write = database.store.outbox_writer(connection)
            for name in "ab":
                write(outbox_row(name))
        lease = take(database.store, connection)
        with transaction(database.store, connection):
            database.store.number(connection, lease, NOW, 100)

        records = database.store.journal(connection, Stream("sales", 0), 0, 1, 100)
        assert [record.body for record in records] == [b"a", b"b"]

    def test_events_placed_last_stand_behind_those_that_others_have_added_meanwhile(
        self, database: Database, connection: Any
    ) -> None:
        with transaction(database.store, connection):
            write = database.store.outbox_writer(connection)
            places = [write(outbox_row("a")), write(outbox_row("b"))]
            database.store.add_to_outbox(connection, [outbox_row("c")])
            database.store.place_last(connection, places)

        # Where writers stand in line, nobody adds anything meanwhile.
        expected = [b"c", b"a", b"b"] if database.store.writes_at_once else [b"a", b"b", b"c"]
        assert [bytes(envelope) for envelope in database.store.outbox(connection)] == expected

    def test_what_was_rolled_back_is_not_placed_anew(self, database: Database, connection: Any) -> None:
        with transaction(database.store, connection):
            write = database.store.outbox_writer(connection)
            places = [write(outbox_row("a"))]
            connection.execute("SAVEPOINT one")
            places.append(write(outbox_row("b")))
            connection.execute("ROLLBACK TO one")
            database.store.place_last(connection, places)

        assert [bytes(envelope) for envelope in database.store.outbox(connection)] == [b"a"]

    def test_numbers_follow_the_order_of_the_outbox_without_gaps_per_partition(
        self, database: Database, connection: Any
    ) -> None:
        lease = take(database.store, connection)
        publish(database.store, connection, [outbox_row("a", 0), outbox_row("b", 1), outbox_row("c", 0)])
        publish(database.store, connection, [outbox_row("d", 0), outbox_row("e", 1)])
        with transaction(database.store, connection):
            numbered = database.store.number(connection, lease, NOW, 100)

        def journal(partition: int) -> list[tuple[int, bytes]]:
            records = database.store.journal(connection, Stream("sales", partition), 0, 5, 100)
            return [(record.number, record.body) for record in records]

        assert numbered == [
            (0, 1, id_of("a"), b"a"),
            (0, 2, id_of("c"), b"c"),
            (0, 3, id_of("d"), b"d"),
            (1, 1, id_of("b"), b"b"),
            (1, 2, id_of("e"), b"e"),
        ]
        assert not database.store.has_outbox(connection)
        assert journal(0) == [(1, b"a"), (2, b"c"), (3, b"d")]
        assert journal(1) == [(1, b"b"), (2, b"e")]

    def test_numbering_takes_no_more_than_was_asked_for_and_goes_on_from_there(
        self, database: Database, connection: Any
    ) -> None:
        lease = take(database.store, connection)
        publish(database.store, connection, [outbox_row(name) for name in "abcde"])
        counts: list[int] = []
        for _ in range(3):
            with transaction(database.store, connection):
                counts.append(len(database.store.number(connection, lease, NOW, 2)))

        row = database.store.stream_numbers(connection)[0]
        assert counts == [2, 2, 1]
        assert (row.last_number, row.last_id) == (5, id_of("e"))

    def test_a_worker_that_lost_the_lease_numbers_nothing(self, database: Database, connection: Any) -> None:
        lost = take(database.store, connection)
        take(database.store, connection, owner=ANOTHER)
        publish(database.store, connection, [outbox_row("one")])

        for act in (
            lambda: database.store.number(connection, lost, NOW, 100),
            lambda: database.store.confirm(connection, lost, {0: 1}),
            lambda: database.store.set_stream_epoch(connection, lost, 9),
        ):
            with pytest.raises(Fenced), transaction(database.store, connection):
                act()
        with pytest.raises(Fenced):
            database.store.number_alone(connection, lost, NOW, 100)
        assert database.store.has_outbox(connection)
        assert database.store.stream_numbers(connection)[0][1:] == (0, b"", 0, 0)

    def test_numbering_alone_commits_by_itself(self, database: Database, connection: Any) -> None:
        lease = take(database.store, connection)
        before = database.store.number_alone(connection, lease, NOW, 100)
        publish(database.store, connection, [outbox_row("a"), outbox_row("b", 1), outbox_row("c")])
        numbered = database.store.number_alone(connection, lease, NOW, 2)
        rest = database.store.number_alone(connection, lease, NOW, 2)

        assert not database.store.in_transaction(connection)
        assert before == []
        assert numbered == [(0, 1, id_of("a"), b"a"), (1, 1, id_of("b"), b"b")]
        assert rest == [(0, 2, id_of("c"), b"c")]
        journal = database.store.journal(database.connect(), Stream("sales", 0), 0, 5, 100)
        assert [record.body for record in journal] == [b"a", b"c"]

    def test_the_journal_gives_records_of_the_epoch_asked_for(self, database: Database, connection: Any) -> None:
        self._number(database, connection, "abc")
        records = database.store.journal(connection, Stream("sales", 0), 1, 77, 1)

        assert [(r.kind, r.epoch, r.number, r.event_id, r.body) for r in records] == [
            ("event", 77, 2, id_of("b"), b"b")
        ]
        assert database.store.journal_id(connection, 0, 3) == id_of("c")
        assert database.store.journal_id(connection, 0, 4) == b""

    def test_a_void_takes_the_place_of_an_event_with_its_number_and_id(
        self, database: Database, connection: Any
    ) -> None:
        self._number(database, connection, "abc")
        with transaction(database.store, connection):
            database.store.void(connection, 0, 2, "too large")

        void = database.store.journal(connection, Stream("sales", 0), 1, 1, 1)[0]
        assert (void.kind, void.number, void.event_id, void.body) == ("void", 2, id_of("b"), b"too large")

    def test_what_is_confirmed_and_the_epoch_are_remembered(self, database: Database, connection: Any) -> None:
        lease = self._number(database, connection, "abc")
        with transaction(database.store, connection):
            database.store.confirm(connection, lease, {0: 2})
            database.store.set_stream_epoch(connection, lease, 9)

        row = database.store.stream_numbers(connection)[0]
        assert (row.confirmed, row.epoch) == (2, 9)

    def test_the_journal_drops_only_what_is_old_and_confirmed(self, database: Database, connection: Any) -> None:
        lease = self._number(database, connection, "abcd")
        with transaction(database.store, connection):
            database.store.confirm(connection, lease, {0: 2})
        with transaction(database.store, connection):
            too_young = database.store.prune_journal(connection, NOW, 100)
            dropped = database.store.prune_journal(connection, SCHEDULED, 100)

        kept = database.store.journal(connection, Stream("sales", 0), 0, 1, 100)
        assert (too_young, dropped) == (0, 2)
        assert [record.number for record in kept] == [3, 4]

    def test_the_journal_is_pruned_from_its_beginning_and_has_no_hole(
        self, database: Database, connection: Any
    ) -> None:
        """Where the clock was set back, a later number is the older one."""
        lease = take(database.store, connection)
        for name, at in (("a", NOW - 9.0), ("b", NOW), ("c", NOW - 9.0), ("d", NOW - 9.0)):
            publish(database.store, connection, [outbox_row(name)])
            database.store.number_alone(connection, lease, at, 100)
        before = database.store.journal_starts(connection)[0]
        with transaction(database.store, connection):
            database.store.confirm(connection, lease, {0: 4})
            dropped = database.store.prune_journal(connection, NOW, 100)
        kept = [record.number for record in database.store.journal(connection, Stream("sales", 0), 0, 1, 100)]
        after = database.store.journal_starts(connection)[0]
        with transaction(database.store, connection):
            rest = database.store.prune_journal(connection, SCHEDULED, 2)
            rest += database.store.prune_journal(connection, SCHEDULED, 2)

        assert (before, dropped, kept, after) == (1, 1, [2, 3, 4], 2)
        assert (rest, database.store.journal_starts(connection)[0]) == (3, 5)

    # leases

    def test_a_free_lease_can_be_taken(self, database: Database, connection: Any) -> None:
        lease = take(database.store, connection)

        assert (lease.owner, lease.epoch, lease.clean) == (ME, 1, True)

    def test_a_lease_is_taken_only_in_the_state_in_which_it_was_seen(self, database: Database, connection: Any) -> None:
        never = LeaseState(RELAY, None, 0, 0.0, 0)
        take(database.store, connection)
        with transaction(database.store, connection):
            assert database.store.take_lease(connection, never, ANOTHER, SCHEDULED) is None

        assert database.store.leases(connection)[0].owner == ME

    def test_a_lease_taken_from_another_worker_is_not_clean_and_has_a_new_epoch(
        self, database: Database, connection: Any
    ) -> None:
        take(database.store, connection)
        lease = take(database.store, connection, owner=ANOTHER)

        assert (lease.epoch, lease.clean) == (2, False)

    def test_a_lease_taken_again_by_its_owner_is_clean_and_has_a_new_epoch(
        self, database: Database, connection: Any
    ) -> None:
        take(database.store, connection)
        lease = take(database.store, connection)

        assert (lease.epoch, lease.clean) == (2, True)

    def test_a_lease_given_back_is_clean(self, database: Database, connection: Any) -> None:
        lease = take(database.store, connection)
        with transaction(database.store, connection):
            database.store.release(connection, [lease])

        assert database.store.leases(connection)[0].owner is None
        assert take(database.store, connection, owner=ANOTHER).clean

    def test_only_what_is_held_is_renewed_and_given_back(self, database: Database, connection: Any) -> None:
        lost = take(database.store, connection)
        held = take(database.store, connection, "partition/1")
        take(database.store, connection, owner=ANOTHER)
        with transaction(database.store, connection):
            assert database.store.renew(connection, [lost, held], SCHEDULED) == 1
            database.store.release(connection, [lost])

        states = {state.name: state for state in database.store.leases(connection)}
        assert states["partition/1"].expires_at == SCHEDULED
        assert states["partition/1"].renewals == 1
        assert states[RELAY].owner == ANOTHER

    def test_what_waits_in_the_outbox_has_an_age_by_the_databases_clock(
        self, database: Database, connection: Any
    ) -> None:
        store = database.store
        before = store.ages(connection, NOW)
        publish(store, connection, [outbox_row("a")])
        waits = store.ages(connection, NOW)
        lease = self._number(database, connection, "b")
        numbered = store.numbered_age(connection, 0, 1)
        beyond = store.numbered_age(connection, 0, 2)
        with transaction(store, connection):
            store.confirm(connection, lease, {0: 2})
        confirmed = store.ages(connection, NOW)

        assert (before.outbox, before.confirmed, confirmed.outbox, beyond) == (None, None, None, None)
        assert numbered is not None
        for age in (waits.outbox, confirmed.confirmed):
            assert age is not None
            assert 0 <= age < AGE_SECONDS_MAX

    def test_confirming_again_what_is_confirmed_is_no_progress(self, database: Database, connection: Any) -> None:
        lease = self._number(database, connection, "a")
        with transaction(database.store, connection):
            database.store.confirm(connection, lease, {0: 0, 1: 0})

        assert database.store.ages(connection, NOW).confirmed is None

    def _number(self, database: Database, connection: Any, names: str) -> Any:
        lease = take(database.store, connection)
        publish(database.store, connection, [outbox_row(name) for name in names])
        with transaction(database.store, connection):
            database.store.number(connection, lease, NOW, 100)
        return lease
