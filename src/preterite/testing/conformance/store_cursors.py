"""Conformance of stores: active handlers, cursors, and the fence at the end of every batch."""

from __future__ import annotations

from typing import Any

import pytest

from preterite.errors import Fenced
from preterite.log.contract import Cursor, Stream
from preterite.store.contract import Database
from preterite.store.rows import Activity, Fence, HandlerRegistration, Move
from preterite.store.sql.cursors import SKIPPED_NAMES_MAX
from preterite.testing.conformance.store_steps import (
    AGE_SECONDS_MAX,
    ANOTHER,
    FINANCE,
    NOW,
    SCHEDULED,
    id_of,
    park,
    parked,
    take,
    transaction,
)

BILL = HandlerRegistration("bill", "finance.Event", "")
MAIL = HandlerRegistration("mail", "finance.Event", "mail")
START = Cursor(4, id_of(4), 1)
NEXT = Cursor(6, id_of(6), 2)
LEASE = f"partition/{FINANCE.partition}"


class CursorConformance:
    """Cursors move in the transaction of the batch, once, and only under the fence (protocol rules 1, 6, 18)."""

    def test_a_cursor_moves_from_where_it_was_read(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        with transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, SCHEDULED)

        assert database.store.cursors(connection)[FINANCE].cursor == NEXT
        assert database.store.leases(connection)[0].expires_at == SCHEDULED

    def test_a_batch_knows_whether_anything_is_parked_as_it_begins(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        before = database.store.peek_fence(connection, fence)
        park(database.store, connection, parked(1))

        assert (before, database.store.peek_fence(connection, fence)) == (False, True)

    def test_leases_that_need_not_be_renewed_are_only_checked(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        before = database.store.leases(connection)
        with transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, None)
        with transaction(database.store, connection):
            database.store.enforce_fence(connection, fence, None)

        assert database.store.cursors(connection)[FINANCE].cursor == NEXT
        assert database.store.leases(connection) == before

    def test_it_is_known_how_long_ago_a_cursor_was_moved(self, database: Database, connection: Any) -> None:
        before = database.store.ages(connection, NOW).moved
        fence = self._ready(database, connection)
        started = database.store.ages(connection, NOW).moved
        with transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, SCHEDULED)
        moved = database.store.ages(connection, NOW).moved

        assert before is None
        assert started is not None
        assert moved is not None
        assert 0 <= moved < AGE_SECONDS_MAX

    def test_an_operator_moves_a_cursor(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        with transaction(database.store, connection):
            database.store.set_stream_stall(connection, FINANCE, "it has gone back")
        with transaction(database.store, connection):
            before = database.store.handlers(connection)[0]
            elsewhere = Move(FINANCE, START, Cursor(2, id_of(2), 9))
            moved = [database.store.set_cursor(connection, elsewhere) for _ in range(2)]
        state = database.store.cursors(connection)[FINANCE]

        assert (state.cursor, state.stall) == (Cursor(2, id_of(2), 9), None)
        assert moved == [True, False], "only from where it was read"
        assert database.store.handlers(connection)[0] > before, "workers read anew"
        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, SCHEDULED)

    def test_a_cursor_that_another_worker_has_moved_is_not_moved(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        with transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, SCHEDULED)

        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, Cursor(9, b"", 2))], fence, SCHEDULED)
        assert database.store.cursors(connection)[FINANCE].cursor == NEXT

    def test_a_cursor_with_another_id_under_its_number_is_not_moved(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        another = START._replace(event_id=id_of("another"))

        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, another, NEXT)], fence, SCHEDULED)

    @pytest.mark.parametrize("expires_at", [SCHEDULED, None], ids=["renewing", "checking only"])
    def test_a_worker_that_lost_the_lease_moves_nothing(
        self, database: Database, connection: Any, expires_at: float | None
    ) -> None:
        fence = self._ready(database, connection)
        take(database.store, connection, LEASE, ANOTHER)

        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, expires_at)
        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.enforce_fence(connection, fence, expires_at)
        with pytest.raises(Fenced):
            database.store.peek_fence(connection, fence)
        assert database.store.cursors(connection)[FINANCE].cursor == START

    @pytest.mark.parametrize("expires_at", [SCHEDULED, None], ids=["renewing", "checking only"])
    def test_a_worker_that_lacks_a_registered_handler_moves_nothing(
        self, database: Database, connection: Any, expires_at: float | None
    ) -> None:
        fence = self._ready(database, connection)
        self._register(database, connection, BILL, MAIL)

        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, expires_at)
        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.enforce_fence(connection, fence, expires_at)
        with pytest.raises(Fenced):
            database.store.peek_fence(connection, fence)

    # where streams and handlers begin

    def test_a_stream_begins_once(self, database: Database, connection: Any) -> None:
        other = Stream("finance", 5)
        with transaction(database.store, connection):
            database.store.start_cursors(connection, {FINANCE: START})
            database.store.start_cursors(connection, {FINANCE: NEXT, other: NEXT})

        cursors = {stream: state.cursor for stream, state in database.store.cursors(connection).items()}
        assert cursors == {FINANCE: START, other: NEXT}

    def test_it_is_recorded_from_which_number_a_handler_is_active(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        with transaction(database.store, connection):
            database.store.move_cursors(connection, [Move(FINANCE, START, NEXT)], fence, SCHEDULED)
        self._register(database, connection, BILL, MAIL)
        with transaction(database.store, connection):
            database.store.start_cursors(connection, {})

        assert database.store.handler_starts(connection) == {("bill", FINANCE): 5, ("mail", FINANCE): 7}

    def test_a_stream_is_stalled_with_its_reason_until_it_recovers(self, database: Database, connection: Any) -> None:
        self._ready(database, connection)
        reasons: list[str | None] = []
        for reason in ("number 5 is missing", None):
            with transaction(database.store, connection):
                database.store.set_stream_stall(connection, FINANCE, reason)
            reasons.append(database.store.cursors(connection)[FINANCE].stall)

        assert reasons == ["number 5 is missing", None]

    # active handlers

    def test_registering_again_changes_nothing(self, database: Database, connection: Any) -> None:
        self._register(database, connection, BILL)
        before = database.store.handlers(connection)
        self._register(database, connection, BILL)

        assert database.store.handlers(connection) == before
        assert before[1] == [BILL]

    def test_a_new_handler_changes_the_version_and_takes_none_away(self, database: Database, connection: Any) -> None:
        self._register(database, connection, BILL)
        version = database.store.handlers(connection)[0]
        self._register(database, connection, MAIL)

        assert database.store.handlers(connection) == (version + 1, [BILL, MAIL])

    def test_a_renamed_handler_keeps_what_is_parked_for_it(self, database: Database, connection: Any) -> None:
        self._ready(database, connection)
        park(database.store, connection, parked(5))
        renamed = HandlerRegistration("charge", "finance.Event", "")
        with transaction(database.store, connection):
            database.store.register_handlers(connection, [renamed], {"bill": "charge"}, NOW)

        assert database.store.handlers(connection)[1] == [renamed]
        assert [row.handler for row in database.store.list_parked(connection, ["parked"], 10)] == ["charge"]
        assert database.store.handler_starts(connection) == {("charge", FINANCE): 5}

    def test_a_renamed_handler_keeps_the_name_that_it_had_first_and_no_other_gets_it(
        self, database: Database, connection: Any
    ) -> None:
        self._ready(database, connection)
        charge, invoice, bill = (
            HandlerRegistration(name, "finance.Event", "") for name in ("charge", "invoice", "bill")
        )
        with transaction(database.store, connection):
            database.store.register_handlers(connection, [charge], {"bill": "charge"}, NOW)
        with transaction(database.store, connection):
            database.store.register_handlers(connection, [invoice, bill], {"charge": "invoice"}, NOW)
        with transaction(database.store, connection):
            database.store.register_handlers(connection, [invoice, bill], {"charge": "invoice"}, NOW)

        assert database.store.first_names(connection) == {"invoice": "bill", "bill": "bill 2"}

    def test_a_handler_that_gets_its_own_lane_later_takes_its_parked_events_along(
        self, database: Database, connection: Any
    ) -> None:
        self._ready(database, connection)
        park(database.store, connection, parked(5))
        version = database.store.handlers(connection)[0]
        self._register(database, connection, BILL._replace(lane="apart"))

        assert database.store.handlers(connection) == (version + 1, [BILL._replace(lane="apart")])
        assert [row.lane for row in database.store.list_parked(connection, ["parked"], 10)] == ["apart"]

    def test_a_retired_handler_is_not_active_and_what_was_parked_for_it_is_dead(
        self, database: Database, connection: Any
    ) -> None:
        self._ready(database, connection)
        park(database.store, connection, parked(5))
        version = database.store.handlers(connection)[0]
        with transaction(database.store, connection):
            assert database.store.retire_handler(connection, "bill", NOW) == 1
            assert database.store.retire_handler(connection, "bill", NOW) == 0
        self._register(database, connection, BILL)

        assert database.store.handlers(connection) == (version + 1, [BILL._replace(retired=True)])
        dead = database.store.list_parked(connection, ["dead"], 10)
        assert [row.failure.error for row in dead if row.failure] == ["HandlerRetired"]

    def test_a_dead_letter_of_a_retired_handler_is_not_redriven_and_is_discarded(
        self, database: Database, connection: Any
    ) -> None:
        store = database.store
        self._ready(database, connection)
        park(store, connection, parked(5, running=True, attempts=1), parked(6, handler="mail", state="dead"))
        with transaction(store, connection):
            store.retire_handler(connection, "bill", NOW)
        retired, active = store.list_parked(connection, ["dead"], 10)
        with transaction(store, connection):
            redriven = [store.redrive(connection, row.id) for row in (retired, active)]
            discarded = store.discard(connection, retired.id, "its handler is gone", "ben", NOW)

        assert (retired.running, redriven, discarded) == (False, [False, True], True)
        assert [row.handler for row in store.list_parked(connection, ["parked", "dead"], 10)] == ["mail"]

    # what was skipped and how much was done

    def test_what_is_skipped_is_counted(self, database: Database, connection: Any) -> None:
        with transaction(database.store, connection):
            database.store.count_skipped(connection, "finance", "finance.Unknown", 2, NOW)
            database.store.count_skipped(connection, "finance", "finance.Unknown", 3, SCHEDULED)

        assert database.store.counts(connection, NOW, NOW).skipped == 5

    def test_a_publisher_that_names_ever_new_types_takes_a_bounded_number_of_rows(
        self, database: Database, connection: Any
    ) -> None:
        with transaction(database.store, connection):
            for number in range(SKIPPED_NAMES_MAX + 50):
                database.store.count_skipped(connection, "finance", f"finance.Unknown{number}", 1, NOW)
            database.store.count_skipped(connection, "finance", "finance.Unknown0", 1, NOW)
            database.store.count_skipped(connection, "sales", "sales.Unknown", 1, NOW)
        table = "preterite_skipped" if database.url.startswith("sqlite") else "preterite.skipped"
        text = f"SELECT publisher, count(*), sum(count), max(count) FROM {table} GROUP BY publisher ORDER BY 1"
        rows = connection.cursor().execute(text).fetchall()

        assert [tuple(map(str, row)) for row in rows] == [
            ("finance", str(SKIPPED_NAMES_MAX + 1), str(SKIPPED_NAMES_MAX + 51), "50"),
            ("sales", "1", "1", "1"),
        ]

    def test_handled_events_are_counted_by_the_minute(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        for minute, handled, expires_at in ((99, 3, None), (99, 1, SCHEDULED), (100, 2, None)):
            with transaction(database.store, connection):
                database.store.enforce_fence(connection, fence, expires_at, Activity(minute, handled))
        with pytest.raises(Fenced), transaction(database.store, connection):
            database.store.enforce_fence(connection, fence._replace(handlers_version=99), None, Activity(100, 9))

        assert database.store.counts(connection, NOW, 100 * 60).handled == 6
        assert [
            database.store.counts(connection, NOW, 100 * 60 + second).handled_last_minute
            for second in (0.0, 15.0, 30.0, 59.0, 60.0, 119.0, 120.0)
        ] == [6, 5, 4, 2, 2, 0, 0], "of the minute before, the part that is less than 60 seconds ago"

    def test_how_much_was_done_an_hour_ago_is_forgotten(self, database: Database, connection: Any) -> None:
        fence = self._ready(database, connection)
        for minute, handled in ((39, 5), (40, 3), (100, 2)):
            with transaction(database.store, connection):
                database.store.enforce_fence(connection, fence, None, Activity(minute, handled))

        assert database.store.counts(connection, NOW, 100 * 60 + 30.0).handled == 5

    def _register(self, database: Database, connection: Any, *handlers: HandlerRegistration) -> None:
        with transaction(database.store, connection):
            database.store.register_handlers(connection, handlers, {}, NOW)

    def _ready(self, database: Database, connection: Any) -> Fence:
        """One active handler, one stream at its start, its partition leased."""
        self._register(database, connection, BILL)
        with transaction(database.store, connection):
            database.store.start_cursors(connection, {FINANCE: START})
        lease = take(database.store, connection, LEASE)
        return Fence({FINANCE.partition: lease}, database.store.handlers(connection)[0])
