"""How far each stream was applied, and the checks under which a batch commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preterite.errors import Fenced
from preterite.log.contract import Cursor, Stream
from preterite.store.rows import Activity, CursorState, DbConnection, Fence, Move
from preterite.store.sql.leases import LeaseStore

ACTIVITY_MINUTES_KEPT = 60
"""Minutes for which the counts of handled events are kept."""
SKIPPED_NAMES_MAX = 200
"""Names of skipped types of one publisher that are counted one by one."""
SKIPPED_OTHERS = "(other types)"
"""Under which the rest is counted."""


class CursorStore(LeaseStore):
    """Cursors and fences. Methods write and run in a transaction, unless stated otherwise."""

    def start_cursors(self, connection: DbConnection, starts: Mapping[Stream, Cursor]) -> None:
        """Store where streams without a cursor begin, all in this transaction (protocol rule 18)."""
        cursor = connection.cursor()
        cursor.executemany(self.sql.START_CURSOR, [(*stream, *start) for stream, start in starts.items()])
        cursor.execute(self.sql.START_HANDLERS)

    def cursors(self, connection: DbConnection) -> Mapping[Stream, CursorState]:
        """All cursors. Reads only."""
        rows = connection.cursor().execute(self.sql.CURSORS).fetchall()
        return {Stream(row[0], row[1]): CursorState(Cursor(*row[2:5]), row[5]) for row in rows}

    def set_cursor(self, connection: DbConnection, move: Move) -> bool:
        """Continue elsewhere in a stream, by an operator's decision; false if the cursor is not where it was read.

        The stream is no longer stalled, and workers that have read it begin anew.
        """
        cursor = connection.cursor()
        cursor.execute(self.sql.SET_CURSOR, (*move.new, *move.stream, move.read.number, move.read.event_id))
        moved = cursor.rowcount == 1
        cursor.execute(self.sql.HANDLERS_CHANGED)
        return moved

    def set_stream_stall(self, connection: DbConnection, stream: Stream, reason: str | None) -> None:
        """Mark a stream as stalled, with the reason; `None` once it has recovered."""
        connection.cursor().execute(self.sql.SET_STREAM_STALL, (reason, *stream))

    def count_skipped(self, connection: DbConnection, publisher: str, what: str, count: int, now: float) -> None:
        """Add to the number of records skipped for a reason: a type that no component declares.

        After `SKIPPED_NAMES_MAX` names of one publisher all further ones are counted together: it chooses the names.
        """
        name = (publisher, what, publisher, SKIPPED_NAMES_MAX, what, SKIPPED_OTHERS)
        connection.cursor().execute(self.sql.COUNT_SKIPPED, (publisher, *name, count, now, now))

    def move_cursors(
        self,
        connection: DbConnection,
        moves: Sequence[Move],
        fence: Fence,
        expires_at: float | None,
        activity: Activity | None = None,
    ) -> None:
        """The last statements of a batch: move the cursors, check everything, renew the leases if given until when.

        What was handled is added to what was handled before in the same minute.

        Raises `Fenced` unless every cursor still is where it was read, every lease is held, and the set of
        handlers is the one the worker knows. The caller then rolls back.
        """
        cursor = connection.cursor()
        cursor.executemany(
            self.sql.MOVE_CURSOR,
            [(*move.new, *move.stream, move.read.number, move.read.event_id) for move in moves],
        )
        self._require_moved(cursor.rowcount if moves else 0, moves)
        self.enforce_fence(connection, fence, expires_at, activity)

    def peek_fence(self, connection: DbConnection, fence: Fence) -> bool:
        """Raise `Fenced` if a lease is lost or other handlers are registered, before any work is done; return whether
        anything is parked. Reads only.

        A batch begins with it, so that an overtaken worker does not even start; it does not replace the check at the
        end.
        """
        rows = connection.cursor().execute(self.sql.FENCE).fetchall()
        held = {(name, owner, epoch) for name, owner, epoch, _, _ in rows}
        _, _, _, version, any_parked = rows[0]
        self._require_fence(
            fence, sum(1 for one in fence.leases.values() if (one.name, one.owner, one.epoch) in held), version
        )
        return bool(any_parked)

    def enforce_fence(
        self, connection: DbConnection, fence: Fence, expires_at: float | None, activity: Activity | None = None
    ) -> None:
        """The checks, renewal and count of `move_cursors` for work that moves no cursor; raises `Fenced`."""
        if activity is not None:
            counted = connection.cursor().execute(self.sql.COUNT_HANDLED, activity).fetchone()[0]
            self._prune_activity(connection, activity, counted)
        if expires_at is None:
            self.peek_fence(connection, fence)
            return
        renewed = self.renew(connection, fence.leases.values(), expires_at)
        version = connection.cursor().execute(self.sql.HANDLERS_VERSION_LOCKED).fetchone()[0]
        self._require_fence(fence, renewed, version)

    def _require_moved(self, moved: int, moves: Sequence[Move]) -> None:
        if moved != len(moves):
            raise Fenced(
                f"{len(moves) - moved} of {len(moves)} cursors were moved by another worker; nothing was written."
            )

    def _require_fence(self, fence: Fence, leases: int, handlers_version: int) -> None:
        """So many of the fence's leases are held, and this is the version of the set of active handlers."""
        if leases != len(fence.leases):
            raise Fenced("A lease of this worker was taken over; nothing was written.")
        if handlers_version != fence.handlers_version:
            raise Fenced("Other handlers were registered meanwhile; nothing was written.")

    def _prune_activity(self, connection: DbConnection, activity: Activity, counted: int) -> None:
        """Delete what is too old, if these were the first of their minute."""
        if counted == activity.handled:
            connection.cursor().execute(self.sql.PRUNE_ACTIVITY, (activity.minute - ACTIVITY_MINUTES_KEPT,))
