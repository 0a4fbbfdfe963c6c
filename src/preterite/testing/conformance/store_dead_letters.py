"""Conformance of stores: dead letters in failure groups, the notes on them, and the audit."""

from __future__ import annotations

from typing import Any

from preterite.store.contract import Database
from preterite.store.rows import AuditLine, Failure, Fingerprint, Note
from preterite.testing.conformance.store_steps import NOW, park, parked, transaction

UNKNOWN_PRICE = Failure("UnknownPrice", "no price for 85123A", "billing.py:41", "Traceback …")
NO_INK = Failure("NoInk", "the printer", "mail.py:7", "Traceback …")
BILL = Fingerprint("bill", "UnknownPrice", "billing.py:41")
MAIL = Fingerprint("mail", "NoInk", "mail.py:7")


class DeadLettersConformance:
    """Dead letters, and what operators decide about them."""

    def test_dead_letters_that_failed_in_the_same_way_are_a_group(self, database: Database, connection: Any) -> None:
        store = database.store
        newer = Failure("UnknownPrice", "no price for 22423", "billing.py:41", "Traceback …")
        park(
            store,
            connection,
            parked(1, "anna", state="dead", failure=UNKNOWN_PRICE, failed_at=10.0),
            parked(2, "ben", state="undecodable", failure=newer, failed_at=30.0),
            parked(3, "carl", handler="mail", state="dead", failure=NO_INK, failed_at=20.0),
            parked(4, "dora", failure=UNKNOWN_PRICE, failed_at=40.0),
        )
        groups = store.failure_groups(connection, 10)

        assert [(group.fingerprint, group.dead_letters) for group in groups] == [(BILL, 2), (MAIL, 1)]
        assert (groups[0].first_at, groups[0].last_at, groups[0].text) == (10.0, 30.0, "no price for 22423")
        assert groups[0].note is None
        assert [group.fingerprint for group in store.failure_groups(connection, 1)] == [BILL]

    def test_dead_letters_are_chosen_by_kind_oldest_first(self, database: Database, connection: Any) -> None:
        store = database.store
        for number, handler, failure in ((1, "bill", UNKNOWN_PRICE), (2, "mail", NO_INK), (3, "bill", UNKNOWN_PRICE)):
            row = parked(number, str(number), handler=handler, state="dead", failure=failure, failed_at=NOW)
            park(store, connection, row)
        ids = store.dead_letters_of(connection, None, 10)

        assert len(ids) == 3
        assert store.dead_letters_of(connection, BILL, 10) == [ids[0], ids[2]]
        assert store.dead_letters_of(connection, None, 2) == ids[:2]

    def test_what_waits_behind_a_dead_letter_is_counted_in_its_lane(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(5, state="dead"), parked(6), parked(7), parked(8, "ben"), parked(9, None))
        head = store.dead_letters_of(connection, None, 1)[0]

        assert store.followers(connection, head) == 2

    def test_a_note_comes_back_when_its_group_does(self, database: Database, connection: Any) -> None:
        store = database.store
        with transaction(store, connection):
            store.keep_note(connection, BILL, Note("first thought", "ops", 1.0))
            store.keep_note(connection, BILL, Note("add the price", "ops", 2.0))
        park(store, connection, parked(1, state="dead", failure=UNKNOWN_PRICE, failed_at=NOW))
        first = store.failure_groups(connection, 10)[0].note
        number = store.dead_letters_of(connection, None, 1)[0]
        with transaction(store, connection):
            store.discard(connection, number, "a test", "ops", NOW)
        gone = store.failure_groups(connection, 10)
        park(store, connection, parked(2, state="dead", failure=UNKNOWN_PRICE, failed_at=NOW))

        assert first == Note("add the price", "ops", 2.0)
        assert gone == []
        assert store.failure_groups(connection, 10)[0].note == first

    def test_the_original_event_is_kept_beside_an_operators_change(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(1, state="dead"), parked(2, "ben"))
        dead = store.dead_letters_of(connection, None, 1)[0]
        waiting = store.list_parked(connection, ["parked"], 1)[0].id
        with transaction(store, connection):
            done = [store.edit_parked(connection, number, b"first") for number in (dead, waiting)]
            store.edit_parked(connection, dead, b"second")
        row = store.get_parked(connection, dead)

        assert done == [True, False]
        assert row is not None
        assert (row.record.body, row.original) == (b"second", b"{}")

    def test_the_audit_is_kept_newest_first(self, database: Database, connection: Any) -> None:
        store = database.store
        lines = [AuditLine(float(n), "ops", "redrive", str(n), "price added", "", "") for n in range(3)]
        with transaction(store, connection):
            for line in lines:
                store.add_audit(connection, line)

        assert list(store.audit(connection, 10)) == lines[::-1]
        assert list(store.audit(connection, 1)) == lines[2:]

    def test_a_lane_knows_how_many_it_holds(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(5), parked(6), parked(7, "ben"), parked(8, handler="mail", lane="mail"))

        assert store.parked_in_lane(connection, "", "finance", "anna") == 2
        assert store.parked_in_lane(connection, "", "sales", "anna") == 0
