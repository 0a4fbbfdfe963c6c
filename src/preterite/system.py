"""A system: all components of one business. Declaring opens nothing; `open` verifies everything first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from preterite import log as logs
from preterite import settings
from preterite import store as stores
from preterite.clock import Clock, Randomness, SystemClock, SystemRandomness
from preterite.component import Component, ParameterKind
from preterite.demo_clock import SharedClock
from preterite.errors import StoreUnavailable, SystemRefused, UsageError
from preterite.hosting.runtime import Runtime, closed_on_failure
from preterite.log.contract import Log, LogIdentity, NoLog
from preterite.log.deferred import open_or_defer
from preterite.open_system import OpenSystem
from preterite.operations.startup import identity_of
from preterite.printing.by_name import unknown_name
from preterite.printing.urls import shown
from preterite.recoverability import Recoverability
from preterite.store.contract import Database
from preterite.topology import Topology, verify

PARTITIONS_DEFAULT = 8
"""Partitions of each component's events where a system names no number."""
PARTITIONS_MAX = 1024
"""Partitions of each component's events."""
Opened = TypeVar("Opened", bound=OpenSystem)


class System:
    """`System("retail", [sales, finance])`: pure declaration.

    `partitions` is fixed when the log is made; another number is refused from then on. `recoverability` applies
    where neither component nor handler has its own. The business clock of a `demo` is kept beside its
    log and can be moved: `preterite clock`.
    """

    def __init__(
        self,
        name: str,
        components: Sequence[Component],
        *,
        partitions: int = PARTITIONS_DEFAULT,
        recoverability: Recoverability | None = None,
        demo: bool = False,
    ) -> None:
        self.name = name
        self.demo = demo
        self.recoverability = recoverability
        self.components = tuple(components)
        self.partitions = partitions

    def component(self, name: str) -> Component:
        """The component of this name; raises `UnknownName` with the names there are."""
        found = next((component for component in self.components if component.name == name), None)
        if found is None:
            raise unknown_name("component", name, [component.name for component in self.components])
        return found

    def verify(self, databases: Mapping[str, Database] | None = None) -> Topology:
        """Check the declaration without opening anything; raises `SystemRefused` with all faults together."""
        opened = databases if databases is not None else self._configured()
        if not 1 <= self.partitions <= PARTITIONS_MAX:
            raise SystemRefused(self.name, [f"partitions={self.partitions}; it must be from 1 to {PARTITIONS_MAX}."])
        types = {name: database.connection_type for name, database in opened.items()}
        return verify(self.name, self.components, types, self.recoverability)

    def _configured(self) -> dict[str, Database]:
        """The databases as they are configured; nothing is opened."""
        project = settings.read_project(Path.cwd())
        urls = settings.database_urls(self.name, [c.name for c in self.components], {}, os.environ, project)
        return {name: stores.connect(url, name) for name, url in urls.items()}

    def open(
        self,
        *,
        databases: Mapping[str, str] | None = None,
        log: str | None = None,
        only: Sequence[str | Component] | None = None,
        create_tables: bool = False,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        retention: timedelta | None = None,
    ) -> OpenSystem:
        """Verify everything, open databases and log, and return the system ready for work.

        `databases` and `log` are URLs; what is left out comes from the environment, [tool.preterite], or files
        in `.preterite/<system>/`. `only` names the components that are run here. `create_tables` makes the
        components' own tables where they are missing: for demos and tests; as the role that
        `PRETERITE_<COMPONENT>_OWNER_URL` names, where that is set. The log keeps everything unless `retention` is
        given. Raises `SystemRefused` with all faults together, or what makes a database or the log unusable.

        A database that is out of reach keeps no other component from opening: what uses its component raises
        `StoreUnavailable`, and opens it once that is possible. While the log is out of reach, events wait in outboxes.
        """
        return open_as(
            OpenSystem,
            self,
            databases=databases or {},
            log=log,
            only=only or self.components,
            create_tables=create_tables,
            clock=clock,
            randomness=randomness or SystemRandomness(),
            retention=retention,
        )

    def begin_clock(self, at: datetime, *, log: str | None = None) -> None:
        """Stop a demo's business clock at an instant, before anything was started.

        Raises `UsageError` if the system is no demo, or if its clock was set before.
        """
        if not self.demo:
            raise UsageError(
                f"System {self.name!r} is no demo; its clock is the machine's. Write System(…, demo=True)."
            )
        identity = LogIdentity(self.name, SystemRandomness().uuid(), self.partitions)
        url = settings.log_url(self.name, log, os.environ, settings.read_project(Path.cwd()))
        opened = logs.connect(url, identity, SystemClock())
        try:
            SharedClock(opened).begin(at)
        finally:
            opened.close()

    def __repr__(self) -> str:
        return f"System({self.name!r}, {list(self.components)!r})"


def open_as(
    kind: type[Opened],
    system: System,
    *,
    databases: Mapping[str, str],
    log: str | None,
    only: Sequence[str | Component],
    create_tables: bool,
    clock: Clock | None,
    randomness: Randomness,
    retention: timedelta | None = None,
    opening_seconds: float | None = None,
) -> Opened:
    """What `System.open` does; returns a system of the given kind. If that fails, nothing stays open.

    `opening_seconds` as for `Runtime`.
    """
    project = settings.read_project(Path.cwd())
    names = [system.component(one.name if isinstance(one, Component) else one).name for one in only]
    all_names = [component.name for component in system.components]
    all_urls = settings.database_urls(system.name, all_names, databases, os.environ, project)
    urls = {name: all_urls[name] for name in dict.fromkeys(names)}
    log_url = settings.log_url(system.name, log, os.environ, project)
    owners = {name: url for name, url in settings.owner_urls(urls, os.environ).items() if name not in databases}
    connect = partial(_connect, system, urls, log_url, clock, randomness, retention)
    with closed_on_failure() as closers:
        runtime = connect(create_tables=create_tables, owners=owners, opening_seconds=opening_seconds)
        closers.extend(runtime.closers())
        return kind(runtime, connect)


def _connect(
    system: System,
    urls: Mapping[str, str],
    log_url: str,
    clock: Clock | None,
    randomness: Randomness,
    retention: timedelta | None,
    *,
    create_tables: bool = False,
    owners: Mapping[str, str] | None = None,
    opening_seconds: float | None = None,
) -> Runtime:
    """Connect databases and log, verify all, and bring the databases up to date. If that fails, nothing stays open."""
    with closed_on_failure() as closers:
        connected: dict[str, Database] = {}
        for name, url in urls.items():
            connected[name] = stores.connect(url, name)
            closers.append(connected[name].close)
        topology = system.verify(connected)
        faults = [*_shared_database_faults(urls), *_driver_faults(topology, urls)]
        if faults:
            raise SystemRefused(system.name, faults)
        identity = LogIdentity(system.name, randomness.uuid(), system.partitions)
        connect = partial(_connect_log, connected, log_url, identity, clock or SystemClock(), retention)
        opened_log = open_or_defer(connect, clock or SystemClock())
        closers.append(opened_log.close)
        ticking = clock or (SharedClock(opened_log) if system.demo else SystemClock())
        kept = (connected, opened_log, ticking, randomness)
        owning = {name: stores.connect(url, name) for name, url in (owners or {}).items()} if create_tables else {}
        closers.extend(database.close for database in owning.values())
        return Runtime(
            system.name,
            system.components,
            topology,
            *kept,
            create_tables=create_tables,
            owners=owning,
            opening_seconds=opening_seconds,
        )


def _connect_log(
    databases: Mapping[str, Database], url: str, identity: LogIdentity, clock: Clock, retention: timedelta | None
) -> Log:
    """The log; made if the system is new. Raises `NoLog` if there is none, and these databases belong to one."""
    if url == "memory:":
        return logs.connect(url, identity, clock, retention)
    try:
        return logs.find(url, identity, clock, retention)
    except NoLog:
        for name, database in databases.items():
            if (belongs := _log_of(database)) is not None:
                raise NoLog(
                    f"There is no log {shown(url)}, but the database of {name!r} belongs to one ({belongs}). "
                    "Restore it from a backup, or make a new one from the journals: preterite recover new-log."
                ) from None
    return logs.connect(url, identity, clock, retention)


def _log_of(database: Database) -> UUID | None:
    """The id of the log that a database belongs to; None if it is new, or out of reach just now."""
    try:
        found = identity_of(database)
    except StoreUnavailable:
        return None
    return None if found is None else found.system_id


def _shared_database_faults(urls: Mapping[str, str]) -> list[str]:
    owners: dict[str, list[str]] = {}
    for name, url in urls.items():
        owners.setdefault(_place(url), []).append(name)
    return [
        f"{' and '.join(names)} share one database; each component has its own."
        for names in owners.values()
        if len(names) > 1
    ]


def _place(url: str) -> str:
    scheme, here, path = url.partition(":///")
    if not here:
        return url.partition("@")[2] or url
    return f"{scheme.partition('+')[0]}:{Path(path).absolute()}"


def _driver_faults(topology: Topology, urls: Mapping[str, str]) -> list[str]:
    faults: list[str] = []
    for name, subscriptions in topology.subscriptions.items():
        given: set[Any] = subscriptions.given
        driver = urls[name].partition(":")[0].partition("+")[2]
        if ParameterKind.ASYNC_SESSION in given and driver not in ("", "aiosqlite", "psycopg"):
            faults.append(
                f"{name!r} has a handler that takes an AsyncSession, but its database is opened by {driver!r}, "
                "which is not asyncio's."
            )
        if ParameterKind.ASYNC_SESSION in given and ParameterKind.CONNECTION in given:
            faults.append(
                f"{name!r} has handlers that take an AsyncSession and handlers that take a bare connection; choose one."
            )
    return faults
