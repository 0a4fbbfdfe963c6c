"""What an open system runs on: its databases brought up to date, the loops of its components, and their wake-ups."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from preterite.clock import Clock, Randomness
from preterite.component import Component
from preterite.handling.failure import FailureLog
from preterite.log.contract import Log
from preterite.operations.startup import prepare
from preterite.printing.logger import logger
from preterite.publishing.relay import Relay
from preterite.publishing.sessions import Sessions
from preterite.publishing.transaction import SessionContext
from preterite.receiving.receiver import Receiver
from preterite.store.contract import Database
from preterite.store.rows import StoreIdentity
from preterite.topology import Topology

_logger = logger()


class Waiting(NamedTuple):
    """A loop that waits for commits to a component's database, and for appends to the log if it reads it."""

    component: str
    wake: Callable[[], None]
    reads_log: bool


class WakeUps:
    """Wakes the loops of this process when something was committed or appended; may be called from any thread.

    A wake-up is a hint: a loop that gets none looks by itself after a while.
    """

    def __init__(self) -> None:
        self.waiting: tuple[Waiting, ...] = ()
        """Replaced, never changed: other threads may be reading it."""

    def add(self, component: str, wake: Callable[[], None], *, reads_log: bool) -> None:
        """Call `wake` after each commit to the component's database; with `reads_log` after appends, too."""
        self.waiting = (*self.waiting, Waiting(component, wake, reads_log))

    def remove(self, wake: Callable[[], None]) -> None:
        """Do not call it any more."""
        self.waiting = tuple(one for one in self.waiting if one.wake != wake)

    def committed(self, component: str) -> None:
        """Something was committed to the component's database."""
        for one in self.waiting:
            if one.component == component:
                one.wake()

    def appended(self, component: str) -> None:
        """Something was appended to the log that the component may subscribe to."""
        for one in self.waiting:
            if one.component == component and one.reads_log:
                one.wake()


class Runtime:
    """The databases, log and clock of an open system, and what makes and wakes the loops of its components."""

    def __init__(
        self,
        name: str,
        components: Sequence[Component],
        topology: Topology,
        databases: Mapping[str, Database],
        log: Log,
        clock: Clock,
        randomness: Randomness,
        *,
        create_tables: bool = False,
    ) -> None:
        self.name = name
        self.components = {component.name: component for component in components if component.name in databases}
        self.topology = topology
        self.databases = dict(databases)
        self.log = log
        self.clock = clock
        self.randomness = randomness
        self.wake_ups = WakeUps()
        self.sessions = Sessions(self.databases, self.context)
        self._failures = {name: FailureLog(name, clock) for name in self.components}
        self.identities: dict[str, StoreIdentity] = {}
        """Of each component's database."""
        self._log_promises()
        with closed_on_failure() as closers:
            closers.append(self.sessions.close)
            for component in self.components.values():
                self.identities[component.name] = self._prepare(component)
                if create_tables and component.tables is not None:
                    self._create_tables(component)

    def relay(self, component: str, owner: str | None = None) -> Relay:
        """A new relay for this component, with a connection of its own; `owner` holds its leases."""
        return Relay(
            component,
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            lambda: self._wake_subscribers(component),
            owner,
        )

    def receiver(self, component: str, owner: str | None = None) -> Receiver:
        """A new receiver for this component, with a connection of its own; `owner` holds its leases."""
        return Receiver(
            self.topology.subscriptions[component],
            self.identities[component],
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            self.context(component),
            self._failures[component],
            owner,
        )

    def has_handlers(self, component: str) -> bool:
        """Whether this component handles anything: events, commands, or ticks of a schedule."""
        return bool(self.topology.subscriptions[component].registrations)

    def context(self, component: str) -> SessionContext:
        """What sessions and connections of a component carry along."""
        return SessionContext(self.clock, self.randomness, lambda: self.notify(component))

    def notify(self, component: str) -> None:
        """Wake the loops that wait for commits to this component's database, here and in other processes."""
        self.wake_ups.committed(component)
        self.databases[component].notify()

    def closers(self) -> list[Callable[[], None]]:
        """What closes engines, databases and the log; the last raises `UsageError` on a running event loop."""
        databases = [database.close for database in self.databases.values()]
        failures = [log.close for log in self._failures.values()]
        return [
            *failures,
            self.sessions.close,
            *databases,
            self.log.close,
            self.sessions.close_async_where_no_loop_runs,
        ]

    def _wake_subscribers(self, publisher: str) -> None:
        for name, subscriptions in self.topology.subscriptions.items():
            if publisher in subscriptions.publishers:
                self.wake_ups.appended(name)

    def _log_promises(self) -> None:
        """Log what the databases and the log guarantee; raises, before anything is written, where one loses commits."""
        holders = {self.log.promise: ["log"]}
        for name in self.components:
            holders.setdefault(self.databases[name].promise(), []).append(name)
        for promise, names in holders.items():
            _logger.info("%s: %s", ", ".join(names), promise)

    def _prepare(self, component: Component) -> StoreIdentity:
        """Bring the component's database up to date with the declaration."""
        log = self.log.identity
        wanted = StoreIdentity(component.name, self.randomness.uuid(), self.name, log.system_id, log.partitions)
        return prepare(self.databases[component.name], wanted, self.topology.subscriptions[component.name], self.clock)

    def _create_tables(self, component: Component) -> None:
        if isinstance(component.tables, str):
            self.databases[component.name].create_tables(component.tables)
        else:
            component.tables.create_all(self.sessions.engine(component.name))


@contextmanager
def closed_on_failure() -> Generator[list[Callable[[], object]]]:
    """If the block raises, call what it has put into the list; its exception passes, also where closing fails."""
    closers: list[Callable[[], object]] = []
    try:
        yield closers
    except BaseException as error:
        try:
            close_all(closers)
        except Exception as further:
            error.add_note(f"After it, closing failed with {type(further).__name__}: {further}")
        raise


def close_all(closers: Iterable[Callable[[], object]]) -> None:
    """Call each of them, whatever the others raise; then raise the first exception, with the others as its notes."""
    faults: list[Exception] = []

    def attempt(close: Callable[[], object]) -> None:
        try:
            close()
        except Exception as error:
            faults.append(error)

    with ExitStack() as stack:
        for close in reversed(list(closers)):
            stack.callback(attempt, close)
    if faults:
        for further in faults[1:]:
            faults[0].add_note(f"After it, closing failed with {type(further).__name__}: {further}")
        raise faults[0]
