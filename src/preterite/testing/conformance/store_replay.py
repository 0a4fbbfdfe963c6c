"""Conformance of stores: a replay moves only from where it was read, and joins only where live reading is."""

from __future__ import annotations

from typing import Any

from preterite.log.contract import Cursor
from preterite.store.contract import Database, Store
from preterite.store.rows import HandlerRegistration, Replay
from preterite.testing.conformance.store_steps import FINANCE, id_of, park, parked, transaction

REPLAY = Replay(0, ("bill", "mail"), True, False, 500.0, 12.5, "running", "", 0, 7.0)
BEGINNING = Cursor(0, b"", 0)
LIVE = 9


def begin(store: Store, connection: Any, replay: Replay = REPLAY) -> int:
    """Start a replay from the start of a stream of which number 9 was read live."""
    with transaction(store, connection):
        store.start_cursors(connection, {FINANCE: Cursor(LIVE, id_of(LIVE), 1)})
        return store.start_replay(connection, replay, {FINANCE: BEGINNING})


class ReplayConformance:
    """Replays and their cursors."""

    def test_a_replay_is_kept_with_where_live_reading_stood(self, database: Database, connection: Any) -> None:
        store = database.store
        before = store.handlers(connection)[0]
        number = begin(store, connection)
        one = store.replay_cursors(connection)[0]

        assert store.replays(connection, active=True) == [REPLAY._replace(id=number)]
        assert REPLAY._replace(id=number).mode == (number, True, True)
        assert (one.replay_id, one.stream, one.cursor, one.live_number) == (number, FINANCE, BEGINNING, LIVE)
        assert store.handlers(connection)[0] > before, "workers notice"
        assert store.counts(connection, 0.0, 0.0).replaying == 1

    def test_a_replay_moves_only_from_where_it_was_read(self, database: Database, connection: Any) -> None:
        store = database.store
        begin(store, connection)
        was = store.replay_cursors(connection)[0]
        with transaction(store, connection):
            moved = [store.move_replay(connection, was, Cursor(4, id_of(4), 1), 3) for _ in range(2)]

        assert moved == [True, False]
        assert store.replay_cursors(connection)[0].cursor == Cursor(4, id_of(4), 1)
        assert store.replays(connection, active=True)[0].replayed == 3

    def test_it_joins_only_where_live_reading_stands(self, database: Database, connection: Any) -> None:
        store = database.store
        number = begin(store, connection)
        with transaction(store, connection):
            early = store.join_replay(connection, store.replay_cursors(connection)[0])
            at = store.replay_cursors(connection)[0]
            store.move_replay(connection, at, Cursor(LIVE, id_of(LIVE), 1), 9)
            stale = store.join_replay(connection, at)
            joined = store.join_replay(connection, store.replay_cursors(connection)[0])

        assert (early, stale, joined) == (False, False, True)
        assert store.replay_cursors(connection) == []
        assert [(one.id, one.state) for one in store.replays(connection, active=False)] == [(number, "done")]
        assert store.replays(connection, active=True) == []

    def test_it_is_paused_with_a_reason_and_runs_on(self, database: Database, connection: Any) -> None:
        store = database.store
        number = begin(store, connection)
        with transaction(store, connection):
            done = [store.set_replay_state(connection, one, "paused", "gap") for one in (number, number + 1)]
        paused = store.replays(connection, active=True)[0]
        replaying = store.counts(connection, 0.0, 0.0).replaying
        with transaction(store, connection):
            store.set_replay_state(connection, number, "running", "")

        assert done == [True, False]
        assert (paused.state, paused.reason, replaying) == ("paused", "gap", 0)
        assert store.replays(connection, active=True)[0].state == "running"

    def test_why_it_is_stalled_is_shown_while_it_runs_and_no_longer(self, database: Database, connection: Any) -> None:
        store = database.store
        number = begin(store, connection, REPLAY._replace(handlers=("bill",)))
        with transaction(store, connection):
            store.note_replay(connection, number, "number 3 is missing")
        running = store.replays(connection, active=True)[0]
        with transaction(store, connection):
            at = store.replay_cursors(connection)[0]
            store.move_replay(connection, at, Cursor(LIVE, id_of(LIVE), 1), 9)
            store.join_replay(connection, store.replay_cursors(connection)[0])
        done = store.replays(connection, active=False)[0]

        assert (running.state, running.reason) == ("running", "number 3 is missing")
        assert (done.state, done.reason) == ("done", "")

    def test_a_cancelled_one_stays_cancelled_whatever_is_missing(self, database: Database, connection: Any) -> None:
        store = database.store
        number = begin(store, connection)
        with transaction(store, connection):
            store.cancel_replay(connection, number)
            store.note_replay(connection, number, "number 3 is missing")
            store.join_replay(connection, store.replay_cursors(connection)[0])

        assert store.replays(connection, active=False)[0].state == "cancelled"

    def test_a_cancelled_one_stays_cancelled_though_it_is_paused_and_resumed(
        self, database: Database, connection: Any
    ) -> None:
        store = database.store
        number = begin(store, connection)
        with transaction(store, connection):
            store.cancel_replay(connection, number)
            store.set_replay_state(connection, number, "paused", "100,000 events are parked")
        paused = store.replays(connection, active=True)[0]
        with transaction(store, connection):
            store.set_replay_state(connection, number, "running", "")
            store.join_replay(connection, store.replay_cursors(connection)[0])

        assert (paused.state, paused.cancelled) == ("paused", True)
        assert store.replays(connection, active=False)[0].state == "cancelled"

    def test_a_cancelled_one_skips_to_where_live_reading_stood(self, database: Database, connection: Any) -> None:
        store = database.store
        number = begin(store, connection)
        with transaction(store, connection):
            done = [store.cancel_replay(connection, one) for one in (number, number + 1)]
        one = store.replay_cursors(connection)[0]
        with transaction(store, connection):
            store.join_replay(connection, one)

        assert done == [True, False]
        assert one.cursor.number == LIVE
        assert store.replays(connection, active=False)[0].state == "cancelled"

    def test_the_replay_of_a_renamed_handler_goes_on(self, database: Database, connection: Any) -> None:
        store = database.store
        with transaction(store, connection):
            names = ("bill", "mail", "mail_all")
            store.register_handlers(connection, [HandlerRegistration(n, "finance.Event", "") for n in names], {}, 0.0)
        begin(store, connection, REPLAY._replace(handlers=("bill", "mail", "mail_all")))
        with transaction(store, connection):
            renamed = HandlerRegistration("post", "finance.Event", "")
            store.register_handlers(connection, [renamed], {"mail": "post"}, 0.0)

        assert store.replays(connection, active=True)[0].handlers == ("bill", "post", "mail_all")

    def test_what_is_parked_already_is_not_parked_again(self, database: Database, connection: Any) -> None:
        store = database.store
        park(store, connection, parked(5, attempts=3))
        park(store, connection, parked(5, replay=REPLAY.mode), parked(6, replay=REPLAY._replace(id=4).mode))
        rows = store.list_parked(connection, ["parked"], 10)

        assert [(row.record.number, row.attempts, row.replay) for row in rows] == [
            (5, 3, None),
            (6, 0, (4, True, True)),
        ]
