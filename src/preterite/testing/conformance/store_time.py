"""Conformance of stores: commands, sagas and calendars are kept, found in order, and taken once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec import structs

from preterite.store.contract import Database, Store
from preterite.store.rows import SCHEDULED, SagaRow, ScheduledRow, saga_key, tick_name
from preterite.testing.conformance.store_steps import FINANCE, NOW, id_of, park, parked, transaction

PARTITIONS = list(range(8))
LATER_ON = 10 * NOW


def waiting(name: str, due_at: float = NOW, **others: Any) -> ScheduledRow:
    """A scheduled command."""
    row = ScheduledRow(id_of(name), FINANCE.partition, due_at, None, None, "sales.Remind", name.encode())
    return row._replace(**others)


def add(store: Store, connection: Any, *rows: ScheduledRow) -> None:
    """Commit scheduled commands."""
    with transaction(store, connection):
        store.add_scheduled(connection, rows)


def due(store: Store, connection: Any, now: float = NOW, limit: int = 100) -> list[str]:
    """The names of the due commands."""
    return [row.envelope.decode() for row in store.due_scheduled(connection, PARTITIONS, now, limit)]


def begin(store: Store, connection: Any, value: str = "one") -> SagaRow:
    """Begin an instance of a saga."""
    with transaction(store, connection):
        assert store.add_saga(connection, "Window", value, 1, b"{}", NOW) is not None
    row = store.find_saga(connection, "Window", value)
    assert row is not None
    return row


class TimeConformance:
    """Commands, instances of sagas and calendars, in the component's own database."""

    def test_commands_are_found_when_due_oldest_first(self, database: Database, connection: Any) -> None:
        store = database.store
        add(store, connection, waiting("b", 20.0), waiting("a", 10.0), waiting("b again", 20.0), waiting("c", 30.0))

        assert due(store, connection, 20.0) == ["a", "b", "b again"]
        assert due(store, connection, 20.0, limit=2) == ["a", "b"]
        assert due(store, connection, 9.9) == []
        assert store.next_due(connection) == 10.0

    def test_commands_of_other_partitions_are_not_found(self, database: Database, connection: Any) -> None:
        add(database.store, connection, waiting("a"))

        assert database.store.due_scheduled(connection, [FINANCE.partition + 1], NOW, 10) == []

    def test_a_command_is_taken_once_and_only_when_due(self, database: Database, connection: Any) -> None:
        store = database.store
        add(store, connection, waiting("a"))
        number = store.due_scheduled(connection, PARTITIONS, NOW, 10)[0].id
        with transaction(store, connection):
            taken = [store.take_scheduled(connection, number, now) for now in (NOW - 1, NOW, NOW)]

        assert taken == [False, True, False]

    def test_the_number_of_a_command_is_never_used_again(self, database: Database, connection: Any) -> None:
        store = database.store
        add(store, connection, waiting("a"))
        first = store.due_scheduled(connection, PARTITIONS, NOW, 10)[0].id
        with transaction(store, connection):
            store.take_scheduled(connection, first, NOW)
        add(store, connection, waiting("b"))

        assert store.due_scheduled(connection, PARTITIONS, NOW, 10)[0].id > first

    def test_a_token_that_waits_already_is_not_added_again(self, database: Database, connection: Any) -> None:
        add(database.store, connection, waiting("a", 10.0))
        add(database.store, connection, waiting("a", 5.0))

        assert database.store.next_due(connection) == 10.0

    def test_a_command_can_be_cancelled_and_moved(self, database: Database, connection: Any) -> None:
        store = database.store
        add(store, connection, waiting("a", 10.0), waiting("b", 10.0), waiting("c", 10.0))
        with transaction(store, connection):
            store.cancel_scheduled(connection, id_of("a"))
            store.reschedule(connection, id_of("b"), 50.0)
            store.cancel_scheduled(connection, id_of("unknown"))

        assert due(store, connection, 10.0) == ["c"]
        assert due(store, connection, 50.0) == ["c", "b"]

    def test_there_is_one_instance_for_each_value(self, database: Database, connection: Any) -> None:
        store = database.store
        row = begin(store, connection)
        with transaction(store, connection):
            again = store.add_saga(connection, "Window", "one", 1, b"{}", NOW)

        assert again is None
        assert store.get_saga(connection, row.id) == row
        assert store.find_saga(connection, "Window", "two") is None
        assert store.find_saga(connection, "Other", "one") is None

    def test_a_state_is_kept_only_from_where_it_was_read(self, database: Database, connection: Any) -> None:
        store = database.store
        row = begin(store, connection)
        with transaction(store, connection):
            kept = [store.save_saga(connection, row, 2, state) for state in (b"first", b"overtaken")]
            ended = store.end_saga(connection, row, NOW)
        found = store.find_saga(connection, "Window", "one")

        assert kept == [True, False]
        assert not ended
        assert found == row._replace(revision=row.revision + 1, version=2, state=b"first")

    def test_an_instance_ends_with_its_commands_parked_ones_too(self, database: Database, connection: Any) -> None:
        store = database.store
        row, other = begin(store, connection), begin(store, connection, "two")
        key, other_key = saga_key("Window", "one"), saga_key("Window", "two")
        add(
            store,
            connection,
            waiting("mine", saga_id=row.id, key=key),
            waiting("of the other", saga_id=other.id, key=other_key),
            waiting("of no saga"),
        )
        command = parked(9, key, handler="Window.pack")
        record = structs.replace(
            command.record, kind="command", stream=command.record.stream._replace(publisher=SCHEDULED)
        )
        park(store, connection, replace(command, record=record))
        with transaction(store, connection):
            ended = store.end_saga(connection, row, NOW)

        assert ended
        assert store.find_saga(connection, "Window", "one") is None
        assert due(store, connection) == ["of the other", "of no saga"]
        assert store.parked_count(connection) == 0

    def test_an_instance_never_has_the_number_of_one_that_ended(self, database: Database, connection: Any) -> None:
        store = database.store
        row = begin(store, connection)
        with transaction(store, connection):
            store.end_saga(connection, row, NOW)

        assert begin(store, connection).id > row.id

    def test_that_an_instance_has_ended_is_remembered_for_a_while(self, database: Database, connection: Any) -> None:
        store = database.store
        for value, at in (("one", NOW), ("two", NOW + 1.0), ("one", NOW + 2.0), ("three", NOW + 3.0)):
            row = begin(store, connection, value)
            before = store.has_ended(connection, "Window", value)
            with transaction(store, connection):
                assert store.end_saga(connection, row, at)
            assert before == (at == NOW + 2.0)
        remembered = [self._remembered(store, connection)]
        for at, limit in ((NOW + 2.0, 9), (NOW + 9.0, 1), (NOW + 9.0, 9)):
            with transaction(store, connection):
                store.forget_ended(connection, at, limit)
            remembered.append(self._remembered(store, connection))

        assert remembered == [["one", "two", "three"], ["one", "three"], ["three"], []]
        assert not store.has_ended(connection, "Other", "one")

    def _remembered(self, store: Store, connection: Any) -> list[str]:
        return [value for value in ("one", "two", "three") if store.has_ended(connection, "Window", value)]

    def test_a_timeout_waits_for_the_parked_events_of_its_instance(self, database: Database, connection: Any) -> None:
        store = database.store
        row = begin(store, connection)
        key = saga_key("Window", "one")
        add(store, connection, waiting("timeout", saga_id=row.id, key=key), waiting("plain", 2 * NOW))
        park(store, connection, parked(5, saga=key, due_at=LATER_ON))

        assert due(store, connection, 2 * NOW) == ["plain"]
        assert store.next_due(connection) == 2 * NOW

    def test_what_is_parked_for_an_instance_is_due_once_it_begins(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(5, saga=saga_key("Window", "one"), due_at=LATER_ON))
        park(store, connection, parked(6, "ben", saga=saga_key("Window", "two"), due_at=LATER_ON))
        begin(store, connection)

        assert [row.record.number for row in store.due_heads(connection, PARTITIONS, NOW, 10)] == [5]

    def test_moments_of_a_calendar_are_taken_back_together(self, database: Database, connection: Any) -> None:
        store = database.store
        key = tick_name("close")
        add(store, connection, waiting("two", 20.0, key=key), waiting("one", 10.0, key=key), waiting("other", 5.0))
        with transaction(store, connection):
            dropped = store.drop_ticks(connection, key)

        assert list(dropped) == [10.0, 20.0]
        assert due(store, connection, LATER_ON) == ["other"]

    def test_calendars_are_known_by_their_newest_name_and_schedule(self, database: Database, connection: Any) -> None:
        store = database.store
        with transaction(store, connection):
            store.keep_calendar(connection, "close", "0 0 1 * * UTC", "close")
            store.keep_calendar(connection, "close", "0 0 2 * * UTC", "close")
            first = store.calendars(connection)
            store.keep_calendar(connection, "close_month", "0 0 2 * * UTC", "close")

        assert first == {"close": "0 0 2 * * UTC"}
        assert store.calendars(connection) == {"close_month": "0 0 2 * * UTC"}

    def test_it_counts_what_is_to_come(self, database: Database, connection: Any) -> None:
        store = database.store
        row = begin(store, connection)
        add(
            store, connection, waiting("a", 10.0), waiting("b", LATER_ON, saga_id=row.id, key=saga_key("Window", "one"))
        )
        counts = store.counts(connection, NOW, NOW)

        assert (counts.scheduled, counts.sagas, counts.due, counts.next_due_at) == (2, 1, 1, 10.0)
