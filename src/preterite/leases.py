"""Leases: who does what alone. A row with owner, epoch and expiry in the component's own database.

Expiry is judged by the database's clock; a holder trusts itself by its monotonic clock, with a margin.
Every change made under a lease checks owner and epoch in the same transaction, so a worker that was
paused and overtaken can change nothing when it wakes. The owner's name is random per process start, and
names machine, process and loop: a lease of a process that is gone for certain is free at once. Where that
cannot be known (another machine, a system without /proc) the lease expires.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import ceil
from pathlib import Path

from preterite.clock import Clock, Randomness
from preterite.store.contract import Store, run_in_transaction
from preterite.store.rows import Activity, DbConnection, Fence, Lease, LeaseState, Move

LEASE_SECONDS = 6.0
"""How long a lease is valid after its last renewal; then another worker may take it."""
RENEW_SECONDS = 1.5
"""How often a worker renews its leases and takes free ones."""
TRUST_SECONDS = 4.5
"""How long after the last renewal a worker may act outside its database; less than `LEASE_SECONDS`."""
_PROC = Path("/proc")


def new_owner(randomness: Randomness) -> str:
    """A name for a loop of this process that no other loop, anywhere and ever, has."""
    pid = os.getpid()
    return f"{_machine(pid)}/{pid}/{_started(pid) or ''}/{randomness.uuid()}/{socket.gethostname()}"


def host_and_process(owner: str) -> str:
    """The host and the process of an owner, for people."""
    _, pid, _, _, host = (*owner.split("/"), "", "", "", "", "")[:5]
    return f"{host}:{pid}" if host else owner


def is_gone(owner: str) -> bool:
    """Whether the process of this name ran on this machine and has ended. False where that cannot be known."""
    machine, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if not machine or not pid.isdigit() or not started or machine != _machine(os.getpid()):
        return False
    return _started(int(pid)) != started


@lru_cache(maxsize=1)
def _machine(_asking: int) -> str:
    """This run of this machine, and the part of it whose process numbers are ours; empty where there is no /proc.

    Read once by each process that asks: a forked child may be in another part.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None if it has ended, waited for or not."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; what follows it is: state, then 18 fields, then the start.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def partition_leases(partitions: int) -> list[str]:
    """The names of the leases of so many partitions."""
    return [f"partition/{number}" for number in range(partitions)]


class Leases:
    """The leases of one loop: takes what is free or overdue, renews what it holds, notices what it lost.

    With `shared` it takes no more than its share of them, and gives up what is beyond it when others come.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner: str,
        names: Sequence[str],
        is_gone: Callable[[str], bool] = is_gone,
        *,
        shared: bool = False,
    ) -> None:
        self._is_gone = is_gone
        self._store = store
        self._clock = clock
        self._owner = owner
        self._names = tuple(names)
        self._shared = shared
        self._looked_at = float("-inf")
        self._renewed_at = float("-inf")
        self._renewing = False
        self._server_ahead = 0.0
        self._there: Mapping[str, float] = {}
        self._seen: dict[str, tuple[LeaseState, float]] = {}
        self.held: dict[str, Lease] = {}

    def keep(self, connection: DbConnection) -> bool:
        """Renew, give up and take what there is to, when it is time to; true if what is held has changed."""
        now = self._clock.monotonic()
        if now - max(self._renewed_at if self._holds_all() else self._looked_at, self._looked_at) < RENEW_SECONDS:
            return False
        self._looked_at = now
        self._server_ahead = self._store.server_time(connection, self._clock.wall()) - now
        before = dict(self.held)
        self._there = self._store.workers(connection) if self._shared else {}
        free = [
            state for state in self._states(connection) if state.name not in self.held and self._is_free(state, now)
        ]
        if not self.held and not free and not self._shared:
            return False
        for state in free:
            if state.owner not in (None, self._owner):
                self._store.terminate_sessions(connection, state.owner)
        self._store.begin(connection)
        try:
            self._renew(connection)
            share = self._share(connection)
            self._give_up(connection, list(self.held.values())[share:])
            for state in free[: max(share - len(self.held), 0)]:
                taken = self._store.take_lease(connection, state, self._owner, self.expires_at())
                if taken is not None:
                    self.held[taken.name] = taken
            self._give_up_former(connection, free)
            connection.commit()
        except BaseException:
            self.held = before
            if self._store.in_transaction(connection):
                connection.rollback()
            raise
        self.renewed()
        return self.held != before

    def renewed(self) -> None:
        """Note that the leases were renewed just now, inside the caller's transaction."""
        self._renewed_at = self._clock.monotonic()

    def renewal(self) -> float | None:
        """When the leases are to expire if this transaction is to renew them; nothing if they were renewed lately.

        To call `committed` after its commit.
        """
        self._renewing = self._clock.monotonic() - self._renewed_at >= RENEW_SECONDS
        return self.expires_at() if self._renewing else None

    def committed(self) -> None:
        """Note that the transaction that asked last whether to renew has committed."""
        if self._renewing:
            self.renewed()

    def server_time(self) -> float:
        """The time by the database's clock, as far as it was seen at the last look; seconds since 1970."""
        return self._clock.monotonic() + self._server_ahead

    def expires_at(self) -> float:
        """When a lease renewed now expires, by the database's clock."""
        return self.server_time() + LEASE_SECONDS

    def trusted(self) -> bool:
        """Whether the holder may act outside its database on the strength of its last renewal."""
        return bool(self.held) and self._clock.monotonic() - self._renewed_at < TRUST_SECONDS

    def lost(self) -> None:
        """Forget what is held, because a transaction under it was refused; look again at once."""
        self.held = {}
        self._looked_at = float("-inf")

    def release(self, connection: DbConnection) -> None:
        """Give everything back, clean."""
        if not self.held and not self._shared:
            return

        def act() -> None:
            self._store.release(connection, self.held.values())
            if self._shared:
                self._store.deregister(connection, self._owner)

        run_in_transaction(self._store, connection, act)
        self.held = {}

    def _holds_all(self) -> bool:
        return len(self.held) == len(self._names) and not self._shared

    def _share(self, connection: DbConnection) -> int:
        """How many leases are this loop's to hold: as many as any other's, rounded up."""
        if not self._shared:
            return len(self._names)
        there = self._store.heartbeat(connection, self._owner, self.expires_at(), self.server_time())
        alive = sum(1 for owner in there if owner == self._owner or not self._is_gone(owner))
        return ceil(len(self._names) / alive)

    def _give_up(self, connection: DbConnection, beyond: Sequence[Lease]) -> None:
        if beyond:
            self._store.release(connection, beyond)
            self.held = {name: lease for name, lease in self.held.items() if lease not in beyond}

    def _give_up_former(self, connection: DbConnection, free: Iterable[LeaseState]) -> None:
        """Give up what is still in this loop's name from before it was made anew, and is beyond its share now."""
        former = [one for one in free if one.owner == self._owner and one.name not in self.held]
        if former:
            self._store.release(connection, [Lease(one.name, self._owner, one.epoch, clean=True) for one in former])

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

        A worker in a long handler says by another row that it is there: its lease's row is its batch's to write.
        Expiry is judged by the database's clock; the last, by this observer's own clock, covers a database whose
        clock has jumped back.
        """
        if state.owner is None or state.owner == self._owner or self._is_gone(state.owner):
            return True
        if self._there.get(state.owner, float("-inf")) > self.server_time():
            return False
        if state.expires_at <= self.server_time():
            return True
        seen, since = self._seen.get(state.name, (None, now))
        if seen is None or (seen.epoch, seen.renewals) != (state.epoch, state.renewals):
            self._seen[state.name] = (state, now)
            return False
        return now - since > LEASE_SECONDS


class Tenure:
    """What a worker holds from one takeover to the next: leases of partitions, and the set of handlers it knows.

    Every transaction of that time is made under it: the database must still have both, or nothing is written (protocol
    rules 1 and 6). Where it is time to, the same transaction renews the leases. Raises `Fenced` otherwise.
    """

    def __init__(self, store: Store, leases: Leases, handlers_version: int) -> None:
        self._store = store
        self._leases = leases
        held = {int(name.rpartition("/")[2]): lease for name, lease in leases.held.items()}
        self._fence = Fence(held, handlers_version)
        self.partitions = sorted(held)
        self.handlers_version = handlers_version

    def __contains__(self, partition: int) -> bool:
        return partition in self._fence.leases

    def peek(self, connection: DbConnection) -> bool:
        """Check at a transaction's start, which does not replace the check at its end; whether anything is parked."""
        return self._store.peek_fence(connection, self._fence)

    def check(self, connection: DbConnection, activity: Activity | None = None) -> None:
        """Check and renew in the open transaction, and count what it handled."""
        self._store.enforce_fence(connection, self._fence, self._leases.renewal(), activity)

    def move_cursors(self, connection: DbConnection, moves: Sequence[Move], activity: Activity | None) -> None:
        """The same, after moving these cursors from where they were read."""
        self._store.move_cursors(connection, moves, self._fence, self._leases.renewal(), activity)

    @contextmanager
    def transaction(self, connection: DbConnection) -> Generator[None]:
        """A transaction of its own that is checked first and commits at the end; an exception rolls it back."""
        self._store.begin(connection)
        try:
            self.check(connection)
            yield
            connection.commit()
        except BaseException:
            if self._store.in_transaction(connection):
                connection.rollback()
            raise
