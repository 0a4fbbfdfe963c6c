"""Leases: who does what alone. A row with owner, epoch and expiry in the component's own database.

Expiry is judged by the database's clock; a holder trusts itself by its monotonic clock, with a margin.
Every change made under a lease checks owner and epoch in the same transaction, so a worker that was
paused and overtaken can change nothing when it wakes. The owner is random per process start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from preterite import owners
from preterite.clock import Clock
from preterite.rows import DbConnection, Lease, LeaseState
from preterite.store import Store

LEASE_SECONDS = 8.0
RENEW_SECONDS = 3.0
TRUST_SECONDS = 6.5


class Leases:
    """The leases of one loop: takes what is free or overdue, renews what it holds, notices what it lost."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner: str,
        names: Sequence[str],
        is_gone: Callable[[str], bool] = owners.is_gone,
    ) -> None:
        self._is_gone = is_gone
        self._store = store
        self._clock = clock
        self._owner = owner
        self._names = tuple(names)
        self._looked_at = float("-inf")
        self._renewed_at = float("-inf")
        self._seen: dict[str, tuple[LeaseState, float]] = {}
        self.held: dict[str, Lease] = {}

    def keep(self, connection: DbConnection) -> bool:
        """Renew and take what can be had, when it is time to; true if what is held has changed."""
        now = self._clock.monotonic()
        if now - max(self._renewed_at if self._holds_all() else self._looked_at, self._looked_at) < RENEW_SECONDS:
            return False
        self._looked_at = now
        before = dict(self.held)
        free = [
            state for state in self._states(connection) if state.name not in self.held and self._is_free(state, now)
        ]
        if not self.held and not free:
            return False
        self._store.begin(connection)
        try:
            self._renew(connection)
            for state in free:
                taken = self._store.take_lease(connection, state, self._owner, self.expires_at())
                if taken is not None:
                    self.held[taken.name] = taken
            connection.commit()
        except BaseException:
            self.held = before
            connection.rollback()
            raise
        self.renewed()
        return self.held != before

    def renewed(self) -> None:
        """Note that the leases were renewed just now, inside somebody's transaction."""
        self._renewed_at = self._clock.monotonic()

    def expires_at(self) -> float:
        """When a lease renewed now expires, in machine time."""
        return self._clock.wall() + LEASE_SECONDS

    def trusted(self) -> bool:
        """Whether the holder may act outside its database on the strength of its last renewal."""
        return bool(self.held) and self._clock.monotonic() - self._renewed_at < TRUST_SECONDS

    def lost(self) -> None:
        """Forget what is held, because a transaction under it was refused; look again at once."""
        self.held = {}
        self._looked_at = float("-inf")

    def release(self, connection: DbConnection) -> None:
        """Give everything back, clean."""
        if not self.held:
            return
        self._store.begin(connection)
        self._store.release(connection, self.held.values())
        connection.commit()
        self.held = {}

    def _holds_all(self) -> bool:
        return len(self.held) == len(self._names)

    def _renew(self, connection: DbConnection) -> None:
        held = list(self.held.values())
        if held and self._store.renew(connection, held, self.expires_at()) != len(held):
            self.held = {
                lease.name: lease for lease in held if self._store.renew(connection, [lease], self.expires_at()) == 1
            }

    def _states(self, connection: DbConnection) -> Iterable[LeaseState]:
        found = {state.name: state for state in self._store.leases(connection)}
        return [found.get(name, LeaseState(name, None, 0, 0.0, 0)) for name in self._names]

    def _is_free(self, state: LeaseState, now: float) -> bool:
        """Free, its own but forgotten, of a process that is gone, expired, or not renewed for a whole lease.

        Expiry is judged by the database's clock; the last, by this observer's own clock, covers a database whose
        clock has jumped back.
        """
        if state.owner is None or state.owner == self._owner or state.expires_at <= self._clock.wall():
            return True
        if self._is_gone(state.owner):
            return True
        seen, since = self._seen.get(state.name, (None, now))
        if seen is None or (seen.epoch, seen.renewals) != (state.epoch, state.renewals):
            self._seen[state.name] = (state, now)
            return False
        return now - since > LEASE_SECONDS
