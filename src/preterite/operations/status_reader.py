"""Reads the status of components from their databases and the log; changes nothing.

`preterite status` prints it, `settle` waits for it. Lag, outbox, parked and dead are counted at every reading.

Several databases are not read at one moment, and still, if all components are quiet in one reading, nothing was left
to do. The ends of the log are read first. A quiet component has then consumed everything up to those ends, has nothing
due, and has published nothing beyond them, read in this order. The first event beyond them would need a cause, and it
had none: what is consumed and what is due is committed together with its effects. This does not hold for what commits
meanwhile from outside, or falls due because time passes.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from preterite.clock import Clock
from preterite.errors import NotMigrated, PreteriteError, StoreUnavailable, WrongLog
from preterite.handling.failure import text_of
from preterite.leases import host_and_process, is_gone, partition_leases
from preterite.log.contract import Log, Stream
from preterite.operations.startup import second_database
from preterite.operations.status import NOTHING, Backlog, ComponentStatus, ObservedHandler
from preterite.store.contract import Database, translating_errors
from preterite.store.rows import Ages, CursorState, HandlerRegistration, LeaseState, RunningHandler, StreamNumbers
from preterite.topology import Topology

IN_OUTBOX, IN_LOG, DUE = "in its outbox", "in the log", "beyond the time at which to run"
"""Where events wait, as `Backlog.where` says it."""


class StatusReader:
    """Reads the status of components on its own connections. For one thread; `close` closes the connections."""

    def __init__(self, topology: Topology, databases: Mapping[str, Database], log: Log, clock: Clock) -> None:
        self._topology = topology
        self._databases = databases
        self._log = log
        self._clock = clock
        self._connections: dict[str, Any] = {}
        self._asked_first: str | None = None
        self._lagging: dict[str, Mapping[Stream, int]] = {}
        """How far each component has come in the streams that it lags behind, at the last reading."""

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
        """The status of every component, in the order in which they are declared.

        A database or log that cannot be read is a fault in the status, and keeps nothing else from being read.
        """
        now = self._now()
        ends, log_fault = self._ends_or_fault()
        found = {name: self._status_or_fault(name, ends, now) for name in self._databases}
        of_log = {"log_fault": log_fault, "log_wal_bytes": self._log.wal_bytes()}
        return {name: replace(self._with_age_of_lag(one, ends), **of_log) for name, one in found.items()}

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    def _now(self) -> float:
        """Business time; the machine's while a demo's, which is kept beside the log, cannot be read."""
        try:
            return self._clock.now().timestamp()
        except StoreUnavailable:
            return self._clock.wall()

    def _ends_or_fault(self) -> tuple[Mapping[Stream, int] | None, str | None]:
        try:
            return self._ends(), None
        except WrongLog:
            raise
        except Exception as error:
            return None, _fault(error)

    def _status_or_fault(self, name: str, ends: Mapping[Stream, int] | None, now: float) -> ComponentStatus:
        subscribes = bool(self._topology.subscriptions[name].publishers)
        try:
            with self._reading(name):
                return self._status_of(name, ends, now)
        except Exception as error:
            # Whatever keeps this database from being read is what an operator has to know, beside all the others.
            self._forget(name)
            return ComponentStatus(name, "unreachable", NOTHING, 0, 0, subscribes, 0, {}, (), fault=_fault(error))

    def _with_age_of_lag(self, status: ComponentStatus, ends: Mapping[Stream, int] | None) -> ComponentStatus:
        """With how long the oldest event that it has not read has waited, as the journals of its publishers say."""
        if not status.lag or ends is None:
            return status
        lagging = self._lagging.get(status.component, {})
        ages = [self._numbered_age(stream, after) for stream, after in lagging.items()]
        oldest = max((age for age in ages if age is not None), default=None)
        backlogs = [one._replace(oldest_seconds=oldest) if one.where == IN_LOG else one for one in status.backlogs]
        return replace(status, backlogs=tuple(backlogs))

    def _numbered_age(self, stream: Stream, after: int) -> float | None:
        """How long ago the first event beyond a number was numbered; nothing if its publisher cannot be read here."""
        connection = self._connections.get(stream.publisher)
        if connection is None:
            return None
        try:
            with self._reading(stream.publisher):
                return self._databases[stream.publisher].store.numbered_age(connection, stream.partition, after)
        except StoreUnavailable:
            return None

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

    def _status_of(self, name: str, ends: Mapping[Stream, int] | None, now: float) -> ComponentStatus:
        database, subscriptions = self._databases[name], self._topology.subscriptions[name]
        connection = self._connection(name, database)
        if connection is None:
            return ComponentStatus(name, "never started", NOTHING, 0, 0, bool(subscriptions.publishers), 0, {}, ())
        store = database.store
        wall = store.server_time(connection, self._clock.wall())
        cursors = store.cursors(connection)
        leases = store.leases(connection)
        running = {one.owner: one for one in database.running(connection, wall) if not is_gone(one.owner)}
        holders = _holders(leases, wall, running)
        counts = store.counts(connection, now, wall)
        numbered = store.stream_numbers(connection)
        ages = store.ages(connection, now)
        lagging = _lagging(cursors, ends or {}, subscriptions.publishers)
        self._lagging[name] = {stream: number for stream, (number, _) in lagging.items()}
        at_work = _handling(running, subscriptions.component.time_limit_seconds)
        takers = {lease.owner for lease in leases if lease.name in _partition_leases(lagging)}
        # Where one transaction writes at a time, a handler's holds up all workers of the component, and its relay.
        holds_up_all = not store.writes_at_once
        holds_up_lag = holds_up_all or takers <= running.keys()
        lag = Backlog(IN_LOG, _sum_of(lagging), None, ages.moved, at_work if holds_up_lag else None)
        due = Backlog(DUE, counts.due, ages.due, ages.handled, at_work)
        outbox = self._outbox(name, connection, counts.unnumbered, numbered, ends, ages)
        outbox = outbox._replace(handling=at_work if holds_up_all else None)
        return ComponentStatus(
            component=name,
            state="running" if holders else "off",
            counts=counts,
            numbered=sum(row.last_number for row in numbered),
            outbox=outbox.events,
            subscribes=bool(subscriptions.publishers),
            lag=lag.events,
            stalled={stream: state.stall for stream, state in cursors.items() if state.stall is not None},
            workers={lease: host_and_process(owner) for lease, owner in holders.items()},
            lacking=_lacking(store.handlers(connection)[1], subscriptions.registrations),
            backlogs=(outbox, lag, due),
            wal_bytes=database.wal_bytes(),
        )

    def _outbox(
        self,
        name: str,
        connection: Any,
        unnumbered: int,
        numbered: Sequence[StreamNumbers],
        ends: Mapping[Stream, int] | None,
        ages: Ages,
    ) -> Backlog:
        """What is not in the log: by the log's ends, or, if it cannot be read, by what it has confirmed."""
        store = self._databases[name].store
        sent = {row.partition: row.confirmed if ends is None else ends[Stream(name, row.partition)] for row in numbered}
        unconfirmed = {row.partition: row.last_number - sent[row.partition] for row in numbered}
        partitions = [partition for partition, events in unconfirmed.items() if events > 0]
        waited = [ages.outbox, *(store.numbered_age(connection, one, sent[one]) for one in partitions)]
        oldest = max((age for age in waited if age is not None), default=None)
        return Backlog(IN_OUTBOX, unnumbered + sum(unconfirmed[one] for one in partitions), oldest, ages.confirmed)

    def _connection(self, name: str, database: Database) -> Any:
        """A connection to the component's database; None if the component was never started."""
        if name in self._connections:
            database.store.require_current(self._connections[name])
        else:
            found = self._new_connection(name, database)
            if found is None:
                return None
            self._connections[name] = found
        return self._connections[name]

    def _new_connection(self, name: str, database: Database) -> Any:
        """The same on a new connection. Raises `WrongDatabase` if the log knows another one of this component."""
        known = self._known_to_log(name)
        identity = None
        if database.exists():
            with ExitStack() as closing_it:
                connection = closing_it.enter_context(closing(database.connect()))
                database.store.require_current(connection)
                database.store.bound_waits(connection)
                identity = database.store.identity(connection)
                if identity is not None and identity.component_id == (known or identity.component_id):
                    if not database.store.is_migrated(connection):
                        raise NotMigrated(name)
                    closing_it.pop_all()
                    return connection
        if known is not None:
            raise second_database(name, database, None if identity is None else identity.component_id, known)
        return None

    def _known_to_log(self, name: str) -> UUID | None:
        """The id of the component's database; `None` also while the log, which has its own line, is away."""
        try:
            return self._log.databases.of(name)
        except WrongLog:
            raise
        except Exception:
            return None


def _fault(error: Exception) -> str:
    return text_of(error) if isinstance(error, PreteriteError) else f"{type(error).__name__}: {text_of(error)}"


def _lag(cursors: Mapping[Stream, CursorState], ends: Mapping[Stream, int], publishers: Container[str]) -> int:
    """Events in the log beyond the cursors of a subscriber to these publishers."""
    return _sum_of(_lagging(cursors, ends, publishers))


def _sum_of(lagging: Mapping[Stream, tuple[int, int]]) -> int:
    return sum(end - number for number, end in lagging.values())


def _lagging(
    cursors: Mapping[Stream, CursorState], ends: Mapping[Stream, int], publishers: Container[str]
) -> dict[Stream, tuple[int, int]]:
    """Where a subscriber to these publishers is, and where the stream ends, if that is further."""
    numbers = {stream: cursors[stream].cursor.number if stream in cursors else 0 for stream in ends}
    return {
        stream: (numbers[stream], end)
        for stream, end in ends.items()
        if stream.publisher in publishers and end > numbers[stream]
    }


def _beyond(name: str, numbered: Sequence[StreamNumbers], ends: Mapping[Stream, int]) -> int:
    """Events that this publisher has numbered and the log does not hold."""
    return sum(max(row.last_number - ends[Stream(name, row.partition)], 0) for row in numbered)


def _partition_leases(streams: Iterable[Stream]) -> frozenset[str]:
    """The leases under which these streams are read."""
    names = partition_leases(max((stream.partition for stream in streams), default=-1) + 1)
    return frozenset(names[stream.partition] for stream in streams)


def _handling(running: Mapping[str, RunningHandler], limit_seconds: float) -> ObservedHandler | None:
    """The handler that has been at work for longest, within its time limit."""
    found = [one for one in running.values() if one.seconds < limit_seconds]
    longest = max(found, key=lambda one: one.seconds, default=None)
    return None if longest is None else ObservedHandler(longest.handler, longest.seconds, limit_seconds)


def _holders(leases: Sequence[LeaseState], wall: float, running: Container[str]) -> dict[str, str]:
    """Who holds which lease. One worker holds many: each is looked up once.

    A lease that has run out is held all the same while its worker is `running` a handler.
    """
    owned = [(lease, lease.owner) for lease in leases if lease.owner is not None]
    held = {lease.name: owner for lease, owner in owned if lease.expires_at > wall or owner in running}
    gone = {owner for owner in set(held.values()) if is_gone(owner)}
    return {lease: owner for lease, owner in held.items() if owner not in gone}


def _lacking(registered: Sequence[HandlerRegistration], declared: Sequence[HandlerRegistration]) -> tuple[str, ...]:
    return tuple(handler.name for handler in registered if not handler.retired and handler not in declared)
