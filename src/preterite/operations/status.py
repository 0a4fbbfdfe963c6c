"""The status of components, read from their databases and the log; changes nothing.

`preterite status` prints it, `settle` waits for it. Lag, outbox, parked and dead are counted at every reading.

Several databases are not read at one moment, and still, if all components are quiet in one reading, nothing was left
to do. The ends of the log are read first. A quiet component has then consumed everything up to those ends, has nothing
due, and has published nothing beyond them, read in this order. The first event beyond them would need a cause, and it
had none: what is consumed and what is due is committed together with its effects. This does not hold for what commits
meanwhile from outside, or falls due because time passes.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from preterite.clock import Clock
from preterite.errors import NotMigrated, StoreUnavailable
from preterite.leases import host_and_process, is_gone
from preterite.log.contract import Log, Stream
from preterite.store.contract import Database, translating_errors
from preterite.store.rows import Counts, CursorState, HandlerRegistration, LeaseState, StreamNumbers
from preterite.topology import Topology

__all__ = [
    "ComponentStatus",
    "Counts",
    "State",
    "Verdict",
    "verdict",
]

State = Literal["never started", "off", "running"]
Verdict = Literal["OK", "DEGRADED", "DOWN"]
NOTHING = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None, 0, 0, 0)


@dataclass(frozen=True)
class ComponentStatus:
    """The status of one component at one moment."""

    component: str
    state: State
    counts: Counts
    numbered: int
    """Events that it has numbered since it was first started."""
    outbox: int
    """Events committed here that the log does not hold yet."""
    subscribes: bool
    """Whether it subscribes to events of any publisher."""
    lag: int
    """Events in the log that this component has not read yet."""
    stalled: Mapping[Stream, str]
    """Streams that are stalled, and why."""
    lacking: tuple[str, ...]
    """Active handlers of its database that this program does not declare."""
    workers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The worker of the relay and of each partition: host and process."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do at this moment."""
        return self.outbox == 0 and self.counts.due == 0 and self.lag == 0 and self.counts.replaying == 0

    @property
    def notices(self) -> list[str]:
        """What an operator may want to know and need not act on."""
        if self.counts.skipped == 0:
            return []
        records = "1 record" if self.counts.skipped == 1 else f"{self.counts.skipped:,} records"
        return [f"{self.component} skipped {records}: of undeclared types, or lost"]

    @property
    def problems(self) -> list[str]:
        """What needs an operator, a sentence each; empty if nothing does."""
        found = [f"{self.component}: {reason}" for reason in self.stalled.values()]
        if self.counts.relay_halt is not None:
            found.append(f"{self.component} publishes nothing: {self.counts.relay_halt}")
        if self.counts.dead:
            dead_letters = "1 dead letter" if self.counts.dead == 1 else f"{self.counts.dead:,} dead letters"
            found.append(f"{self.component} has {dead_letters}")
        if self.counts.voids:
            events = "1 event" if self.counts.voids == 1 else f"{self.counts.voids:,} events"
            found.append(f"{self.component} has {events} in its journal that the log refused")
        if self.lacking:
            found.append(
                f"{self.component} has active handlers that this program does not declare: {', '.join(self.lacking)}"
            )
        return found


def verdict(statuses: Iterable[ComponentStatus]) -> Verdict:
    """DOWN if no component runs, DEGRADED if one does not or anything needs an operator, else OK. Pure."""
    found = list(statuses)
    if not any(status.state == "running" for status in found):
        return "DOWN"
    return "OK" if all(status.state == "running" and not status.problems for status in found) else "DEGRADED"


class StatusReader:
    """Reads the status of components on its own connections. For one thread; `close` closes the connections."""

    def __init__(self, topology: Topology, databases: Mapping[str, Database], log: Log, clock: Clock) -> None:
        self._topology = topology
        self._databases = databases
        self._log = log
        self._clock = clock
        self._connections: dict[str, Any] = {}
        self._asked_first: str | None = None

    def is_quiet(self) -> bool:
        """Whether every component is quiet, and none is stalled. Much cheaper than `status` while work is left.

        Ends at the first component that is not; the next reading begins with that one.
        """
        ends = self._ends()
        for name in sorted(self._databases, key=lambda name: name != self._asked_first):
            with self._reading(name):
                if not self._is_quiet(name, ends):
                    self._asked_first = name
                    return False
        return True

    def status(self) -> dict[str, ComponentStatus]:
        """The status of every component, in the order in which they are declared."""
        ends = self._ends()
        statuses: dict[str, ComponentStatus] = {}
        for name in self._databases:
            with self._reading(name):
                statuses[name] = self._status_of(name, ends)
        return statuses

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    def _ends(self) -> dict[Stream, int]:
        publishers = {publisher for one in self._topology.subscriptions.values() for publisher in one.publishers}
        names = publishers | set(self._databases)
        streams = [Stream(name, number) for name in names for number in range(self._log.identity.partitions)]
        return {stream: end.number for stream, end in self._log.ends(streams).items()}

    @contextmanager
    def _reading(self, name: str) -> Generator[None]:
        """Translates errors of this component's database; a lost connection is closed."""
        try:
            with translating_errors(self._databases[name].store, name):
                yield
        except StoreUnavailable:
            self._forget(name)
            raise

    def _forget(self, name: str) -> None:
        """Close a lost connection; the next reading opens another."""
        connection = self._connections.pop(name, None)
        if connection is not None:
            connection.close()

    def _is_quiet(self, name: str, ends: Mapping[Stream, int]) -> bool:
        """The same as `is_quiet` of its status, by as few statements as are needed."""
        database = self._databases[name]
        connection = self._connection(name, database)
        if connection is None:
            return True
        cursors = database.store.cursors(connection)
        if _lag(cursors, ends, self._topology.subscriptions[name].publishers):
            return False
        if any(state.stall is not None for state in cursors.values()):
            return False
        wall = database.store.server_time(connection, self._clock.wall())
        counts = database.store.counts(connection, self._clock.now().timestamp(), wall)
        if counts.unnumbered or counts.due or counts.replaying or counts.relay_halt is not None:
            return False
        # After the outbox: what the relay takes from there it has numbered.
        return _beyond(name, database.store.stream_numbers(connection), ends) == 0

    def _status_of(self, name: str, ends: Mapping[Stream, int]) -> ComponentStatus:
        database, subscriptions = self._databases[name], self._topology.subscriptions[name]
        connection = self._connection(name, database)
        if connection is None:
            return ComponentStatus(name, "never started", NOTHING, 0, 0, bool(subscriptions.publishers), 0, {}, ())
        wall = database.store.server_time(connection, self._clock.wall())
        cursors = database.store.cursors(connection)
        holders = _holders(database.store.leases(connection), wall)
        counts = database.store.counts(connection, self._clock.now().timestamp(), wall)
        numbered = database.store.stream_numbers(connection)
        return ComponentStatus(
            component=name,
            state="running" if holders else "off",
            counts=counts,
            numbered=sum(row.last_number for row in numbered),
            outbox=counts.unnumbered + _beyond(name, numbered, ends),
            subscribes=bool(subscriptions.publishers),
            lag=_lag(cursors, ends, subscriptions.publishers),
            stalled={stream: state.stall for stream, state in cursors.items() if state.stall is not None},
            workers={lease: host_and_process(owner) for lease, owner in holders.items()},
            lacking=_lacking(database.store.handlers(connection)[1], subscriptions.registrations),
        )

    def _connection(self, name: str, database: Database) -> Any:
        """A connection to the component's database; None if the component was never started."""
        if name not in self._connections:
            if not database.exists():
                return None
            connection = database.connect()
            if database.store.identity(connection) is None:
                connection.close()
                return None
            if not database.store.is_migrated(connection):
                connection.close()
                raise NotMigrated(name)
            self._connections[name] = connection
        return self._connections[name]


def _lag(cursors: Mapping[Stream, CursorState], ends: Mapping[Stream, int], publishers: Container[str]) -> int:
    """Events in the log beyond the cursors of a subscriber to these publishers."""
    numbers = {stream: state.cursor.number for stream, state in cursors.items()}
    return sum(max(end - numbers.get(stream, 0), 0) for stream, end in ends.items() if stream.publisher in publishers)


def _beyond(name: str, numbered: Sequence[StreamNumbers], ends: Mapping[Stream, int]) -> int:
    """Events that this publisher has numbered and the log does not hold."""
    return sum(max(row.last_number - ends[Stream(name, row.partition)], 0) for row in numbered)


def _holders(leases: Sequence[LeaseState], wall: float) -> dict[str, str]:
    """Who holds which lease. One worker holds many: each is looked up once."""
    held = {lease.name: lease.owner for lease in leases if lease.owner is not None and lease.expires_at > wall}
    gone = {owner for owner in set(held.values()) if is_gone(owner)}
    return {lease: owner for lease, owner in held.items() if owner not in gone}


def _lacking(registered: Sequence[HandlerRegistration], declared: Sequence[HandlerRegistration]) -> tuple[str, ...]:
    return tuple(handler.name for handler in registered if not handler.retired and handler not in declared)
