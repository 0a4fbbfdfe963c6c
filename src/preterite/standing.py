"""How components stand: read from their databases and the log, changing nothing.

`preterite status` shows it, `settle` waits for it. Behind, unsent, parked and dead are counted afresh each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from preterite.clock import Clock
from preterite.errors import NotMigrated, StoreUnavailable
from preterite.log import Log, Stream
from preterite.owners import is_gone, shown
from preterite.rows import Counts, HandlerRegistration, LeaseState
from preterite.store import Database, reaching
from preterite.topology import Topology

State = Literal["never started", "off", "running"]
NOTHING = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None, 0, 0, 0)


@dataclass(frozen=True)
class Standing:
    """One component at one look."""

    component: str
    state: State
    counts: Counts
    numbered: int
    """Events that it has given a number, in all its life."""
    unsent: int
    """Events committed here that the log does not hold yet."""
    hears: bool
    behind: int
    """Events in the log that this component has not come to yet."""
    stopped: Mapping[Stream, str]
    """Streams that stand still, and why."""
    lacking: tuple[str, ...]
    """Handlers in force in its database that this program does not declare."""
    work: Mapping[str, str] = field(default_factory=dict[str, str])
    """Who does what just now: host and process, by relay or partition."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do just now."""
        return self.unsent == 0 and self.counts.due == 0 and self.behind == 0 and self.counts.replaying == 0

    @property
    def notices(self) -> list[str]:
        """What an operator may want to know; empty if there is nothing."""
        if self.counts.passed_over == 0:
            return []
        return [
            f"{self.component} passed over {self.counts.passed_over:,} records: types that nobody declares, or old ones"
        ]

    @property
    def needs(self) -> list[str]:
        """What does not mend itself, in words; empty if all is well."""
        found = [f"{self.component}: {reason}" for reason in self.stopped.values()]
        if self.counts.relay_stopped is not None:
            found.append(f"{self.component} announces nothing: {self.counts.relay_stopped}")
        if self.counts.dead:
            letters = "1 dead letter" if self.counts.dead == 1 else f"{self.counts.dead:,} dead letters"
            found.append(f"{self.component} has {letters}")
        if self.counts.voids:
            found.append(f"{self.component} has {self.counts.voids:,} events in its journal that the log does not take")
        if self.lacking:
            found.append(f"{self.component} has handlers in force that are not declared: {', '.join(self.lacking)}")
        return found


class Observer:
    """Looks at components on connections of its own. Used by one thread; `close` gives the connections up."""

    def __init__(self, topology: Topology, databases: Mapping[str, Database], log: Log, clock: Clock) -> None:
        self._topology = topology
        self._databases = databases
        self._log = log
        self._clock = clock
        self._connections: dict[str, Any] = {}

    def look(self) -> dict[str, Standing]:
        """How every component stands just now, in the order in which they were declared."""
        heard = {publisher for one in self._topology.subscriptions.values() for publisher in one.publishers}
        names = heard | set(self._databases)
        streams = [Stream(name, number) for name in names for number in range(self._log.identity.partitions)]
        ends = {stream: end.number for stream, end in self._log.ends(streams).items()}
        standings: dict[str, Standing] = {}
        for name, database in self._databases.items():
            try:
                with reaching(database.store, name):
                    standings[name] = self._standing(name, ends)
            except StoreUnavailable:
                self._forget(name)
                raise
        return standings

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    def _forget(self, name: str) -> None:
        """A connection that is lost is made anew at the next look."""
        connection = self._connections.pop(name, None)
        if connection is not None:
            connection.close()

    def _standing(self, name: str, ends: Mapping[Stream, int]) -> Standing:
        database, heard = self._databases[name], self._topology.subscriptions[name]
        connection = self._connection(name, database)
        if connection is None:
            return Standing(name, "never started", NOTHING, 0, 0, bool(heard.publishers), 0, {}, ())
        wall = database.store.server_time(connection, self._clock.wall())
        cursors = database.store.cursors(connection)
        numbers = {stream: state.cursor.number for stream, state in cursors.items()}
        leases = database.store.leases(connection)
        counts = database.store.counts(connection, self._clock.now().timestamp(), wall)
        numbered = database.store.stream_numbers(connection)
        return Standing(
            component=name,
            state="running" if any(_is_held(lease, wall) for lease in leases) else "off",
            counts=counts,
            numbered=sum(row.last_number for row in numbered),
            unsent=counts.unnumbered
            + sum(max(row.last_number - ends[Stream(name, row.partition)], 0) for row in numbered),
            hears=bool(heard.publishers),
            behind=sum(
                max(end - numbers.get(stream, 0), 0)
                for stream, end in ends.items()
                if stream.publisher in heard.publishers
            ),
            stopped={stream: state.stopped for stream, state in cursors.items() if state.stopped is not None},
            work={lease.name: shown(lease.owner or "") for lease in leases if _is_held(lease, wall)},
            lacking=_lacking(database.store.handlers(connection)[1], heard.registrations),
        )

    def _connection(self, name: str, database: Database) -> Any:
        """A connection to a database that Preterite knows; nothing if it was never started."""
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


def _is_held(lease: LeaseState, wall: float) -> bool:
    return lease.owner is not None and lease.expires_at > wall and not is_gone(lease.owner)


def _lacking(registered: Sequence[HandlerRegistration], declared: Sequence[HandlerRegistration]) -> tuple[str, ...]:
    return tuple(handler.name for handler in registered if not handler.retired and handler not in declared)
