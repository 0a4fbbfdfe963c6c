"""Leases, and the workers that share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from preterite.store.dialect import Dialect
from preterite.store.rows import DbConnection, Lease, LeaseState


class LeaseStore(Dialect):
    """Leases: what one worker does at a time. Methods write and run in a transaction, unless stated otherwise."""

    def leases(self, connection: DbConnection) -> Sequence[LeaseState]:
        """All leases. Reads only."""
        return [LeaseState(*row) for row in connection.cursor().execute(self.sql.LEASES).fetchall()]

    def take_lease(self, connection: DbConnection, state: LeaseState, owner: str, expires_at: float) -> Lease | None:
        """Take a lease that is still in the given state; `None` if another worker was faster.

        It is clean if it was given back, or was this owner's before: then nothing was interrupted.
        """
        cursor = connection.cursor()
        cursor.execute(self.sql.ADD_LEASE, (state.name,))
        cursor.execute(self.sql.TAKE_LEASE, (owner, expires_at, state.name, state.epoch, state.owner))
        if cursor.rowcount != 1:
            return None
        return Lease(state.name, owner, state.epoch + 1, clean=state.owner in (None, owner))

    def renew(self, connection: DbConnection, leases: Iterable[Lease], expires_at: float) -> int:
        """Renew those of these leases that are still held; return how many."""
        cursor = connection.cursor()
        cursor.executemany(self.sql.RENEW, [(expires_at, lease.name, lease.owner, lease.epoch) for lease in leases])
        return max(cursor.rowcount, 0)

    def release(self, connection: DbConnection, leases: Iterable[Lease]) -> None:
        """Give these leases back, clean: the next holder need not look for interrupted attempts."""
        connection.cursor().executemany(self.sql.RELEASE, [(lease.name, lease.owner, lease.epoch) for lease in leases])

    def workers(self, connection: DbConnection) -> Mapping[str, float]:
        """The workers that share the partitions, and until when each counts as alive. Reads only."""
        return dict(connection.cursor().execute(self.sql.WORKERS).fetchall())

    def heartbeat(self, connection: DbConnection, owner: str, until: float, now: float) -> Sequence[str]:
        """Store that a worker is alive until then, delete those whose time is over, return the workers alive."""
        cursor = connection.cursor()
        cursor.execute(self.sql.REMOVE_DEAD_WORKERS, (now,))
        cursor.execute(self.sql.HEARTBEAT, (owner, until))
        return list(self.workers(connection))

    def deregister(self, connection: DbConnection, owner: str) -> None:
        """Store that a worker shares the partitions no longer."""
        connection.cursor().execute(self.sql.DEREGISTER, (owner,))
