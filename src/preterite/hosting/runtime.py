"""What an open system runs on: its databases brought up to date, the loops of its components, and their wake-ups."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from preterite.clock import Clock, Randomness
from preterite.component import Component
from preterite.errors import DatabaseWentBack, PreteriteError, StoreUnavailable, TablesMissing, WrongDatabase
from preterite.handling.failure import FailureLog
from preterite.hosting import own_tables
from preterite.hosting.openings import Openings, side_by_side
from preterite.log.contract import Log
from preterite.operations.startup import bind_database, prepare, require_own_database
from preterite.printing.by_name import ByName
from preterite.printing.logger import logger
from preterite.printing.text import clause
from preterite.publishing.relay import Relay
from preterite.publishing.sessions import Sessions
from preterite.publishing.transaction import SessionContext
from preterite.receiving.receiver import Receiver
from preterite.store.contract import Database, connected, translating_errors
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
    """The databases, log and clock of an open system, and what makes and wakes the loops of its components.

    With `opening_seconds` the databases are opened side by side, and what has not answered by then is out of reach.
    """

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
        owners: Mapping[str, Database] | None = None,
        opening_seconds: float | None = None,
    ) -> None:
        self.name = name
        run_here = {component.name: component for component in components if component.name in databases}
        self.components: Mapping[str, Component] = ByName("component", run_here)
        self.topology = topology
        self.databases: Mapping[str, Database] = ByName("component", databases)
        self.log = log
        self.clock = clock
        self.randomness = randomness
        self.wake_ups = WakeUps()
        self.sessions = Sessions(self.databases, self.context, self.require)
        self._failures = {name: FailureLog(name, clock) for name in self.components}
        self._creates_tables = create_tables
        self._owners = owners or {}
        self.ended: list[PreteriteError] = []
        """Why loops of a host in this process have ended for good."""
        self._handlers_versions: dict[str, int] = {}
        """By component that is open: the version of its active handlers when this program was registered."""
        self._openings = Openings(self._open, clock)
        self._log_promises(opening_seconds)
        with closed_on_failure() as closers:
            closers.append(self.sessions.close)
            if opening_seconds is None:
                self._openings.open(self.components)
            else:
                self._openings.open_side_by_side(self.components, opening_seconds)

    @property
    def faults(self) -> Mapping[str, str]:
        """Why each component that is not open is not: its database was out of reach, and is tried again when used."""
        return self._openings.faults

    def require(self, component: str) -> StoreIdentity:
        """The identity of a component's database, which is opened if it was out of reach before.

        Raises `StoreUnavailable` if it still is.
        """
        return self._openings.require(component)

    def relay(self, component: str, owner: str | None = None) -> Relay:
        """A new relay for this component, with a connection of its own; `owner` holds its leases.

        Raises `StoreUnavailable` while its database or the log is out of reach.
        """
        self._require_with_log(component)
        return Relay(
            component,
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            lambda: self._wake_subscribers(component),
            owner,
            self._failures[component].report,
        )

    def receiver(self, component: str, owner: str | None = None) -> Receiver:
        """A new receiver for this component, with a connection of its own; `owner` holds its leases.

        Raises `StoreUnavailable` while its database or the log is out of reach.
        """
        try:
            return self._receiver(component, owner)
        except DatabaseWentBack as error:
            _logger.warning("%s. Its handlers are registered again.", clause(error))
            self._openings.open_again(component)
            return self._receiver(component, owner)

    def _receiver(self, component: str, owner: str | None) -> Receiver:
        return Receiver(
            self.topology.subscriptions[component],
            self._require_with_log(component),
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            self.context(component),
            self._failures[component],
            self._handlers_versions[component],
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

    def _log_promises(self, opening_seconds: float | None) -> None:
        """Log what the databases and the log guarantee; raises, before anything is written, where one loses commits.

        What is out of reach guarantees nothing yet.
        """
        holders: dict[str, list[str]] = {}
        try:
            holders[self.log.promise] = ["log"]
        except StoreUnavailable as error:
            _logger.error(
                "The log is out of reach, and is tried again: %s. Events wait in the outboxes.", clause(error)
            )
        promises: Mapping[str, Callable[[], str]] = {name: self.databases[name].promise for name in self.components}
        if opening_seconds is not None:
            promises = side_by_side(lambda name: self.databases[name].promise(), self.components, opening_seconds)
        for name, promise_of in promises.items():
            with suppress(StoreUnavailable):
                holders.setdefault(promise_of(), []).append(name)
        for promise, names in holders.items():
            _logger.info("%s: %s", ", ".join(names), promise)

    def _open(self, name: str) -> StoreIdentity:
        """Bring a component's database up to date with the declaration."""
        component, database = self.components[name], self.databases[name]
        with translating_errors(database.store, name), _naming_what_is_wrong(database, name):
            wanted = self._wanted_identity(name, database)
            identity, version = prepare(database, wanted, self.topology.subscriptions[name], self.clock)
            self._handlers_versions[name] = version
            # Without the log it is known when the loops are made, before anything is handled or published.
            with suppress(StoreUnavailable):
                bind_database(self.log, database, identity)
            if component.tables is not None:
                self._create_tables(component) if self._creates_tables else self._refuse_missing(component)
        return identity

    def _wanted_identity(self, name: str, database: Database) -> StoreIdentity:
        """The identity that a component's database has to have; without the log, the system that it has already."""
        try:
            log = self.log.identity
            wanted = StoreIdentity(name, self.randomness.uuid(), self.name, log.system_id, log.partitions)
            require_own_database(self.log, wanted, database)
            return wanted
        except StoreUnavailable:
            if database.exists():
                with connected(database) as connection:
                    found = database.store.identity(connection)
                if found is not None:
                    return replace(found, component=name, system=self.name)
            raise

    def _require_with_log(self, component: str) -> StoreIdentity:
        """The identity of a component's database, which may have been opened while the log was out of reach."""
        identity, log = self.require(component), self.log.identity
        if (identity.system_id, identity.partitions) != (log.system_id, log.partitions):
            raise WrongDatabase(
                f"The database of {component!r} belongs to the log {identity.system_id} with {identity.partitions} "
                f"partitions; this log is {log.system_id} with {log.partitions}. Nothing was handled or published. "
                "Check the component's URL, and the log's."
            )
        bind_database(self.log, self.databases[component], identity)
        return identity

    def _create_tables(self, component: Component) -> None:
        owner = self._owners.get(component.name)
        database = owner or self.databases[component.name]
        own_tables.create(component, database, self.context(component.name), as_owner=owner is not None)

    def _refuse_missing(self, component: Component) -> None:
        database = self.databases[component.name]
        names = own_tables.missing(component, database)
        if names:
            raise TablesMissing(own_tables.are_missing(component.name, database.url, names))


@contextmanager
def _naming_what_is_wrong(database: Database, name: str) -> Generator[None]:
    """Raise `StoreUnavailable` where a component's file is damaged, or a role lacks a right: the others open."""
    try:
        yield
    except Exception as error:
        if database.store.refuses_rights(error):
            raise StoreUnavailable(
                f"The role of {name!r} lacks a right, in {database.url} or on the log: {clause(error)}. preterite "
                "provision grants what it needs."
            ) from None
        if not database.store.is_damaged(error):
            raise
        raise StoreUnavailable(
            f"The database of {name!r} is damaged: {clause(error)}. Restore it from a backup: {database.url}."
        ) from None


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
