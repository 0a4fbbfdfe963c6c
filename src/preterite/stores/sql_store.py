"""What all SQL stores share: the same tables, reached by statements in each dialect's own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from uuid import UUID

from preterite.errors import Fenced, WrongDatabase
from preterite.log import Cursor, Stream
from preterite.rows import (
    LATER,
    Activity,
    Counts,
    CursorState,
    DbConnection,
    Fence,
    HandlerRegistration,
    Lease,
    LeaseState,
    Move,
    Script,
    StoreIdentity,
    tick_name,
)
from preterite.stores.sql_letters import SqlLetters
from preterite.stores.sql_outbox import SqlOutbox
from preterite.stores.sql_parking import SqlParking
from preterite.stores.sql_replay import SqlReplay
from preterite.stores.sql_time import SqlTime

ACTIVITY_MINUTES_KEPT = 60


class SqlStore(SqlOutbox, SqlParking, SqlLetters, SqlTime, SqlReplay):
    """The statements of `preterite.store.Store` that need nothing but SQL."""

    dialect: str

    # whose database this is

    def scripts(self) -> Sequence[Script]:
        folder = resources.files("preterite.stores").joinpath("schema", self.dialect)
        found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda one: one.name)
        return [Script(int(one.name.partition("_")[0]), one.name, one.read_text(encoding="utf-8")) for one in found]

    def newest(self, connection: DbConnection) -> int:
        cursor = connection.cursor()
        if cursor.execute(self.sql.HAS_TABLES).fetchone() is None:
            return 0
        return cursor.execute(self.sql.NEWEST_MIGRATION).fetchone()[0] or 0

    def note_of(self, number: int) -> str:
        return self.sql.NOTE_MIGRATION.replace(self.sql.marks(1), str(number))

    def is_migrated(self, connection: DbConnection) -> bool:
        return self.newest(connection) >= self.scripts()[-1].number

    def identify(self, connection: DbConnection, identity: StoreIdentity) -> None:
        found = self.identity(connection)
        if found is None:
            cursor = connection.cursor()
            cursor.execute(
                self.sql.IDENTIFY,
                (
                    identity.component,
                    identity.component_id.bytes,
                    identity.system,
                    identity.system_id.bytes,
                    identity.partitions,
                ),
            )
            cursor.executemany(self.sql.ADD_STREAM, [(partition,) for partition in range(identity.partitions)])
            return
        wanted = (identity.component, identity.system, identity.system_id, identity.partitions)
        if (found.component, found.system, found.system_id, found.partitions) != wanted:
            raise WrongDatabase(
                f"This database belongs to component {found.component!r} of system {found.system!r} "
                f"({found.system_id}, {found.partitions} partitions); expected {identity.component!r} "
                f"of {identity.system!r} ({identity.system_id}, {identity.partitions} partitions). "
                "Nothing was written. Check the component's URL, and the log's."
            )

    def identity(self, connection: DbConnection) -> StoreIdentity | None:
        try:
            row = connection.cursor().execute(self.sql.IDENTITY).fetchone()
        except Exception as error:
            if self.lacks_tables(error):
                return None
            raise
        return None if row is None else StoreIdentity(row[0], UUID(bytes=row[1]), row[2], UUID(bytes=row[3]), row[4])

    def lacks_tables(self, error: BaseException) -> bool:
        """Whether this says that Preterite has never used the database."""
        raise NotImplementedError

    def is_in_batch(self, connection: DbConnection) -> bool:
        """Whether the open transaction is the one that the batch began."""
        raise NotImplementedError

    def commit_batch(self, connection: DbConnection) -> bool:
        if not self.is_in_batch(connection):
            return False
        connection.commit()
        return True

    # leases

    def leases(self, connection: DbConnection) -> Sequence[LeaseState]:
        return [LeaseState(*row) for row in connection.cursor().execute(self.sql.LEASES).fetchall()]

    def take_lease(self, connection: DbConnection, state: LeaseState, owner: str, expires_at: float) -> Lease | None:
        cursor = connection.cursor()
        cursor.execute(self.sql.MAKE_LEASE, (state.name,))
        cursor.execute(self.sql.TAKE_LEASE, (owner, expires_at, state.name, state.epoch, state.owner))
        if cursor.rowcount != 1:
            return None
        return Lease(state.name, owner, state.epoch + 1, clean=state.owner in (None, owner))

    def renew(self, connection: DbConnection, leases: Iterable[Lease], expires_at: float) -> int:
        cursor = connection.cursor()
        cursor.executemany(self.sql.RENEW, [(expires_at, lease.name, lease.owner, lease.epoch) for lease in leases])
        return max(cursor.rowcount, 0)

    def release(self, connection: DbConnection, leases: Iterable[Lease]) -> None:
        connection.cursor().executemany(self.sql.RELEASE, [(lease.name, lease.owner, lease.epoch) for lease in leases])

    def attend(self, connection: DbConnection, owner: str, until: float, now: float) -> Sequence[str]:
        cursor = connection.cursor()
        cursor.execute(self.sql.FORGET_WORKERS, (now,))
        cursor.execute(self.sql.ATTEND, (owner, until))
        return list(self.workers(connection))

    def workers(self, connection: DbConnection) -> Mapping[str, float]:
        return dict(connection.cursor().execute(self.sql.WORKERS).fetchall())

    def leave(self, connection: DbConnection, owner: str) -> None:
        connection.cursor().execute(self.sql.LEAVE, (owner,))

    # handlers and cursors

    def register_handlers(
        self, connection: DbConnection, handlers: Sequence[HandlerRegistration], renamed: Mapping[str, str], now: float
    ) -> None:
        cursor = connection.cursor()
        changed = 0
        for former, present in renamed.items():
            cursor.execute(self.sql.RENAME_HANDLER, (present, former, present))
            changed += cursor.rowcount
            if cursor.rowcount:
                cursor.execute(self.sql.RENAME_STARTS, (present, former))
                cursor.execute(self.sql.RENAME_PARKED, (present, former))
                cursor.execute(self.sql.RENAME_REPLAYED, (former, present))
        for handler in handlers:
            cursor.execute(self.sql.REGISTER_HANDLER, (handler.name, handler.event_type, handler.lane_group, now))
            changed += cursor.rowcount
            cursor.execute(self.sql.REGROUP_HANDLER, (handler.lane_group, handler.name, handler.lane_group))
            if cursor.rowcount:
                changed += cursor.rowcount
                cursor.execute(self.sql.REGROUP_PARKED, (handler.lane_group, handler.name))
        if changed:
            cursor.execute(self.sql.HANDLERS_CHANGED)

    def retire_handler(self, connection: DbConnection, name: str, now: float) -> int:
        cursor = connection.cursor()
        cursor.execute(self.sql.RETIRE_HANDLER, (now, name))
        if cursor.rowcount == 0:
            return 0
        cursor.execute(self.sql.HANDLERS_CHANGED)
        cursor.execute(self.sql.ORPHAN_PARKED, (name,))
        orphans = cursor.rowcount
        cursor.execute(self.sql.FORGET_CALENDAR, (name,))
        if cursor.rowcount == 1:
            self.drop_ticks(connection, tick_name(name))
            return orphans
        cursor.execute(self.sql.ORPHAN_LATER, (LATER, now, name))
        orphans += cursor.rowcount
        cursor.execute(self.sql.END_LATER, (name,))
        return orphans

    def handlers(self, connection: DbConnection) -> tuple[int, Sequence[HandlerRegistration]]:
        cursor = connection.cursor()
        version = cursor.execute(self.sql.HANDLERS_VERSION).fetchone()[0]
        rows = cursor.execute(self.sql.HANDLERS).fetchall()
        return version, [HandlerRegistration(name, event, group, bool(retired)) for name, event, group, retired in rows]

    def start_cursors(self, connection: DbConnection, starts: Mapping[Stream, Cursor]) -> None:
        cursor = connection.cursor()
        cursor.executemany(self.sql.START_CURSOR, [(*stream, *start) for stream, start in starts.items()])
        cursor.execute(self.sql.START_HANDLERS)

    def handler_starts(self, connection: DbConnection) -> Mapping[tuple[str, Stream], int]:
        rows = connection.cursor().execute(self.sql.HANDLER_STARTS).fetchall()
        return {(handler, Stream(publisher, partition)): number for handler, publisher, partition, number in rows}

    def cursors(self, connection: DbConnection) -> Mapping[Stream, CursorState]:
        rows = connection.cursor().execute(self.sql.CURSORS).fetchall()
        return {Stream(row[0], row[1]): CursorState(Cursor(*row[2:5]), row[5]) for row in rows}

    def set_cursor(self, connection: DbConnection, stream: Stream, cursor: Cursor) -> None:
        connection.cursor().execute(self.sql.SET_CURSOR, (*cursor, *stream))

    def move_cursors(
        self,
        connection: DbConnection,
        moves: Sequence[Move],
        fence: Fence,
        expires_at: float | None,
        activity: Activity | None = None,
    ) -> None:
        cursor = connection.cursor()
        cursor.executemany(
            self.sql.MOVE_CURSOR,
            [(*move.new, *move.stream, move.read.number, move.read.event_id) for move in moves],
        )
        self._require_moved(cursor.rowcount if moves else 0, moves)
        self.check_fence(connection, fence, expires_at, activity)

    def verify_fence(self, connection: DbConnection, fence: Fence) -> bool:
        rows = connection.cursor().execute(self.sql.FENCE).fetchall()
        held = {(name, owner, epoch) for name, owner, epoch, _, _ in rows}
        _, _, _, version, any_parked = rows[0]
        self._require_fence(
            fence, sum(1 for one in fence.leases.values() if (one.name, one.owner, one.epoch) in held), version
        )
        return bool(any_parked)

    def check_fence(
        self, connection: DbConnection, fence: Fence, expires_at: float | None, activity: Activity | None = None
    ) -> None:
        if activity is not None:
            counted = connection.cursor().execute(self.sql.COUNT_HANDLED, activity).fetchone()[0]
            self._forget_activity(connection, activity, counted)
        if expires_at is None:
            self.verify_fence(connection, fence)
            return
        renewed = self.renew(connection, fence.leases.values(), expires_at)
        version = connection.cursor().execute(self.sql.HANDLERS_VERSION_LOCKED).fetchone()[0]
        self._require_fence(fence, renewed, version)

    def _require_moved(self, moved: int, moves: Sequence[Move]) -> None:
        if moved != len(moves):
            raise Fenced(
                f"{len(moves) - moved} of {len(moves)} cursors were moved by somebody else; nothing was written."
            )

    def _require_fence(self, fence: Fence, leases: int, handlers_version: int) -> None:
        """So many of the fence's leases are held, and this is the version of the handlers in force."""
        if leases != len(fence.leases):
            raise Fenced("A lease of this worker was taken over; nothing was written.")
        if handlers_version != fence.handlers_version:
            raise Fenced("Other handlers are registered by now; nothing was written.")

    def stop_stream(self, connection: DbConnection, stream: Stream, reason: str | None) -> None:
        connection.cursor().execute(self.sql.STOP_STREAM, (reason, *stream))

    def _forget_activity(self, connection: DbConnection, activity: Activity, counted: int) -> None:
        """Forget what is too old, where these were the first of their minute."""
        if counted == activity.handled:
            connection.cursor().execute(self.sql.FORGET_ACTIVITY, (activity.minute - ACTIVITY_MINUTES_KEPT,))

    def count_passed_over(self, connection: DbConnection, publisher: str, what: str, count: int, now: float) -> None:
        connection.cursor().execute(self.sql.COUNT_PASSED_OVER, (publisher, what, count, now, now))

    def counts(self, connection: DbConnection, now: float, wall: float) -> Counts:
        cursor = connection.cursor()
        return Counts(*cursor.execute(self.sql.COUNTS, (now, now, int(wall // 60) - 1)).fetchone())
