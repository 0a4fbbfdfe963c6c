"""The conformance suite of stores: what `preterite.store.contract.Store` promises, test by test."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from preterite.clock import SystemClock
from preterite.errors import HandlerEndedTransaction, WrongDatabase
from preterite.store.contract import Database
from preterite.store.rows import RunningHandler, StoreIdentity
from preterite.testing.conformance.store_cursors import CursorConformance
from preterite.testing.conformance.store_dead_letters import DeadLettersConformance
from preterite.testing.conformance.store_outbox import OutboxConformance
from preterite.testing.conformance.store_parking import ParkingConformance
from preterite.testing.conformance.store_replay import ReplayConformance
from preterite.testing.conformance.store_steps import IDENTITY, ME, transaction
from preterite.testing.conformance.store_time import TimeConformance

PATIENCE_SECONDS = 5.0


class StoreConformance(
    OutboxConformance, CursorConformance, ParkingConformance, DeadLettersConformance, TimeConformance, ReplayConformance
):
    """Every store passes this. The fixture `database` gives an empty database that is not migrated yet."""

    @pytest.fixture
    def connection(self, database: Database) -> Any:
        """A connection to the migrated and identified database."""
        opened = database.connect()
        database.store.migrate(opened)
        with transaction(database.store, opened):
            database.store.bind_identity(opened, IDENTITY)
        return opened

    def test_a_database_that_was_never_used_has_no_identity(self, database: Database) -> None:
        assert database.store.identity(database.connect()) is None

    def test_a_mark_ends_with_the_transaction_that_was_marked(self, database: Database, connection: Any) -> None:
        store = database.store
        with transaction(store, connection):
            store.mark(connection)
            connection.execute("SAVEPOINT one")
            kept = (store.can_commit(connection), store.take_mark(connection))
        with transaction(store, connection):
            store.mark(connection)
        with transaction(store, connection):
            lost = store.take_mark(connection)

        assert (kept, lost, store.can_commit(connection)) == ((True, True), False, False)

    def test_a_transaction_that_only_reads_blocks_no_other_and_refuses_to_write(
        self, database: Database, connection: Any
    ) -> None:
        reader = database.connect()
        database.store.begin_reading(reader)
        reader.cursor().execute("SELECT 1").fetchall()
        with transaction(database.store, connection):
            connection.execute("CREATE TABLE written_meanwhile (id int)")
        with pytest.raises(Exception, match="read"):
            reader.cursor().execute("CREATE TABLE refused (id int)")
        reader.rollback()
        reader.close()
        engine = database.reading_engine(None)
        with engine.connect() as reading, pytest.raises(Exception, match="read"):
            reading.exec_driver_sql("CREATE TABLE refused (id int)")
        engine.dispose()

    def test_migrating_again_changes_nothing(self, database: Database, connection: Any) -> None:
        database.store.migrate(connection)

        assert database.store.identity(connection) == IDENTITY

    def test_the_identity_of_the_component_is_made_once(self, database: Database, connection: Any) -> None:
        another = IDENTITY.component_id.__class__(int=99)
        with transaction(database.store, connection):
            database.store.bind_identity(connection, StoreIdentity("sales", another, "shop", IDENTITY.system_id, 8))

        assert database.store.identity(connection) == IDENTITY

    @pytest.mark.parametrize(
        "changed",
        [{"component": "finance"}, {"system": "bank"}, {"system_id": IDENTITY.component_id}, {"partitions": 4}],
    )
    def test_the_database_of_another_component_or_system_is_refused(
        self, database: Database, connection: Any, changed: dict[str, Any]
    ) -> None:
        wanted = StoreIdentity(**{**IDENTITY.__dict__, **changed})

        with pytest.raises(WrongDatabase, match="belongs to component 'sales' of system 'shop'"):
            database.store.bind_identity(connection, wanted)

    def test_it_reports_which_promise_holds(self, database: Database) -> None:
        assert "commits survive" in database.promise()

    def test_a_commit_of_another_connection_changes_the_version(self, database: Database, connection: Any) -> None:
        end = SystemClock().monotonic() + PATIENCE_SECONDS
        before = database.version()
        # A hint of what the fixture has committed may still be on its way.
        while (unchanged := database.version()) != before and SystemClock().monotonic() < end:
            before = unchanged
        with transaction(database.store, connection):
            database.store.set_relay_halt(connection, "noted")
        database.notify()

        end = SystemClock().monotonic() + PATIENCE_SECONDS
        while (after := database.version()) == before and SystemClock().monotonic() < end:
            pass
        assert unchanged == before
        assert after != before

    def test_its_own_tables_are_made_where_they_are_missing(self, database: Database, connection: Any) -> None:
        database.create_tables("create table one (a text); -- the first; one\ncreate table two (b text)")
        database.create_tables("create table one (a text); create table three (c text default ';')")

        for table in ("one", "two", "three"):
            assert connection.cursor().execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0

    def test_the_names_of_its_tables_are_told(self, database: Database, connection: Any) -> None:
        before = database.store.table_names(connection)
        database.create_tables("create table one (a text); create view two as select a from one")

        assert database.store.table_names(connection) - before == {"one", "two"}

    # handlers do not end the transaction (protocol rule 9)

    @pytest.mark.parametrize("how", ["commit", "rollback"])
    def test_a_guarded_connection_refuses_to_end_the_transaction(
        self, database: Database, connection: Any, how: str
    ) -> None:
        database.store.begin(connection)
        with connection.guarding(), pytest.raises(HandlerEndedTransaction):
            getattr(connection, how)()

        assert database.store.in_transaction(connection)
        connection.rollback()

    @pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "END", "BEGIN"])
    def test_a_guarded_connection_refuses_the_words_in_sql_too(
        self, database: Database, connection: Any, statement: str
    ) -> None:
        database.store.begin(connection)
        with connection.guarding(), pytest.raises(Exception, match="not authorized"):
            connection.cursor().execute(statement)

        assert database.store.in_transaction(connection)
        connection.rollback()

    def test_a_guarded_connection_has_savepoints(self, database: Database, connection: Any) -> None:
        database.create_tables("create table noted (what text)")
        with transaction(database.store, connection), connection.guarding():
            cursor = connection.cursor()
            for statement in (
                "INSERT INTO noted VALUES ('kept')",
                "SAVEPOINT part",
                "INSERT INTO noted VALUES ('undone')",
                "ROLLBACK TO part",
                "RELEASE part",
            ):
                cursor.execute(statement)

        assert connection.cursor().execute("SELECT what FROM noted").fetchall() == [("kept",)]

    def test_which_handler_a_worker_runs_is_noted_while_its_transaction_is_open(
        self, database: Database, connection: Any
    ) -> None:
        store, wall = database.store, SystemClock().wall()
        with closing(database.connect()) as reading, transaction(store, connection):
            nothing = list(database.running(reading, wall))
            database.note_running(RunningHandler(ME, "bill", 20.0), wall, 60.0)
            first = list(database.running(reading, wall + 1.0))
            database.note_running(RunningHandler(ME, "mail", 0.0), wall, 60.0)
            second = list(database.running(reading, wall))

        assert (nothing, [(one.owner, one.handler) for one in second]) == ([], [(ME, "mail")])
        assert [(one.owner, one.handler) for one in first] == [(ME, "bill")]
        assert 20.0 <= first[0].seconds < 60.0

    def test_what_was_noted_counts_no_more_once_it_is_old_or_the_worker_runs_none(
        self, database: Database, connection: Any
    ) -> None:
        store, wall = database.store, SystemClock().wall()
        database.note_running(RunningHandler(ME, "bill", 20.0), wall, -1.0)
        old = list(database.running(connection, wall))
        database.note_running(RunningHandler(ME, "bill", 20.0), wall, 60.0)
        with transaction(store, connection):
            store.heartbeat(connection, ME, wall + 60.0, wall)
        database.forget_running(ME)

        assert (old, list(database.running(connection, wall))) == ([], [])
        assert dict(store.workers(connection)) == {ME: wall + 60.0}
