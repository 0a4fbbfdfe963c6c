"""What has to happen in some world: a run in which no worker was ever overtaken shows nothing about being overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preterite.errors import Fenced
from preterite.log.contract import Cursor
from preterite.store.rows import Activity, DbConnection, Fence, Lease, LeaseState, Parked, ReplayCursor, SagaRow
from preterite.store.sqlite.store import SqliteStore
from preterite.testing.simulation.machine.scheduler import History

LEASE_TAKEN = "lease of another taken over"
OVERTAKEN = "overtaken receiver wrote nothing"
RELAY_OVERTAKEN = "overtaken relay refused by the log"
RELAY_TAKEN = "relay took over the log"
SENT_AGAIN = "sent what the log had"
LOST_IN_LOG = "log ended before what was sent"
ASKED_AGAIN = "reader asked for what was lost"
PARKED = "parked"
DEAD = "dead"
RETRIED = "failed attempt waits"
INTERRUPTED = "attempt of a dead worker counted"
TAKEN_BEFORE = "command or row taken by another before"
SAGA_ENDED = "saga ended"
RAN_AGAIN = "handler ran again after a rollback"
STOOD_BACK = "older program stood back"
REPLAYED = "replay replayed what was published before"
JOINED = "replay caught up with live reading"
REPLAY_ASKED = "replay asked for what was lost"
PRUNED = "journal pruned"
DROPPED = "retention dropped what was in the log"
STALE_READ = "reader waited for what was being sent again"
HOLE_FILLED = "operator filled a hole"
LOSS_ACCEPTED = "operator accepted a loss"
RESTORED = "databases or log put back"
RESTORED_AGAIN = "put back a second time"
LOG_RESTORED = "log put back"
ACCEPTED = "operator accepted what was forgotten"

MARKS = (
    LEASE_TAKEN, OVERTAKEN, RELAY_OVERTAKEN, RELAY_TAKEN, SENT_AGAIN, LOST_IN_LOG, ASKED_AGAIN, PARKED, DEAD, RETRIED,
    INTERRUPTED, TAKEN_BEFORE, SAGA_ENDED, RAN_AGAIN, STOOD_BACK, REPLAYED, JOINED, REPLAY_ASKED,
    PRUNED, DROPPED, STALE_READ, HOLE_FILLED, LOSS_ACCEPTED, RESTORED, RESTORED_AGAIN, LOG_RESTORED, ACCEPTED,
)  # fmt: skip
"""All of them; so many worlds as a push runs reach each."""


class MarkingStore(SqliteStore):
    """The real store; notes what it was asked to do and what it refused."""

    def __init__(self, history: History) -> None:
        self._history = history

    def take_lease(self, connection: DbConnection, state: LeaseState, owner: str, expires_at: float) -> Lease | None:
        taken = super().take_lease(connection, state, owner, expires_at)
        if taken is not None and state.owner not in (None, "", owner):
            self._history.mark(LEASE_TAKEN)
        return taken

    def peek_fence(self, connection: DbConnection, fence: Fence) -> bool:
        try:
            return super().peek_fence(connection, fence)
        except Fenced:
            self._history.mark(OVERTAKEN)
            raise

    def enforce_fence(
        self, connection: DbConnection, fence: Fence, expires_at: float | None, activity: Activity | None = None
    ) -> None:
        try:
            super().enforce_fence(connection, fence, expires_at, activity)
        except Fenced:
            self._history.mark(OVERTAKEN)
            raise

    def park(self, connection: DbConnection, rows: Sequence[Parked]) -> None:
        super().park(connection, rows)
        if rows:
            self._history.mark(PARKED)

    def settle_attempt(self, connection: DbConnection, row: Parked, attempts: int) -> None:
        super().settle_attempt(connection, row, attempts)
        self._history.mark(DEAD if row.state == "dead" else RETRIED)

    def interrupted(self, connection: DbConnection, partitions: Sequence[int]) -> Sequence[Parked]:
        return self._noting(INTERRUPTED, super().interrupted(connection, partitions))

    def start_attempt(self, connection: DbConnection, row: Parked) -> bool:
        return self._unless(super().start_attempt(connection, row))

    def take_parked(self, connection: DbConnection, row: Parked) -> bool:
        return self._unless(super().take_parked(connection, row))

    def take_scheduled(self, connection: DbConnection, scheduled_id: int, now: float) -> bool:
        return self._unless(super().take_scheduled(connection, scheduled_id, now))

    def end_saga(self, connection: DbConnection, row: SagaRow, now: float) -> bool:
        ended = super().end_saga(connection, row, now)
        if ended:
            self._history.mark(SAGA_ENDED)
        return ended

    def move_replay(self, connection: DbConnection, was: ReplayCursor, new: Cursor, replayed: int) -> bool:
        moved = super().move_replay(connection, was, new, replayed)
        if moved and replayed:
            self._history.mark(REPLAYED)
        return moved

    def join_replay(self, connection: DbConnection, at: ReplayCursor) -> bool:
        joined = super().join_replay(connection, at)
        if joined:
            self._history.mark(JOINED)
        return joined

    def prune_journal(self, connection: DbConnection, before: float, limit: int) -> int:
        pruned = super().prune_journal(connection, before, limit)
        if pruned:
            self._history.mark(PRUNED)
        return pruned

    def note_replay(self, connection: DbConnection, replay_id: int, reason: str) -> None:
        if reason:
            self._history.mark(REPLAY_ASKED)
        super().note_replay(connection, replay_id, reason)

    def _unless(self, taken: bool) -> bool:
        if not taken:
            self._history.mark(TAKEN_BEFORE)
        return taken

    def _noting(self, mark: str, found: Sequence[Any]) -> Sequence[Any]:
        if found:
            self._history.mark(mark)
        return found


def unreached(marks: Iterable[Mapping[str, int]]) -> list[str]:
    """What no world has reached."""
    reached = {mark for one in marks for mark in one}
    return [mark for mark in MARKS if mark not in reached]
