"""The part of a component's database that says who does what alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from preterite.rows import DbConnection, Lease, LeaseState


class LeaseStore(Protocol):
    """Leases, and the workers that share them. Methods write and run in a transaction, unless they say otherwise."""

    def leases(self, connection: DbConnection) -> Sequence[LeaseState]:
        """All leases. Reads only."""
        ...

    def take_lease(self, connection: DbConnection, state: LeaseState, owner: str, expires_at: float) -> Lease | None:
        """Take a lease that is still in the given state; nothing if somebody was faster.

        It is clean if nobody else had it: then nothing was interrupted.
        """
        ...

    def renew(self, connection: DbConnection, leases: Iterable[Lease], expires_at: float) -> int:
        """Renew those of these leases that are still held; return how many."""
        ...

    def release(self, connection: DbConnection, leases: Iterable[Lease]) -> None:
        """Give these leases back, clean: the next holder need not be careful."""
        ...

    def workers(self, connection: DbConnection) -> Mapping[str, float]:
        """The workers that share in the work, and until when each is thought to be there. Reads only."""
        ...

    def evict(self, connection: DbConnection, owner: str) -> None:
        """End the transactions that a worker has left open which lost its lease: they hold up whoever follows it.

        Only those that stand still; none of them could commit any more. Outside a transaction.
        """
        ...

    def attend(self, connection: DbConnection, owner: str, until: float, now: float) -> Sequence[str]:
        """Note that a worker shares in the work until then, forget those whose time is over, return who is there."""
        ...

    def leave(self, connection: DbConnection, owner: str) -> None:
        """Note that a worker shares in the work no more."""
        ...
