"""Where the relay begins to look in its outbox: never above what somebody may still commit."""

from collections.abc import Iterator
from typing import Any

import pytest
from support import postgres

from preterite.store.postgres import outbox_floor as postgres_floor
from preterite.store.postgres.store import PostgresDatabase
from preterite.testing.conformance.store_steps import IDENTITY, outbox_row, publish, take, transaction


class Outbox:
    """A component's outbox, with the connection of its relay and as many others as a test wants."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.store = database.store
        self.database = database
        self.relay = database.connect()
        self.opened = [self.relay]
        database.store.migrate(self.relay)
        with transaction(database.store, self.relay):
            database.store.bind_identity(self.relay, IDENTITY)
        self.lease = take(database.store, self.relay)

    def connect(self) -> Any:
        self.opened.append(self.database.connect())
        return self.opened[-1]

    def number(self) -> list[bytes]:
        with transaction(self.store, self.relay):
            return [envelope for *_, envelope in self.store.number(self.relay, self.lease, 0.0, 100)]

    def maintain(self) -> int:
        self.database.maintain(self.relay)
        return self.relay.outbox_floor.id


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr("preterite.store.postgres.store.VACUUM_BYTES_MIN", 0)
    with postgres.databases() as make:
        made = Outbox(PostgresDatabase(make("sales")))
        yield made
        for connection in made.opened:
            connection.close()
        made.database.close()


def test_what_was_moved_is_not_passed_through_again(outbox: Outbox) -> None:
    publish(outbox.store, outbox.relay, [outbox_row("a"), outbox_row("b")])
    before = outbox.maintain()
    outbox.number()

    assert before == 0, "what can be seen and is not moved stays above the floor"
    assert outbox.maintain() == 2
    assert not outbox.store.has_outbox(outbox.relay)


@pytest.mark.rule(5)
def test_a_late_commit_is_found_though_higher_ids_were_moved_long_ago(outbox: Outbox) -> None:
    late = outbox.connect()
    outbox.store.begin(late)
    outbox.store.add_to_outbox(late, [outbox_row("late")])
    publish(outbox.store, outbox.relay, [outbox_row("early")])
    first = outbox.number()
    floors = [outbox.maintain() for _ in range(3)]
    late.commit()
    found = outbox.store.has_outbox(outbox.relay)

    assert first == [b"early"]
    assert floors == [0, 0, 0]
    assert found
    assert outbox.number() == [b"late"]
    assert outbox.maintain() == 2


def test_a_transaction_that_began_after_the_id_was_chosen_delays_nothing(outbox: Outbox) -> None:
    first, second = outbox.connect(), outbox.connect()
    outbox.store.begin(first)
    outbox.store.add_to_outbox(first, [outbox_row("first")])
    outbox.maintain()
    outbox.store.begin(second)
    outbox.store.add_to_outbox(second, [outbox_row("second")])
    first.commit()
    outbox.number()
    risen = outbox.maintain()
    second.commit()

    assert risen == 1
    assert outbox.number() == [b"second"]


def test_a_transaction_that_does_not_publish_holds_nothing_up(outbox: Outbox) -> None:
    foreign = outbox.connect()
    foreign.execute("CREATE TABLE foreign_table (x integer)")
    foreign.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    foreign.execute("INSERT INTO foreign_table VALUES (1)")
    publish(outbox.store, outbox.relay, [outbox_row("a")])
    outbox.number()

    assert outbox.maintain() == 1


@pytest.mark.parametrize("how", ["ids begin anew", "put back by hand"])
def test_what_stands_below_the_floor_against_all_rules_is_found_within_a_minute(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    publish(outbox.store, outbox.relay, [outbox_row("a"), outbox_row("b")])
    outbox.number()
    outbox.maintain()
    if how == "ids begin anew":
        outbox.relay.execute("TRUNCATE preterite.outbox RESTART IDENTITY")
        publish(outbox.store, outbox.relay, [outbox_row("c")])
    else:
        outbox.relay.execute("INSERT INTO preterite.outbox OVERRIDING SYSTEM VALUE VALUES (1, 0, 'c', 'c')")
        monkeypatch.setattr(postgres_floor, "RECHECK_SECONDS", 0.0)
    outbox.maintain()

    assert outbox.number() == [b"c"]


def test_where_nothing_was_published_yet_the_first_event_is_found(outbox: Outbox) -> None:
    floor = outbox.maintain()
    publish(outbox.store, outbox.relay, [outbox_row("first")])

    assert floor == 0
    assert outbox.store.has_outbox(outbox.relay)
    assert outbox.number() == [b"first"]
