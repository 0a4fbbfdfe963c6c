"""The store: everything that the core reads and writes in a component's database.

The methods are in the classes below, by subject; this class binds a database to its component and updates its tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from uuid import UUID

from preterite.errors import SchemaTooNew, WrongDatabase
from preterite.store.dialect import run_in_transaction
from preterite.store.rows import Ages, Counts, DbConnection, Script, StoreIdentity
from preterite.store.sql.cursors import CursorStore
from preterite.store.sql.dead_letters import DeadLetterStore
from preterite.store.sql.handlers import HandlerStore
from preterite.store.sql.outbox import OutboxStore
from preterite.store.sql.parking import ParkedStore
from preterite.store.sql.replays import ReplayStore


class Store(OutboxStore, CursorStore, HandlerStore, ParkedStore, DeadLetterStore, ReplayStore):
    """The statements on one component's database, without state. The caller owns connection and transaction.

    Unless its docstring says otherwise a method writes and must run inside a transaction; it changes nothing
    beyond what its first line states. An error of the database passes through: `is_unavailable` names
    those that are not a fault of the caller and go away.

    Each kind of database is a subclass that supplies the members of `preterite.store.dialect.Dialect`.
    """

    def commit_batch(self, connection: DbConnection) -> bool:
        """Commit if the open transaction is still the one of `begin_batch`; otherwise commit nothing, return false."""
        if not self.is_in_batch(connection):
            return False
        connection.commit()
        return True

    # tables

    def scripts(self) -> Sequence[Script]:
        """The scripts that make the tables, in order."""
        folder = resources.files("preterite.store").joinpath(self.name, "migrations")
        found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda one: one.name)
        return [Script(int(one.name.partition("_")[0]), one.name, one.read_text(encoding="utf-8")) for one in found]

    def migrate(self, connection: DbConnection) -> None:
        """Bring the tables to the newest version, in one transaction of its own.

        Raises `SchemaTooNew` if they are of a version that this program does not know.
        """
        run_in_transaction(self, connection, lambda: self._run_scripts(connection))

    def _run_scripts(self, connection: DbConnection) -> None:
        self.lock_migrations(connection)
        applied = self._known_version(connection)
        for number, _, script in self.scripts():
            if number > applied:
                self.run_script(connection, script)
                connection.cursor().execute(self.sql.ADD_MIGRATION, (number,))

    def schema_version(self, connection: DbConnection) -> int:
        """The number of the newest script that was run; 0 if none was. Reads only."""
        cursor = connection.cursor()
        if cursor.execute(self.sql.HAS_TABLES).fetchone() is None:
            return 0
        return cursor.execute(self.sql.SCHEMA_VERSION).fetchone()[0] or 0

    def migration_statement(self, number: int) -> str:
        """The statement that records a script as run, for an operator who runs it manually."""
        return self.sql.ADD_MIGRATION.replace(self.sql.marks(1), str(number))

    def is_migrated(self, connection: DbConnection) -> bool:
        """Whether the tables are of the newest version; raises `SchemaTooNew` if of a later one. Reads only."""
        return self._known_version(connection) == self.scripts()[-1].number

    def _known_version(self, connection: DbConnection) -> int:
        found, known = self.schema_version(connection), self.scripts()[-1].number
        if found > known:
            raise SchemaTooNew(self.place(connection), found, known)
        return found

    # whose database this is

    def bind_identity(self, connection: DbConnection, identity: StoreIdentity) -> None:
        """Write the identity into an empty database; raise `WrongDatabase` if it has another one.

        Of several processes that do it at once one is first; the others wait for its commit, and find what it wrote.
        """
        found = self.identity(connection)
        if found is None and self._add_identity(connection, identity):
            return
        found = found or self.identity(connection)
        assert found is not None, "what could not be added is there"
        wanted = (identity.component, identity.system, identity.system_id, identity.partitions)
        if (found.component, found.system, found.system_id, found.partitions) != wanted:
            raise WrongDatabase(
                f"This database belongs to component {found.component!r} of system {found.system!r} "
                f"({found.system_id}, {found.partitions} partitions); expected {identity.component!r} "
                f"of {identity.system!r} ({identity.system_id}, {identity.partitions} partitions). "
                "Nothing was written. Check the component's URL, and the log's."
            )

    def _add_identity(self, connection: DbConnection, identity: StoreIdentity) -> bool:
        ids = (identity.component, identity.component_id.bytes, identity.system, identity.system_id.bytes)
        cursor = connection.cursor()
        cursor.execute(self.sql.ADD_IDENTITY, (*ids, identity.partitions))
        if cursor.rowcount == 0:
            return False
        cursor.executemany(self.sql.ADD_STREAM, [(partition,) for partition in range(identity.partitions)])
        return True

    def identity(self, connection: DbConnection) -> StoreIdentity | None:
        """Whose database this is; `None` if Preterite has never used it. Reads only."""
        try:
            row = self.plain_cursor(connection).execute(self.sql.IDENTITY).fetchone()
        except Exception as error:
            if self.lacks_tables(error):
                return None
            raise
        return None if row is None else StoreIdentity(row[0], UUID(bytes=row[1]), row[2], UUID(bytes=row[3]), row[4])

    def has_hidden_dependencies(self, connection: DbConnection) -> bool:
        """Whether what one table shows may depend on what is written to another: by a view, a trigger. Reads only."""
        return connection.cursor().execute(self.sql.ANY_VIEW_OR_TRIGGER).fetchone() is not None

    def counts(self, connection: DbConnection, now: float, wall: float) -> Counts:
        """How much work this component has. `now` is business time, `wall` machine time. Reads only.

        What was handled is kept by the minute: of the minute before this one, the part counts that is less than
        60 seconds ago.
        """
        minute, seconds = divmod(wall, 60)
        cursor = connection.cursor()
        found = cursor.execute(self.sql.COUNTS, (now, now, int(minute), int(minute) - 1)).fetchone()
        this_minute, last_minute = found[8:10]
        recent: int = this_minute + round(last_minute * (1 - seconds / 60))
        return Counts._make([*found[:8], recent, *found[10:]])

    def ages(self, connection: DbConnection, now: float) -> Ages:
        """How long what waits has waited, and how long ago there was progress. `now` is business time. Reads only."""
        found = connection.cursor().execute(self.sql.AGES, (now, now, now)).fetchone()
        return Ages._make(None if one is None else max(float(one), 0.0) for one in found)
