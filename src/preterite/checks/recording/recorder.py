"""What was recorded: statements and the components that ran them, connections of handlers, values in events."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, get_args
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from preterite.checks.events import check_values
from preterite.checks.findings import NOWHERE, Finding, Place, in_order
from preterite.checks.partition import Ownership, Partition, dialect_of
from preterite.checks.recording.attribution import Attribution, handler
from preterite.checks.sql.access import access_violations
from preterite.checks.sql.databases import database_of, server_of
from preterite.checks.sql.statements import StatementCache
from preterite.checks.sql.tables import Dialect, NotUnderstood, TableAccess
from preterite.contracts import Event
from preterite.printing.text import clause
from preterite.system import System

VALUES_MAX = 200
"""How many values of a field are kept."""

_OWN_TABLE = "preterite"
"""What a statement on Preterite's own tables contains."""


class Counts(NamedTuple):
    """How many statements were recorded, and how many of what ran could not be checked."""

    statements: int = 0
    not_understood: int = 0
    of_nobody: int = 0
    not_recorded: int = 0

    def __str__(self) -> str:
        return (
            f"{_number(self.statements)} of components recorded; {self.not_understood:,} not understood, "
            f"{self.of_nobody:,} more in the code of no component, {self.not_recorded:,} not recorded"
        )


class Recorder:
    """Collects findings; `findings` may be called at any time."""

    def __init__(self, system: System, urls: Mapping[str, str], allowed: Sequence[str] = ()) -> None:
        self._partition = Partition(system, urls)
        self._attribution = Attribution(self._partition)
        self._allowed = set(allowed)
        self._owners: dict[str, set[str]] = {}
        """The components of each database, by what a connection to it is recorded as."""
        for name, url in urls.items():
            self.opened(name, url)
        self._caches: dict[Dialect, StatementCache] = {one: StatementCache(one) for one in get_args(Dialect)}
        self._found: dict[tuple[str, Place], Finding] = {}
        self._values: dict[tuple[str, str, str], dict[object, None]] = {}
        self._paths: WeakKeyDictionary[object, tuple[str, ...]] = WeakKeyDictionary()
        """The search path that was set on a connection."""
        self._of_nobody: Counter[str] = Counter()
        """How many statements on each component's tables ran in the code of none."""
        self._first_of_nobody: dict[str, Place] = {}
        self._lock = threading.Lock()
        self.statements = 0
        """How many statements of components were recorded."""
        self.not_understood = 0
        """How many of them could not be analysed."""
        self.faults: dict[str, int] = {}
        """How often the recording itself failed, by the kind of failure."""

    @property
    def of_nobody(self) -> int:
        """How many statements on components' tables ran in the code of no component."""
        return self._of_nobody.total()

    def counts(self) -> Counts:
        """How much was recorded, and how much of what ran could not be checked."""
        return Counts(self.statements, self.not_understood, self.of_nobody, sum(self.faults.values()))

    def findings(self) -> list[Finding]:
        """All findings so far."""
        with self._lock:
            found = [*self._found.values()]
            values = {place: list(kept) for place, kept in self._values.items()}
        for (component, event, field), kept in values.items():
            found += check_values(component, event, field, kept)
        return in_order([*found, *self._counted()])

    def ran(self, statement: str, connection: object = None, dialect: Dialect | None = None) -> None:
        """Record a statement that is about to run in this thread, in the dialect of the database that runs it.

        Without a dialect it is that of the component's database, as configured.
        """
        now = self._attribution.now()
        if now.ownership is None:
            if not now.is_own:
                self._ran_for_nobody(statement, dialect, now.place)
            return
        self.statements += 1
        try:
            access = self._caches[dialect or now.ownership.dialect].table_access(statement)
        except NotUnderstood as error:
            if now.is_own and _OWN_TABLE in statement:
                return
            self.not_understood += 1
            what = " ".join(statement.split())[:40]
            message = f"{now.ownership.name} ran {what!r}: {clause(error)}."
            self._add(Finding("sql-not-understood", now.ownership.name, what, "ran", message, now.place))
            return
        self._accessed(now.ownership, access, connection, now.place)

    def _accessed(self, ownership: Ownership, access: TableAccess, connection: object, place: Place) -> None:
        path = self._search_path(connection, access)
        for one in access_violations(self._partition, ownership, access, "cross-component-sql-at-runtime", place, path):
            if one.rule != "table-without-owner":
                self._add(one)

    def _search_path(self, connection: object, access: TableAccess) -> tuple[str, ...]:
        """The search path of a connection before a statement; one that the statement sets is kept for the next."""
        with suppress(TypeError):  # SQLite's connections cannot be kept by reference, and have no search path.
            before = self._paths.get(connection, ())
            if access.search_path is not None and connection is not None:
                self._paths[connection] = access.search_path
            return before
        return ()

    def _ran_for_nobody(self, statement: str, dialect: Dialect | None, place: Place) -> None:
        """Count a statement that runs in no component's code, by the owners of what it accesses."""
        if dialect is None:
            dialect = next((one.dialect for one in self._partition.ownerships), None) or dialect_of("")
        try:
            access = self._caches[dialect].table_access(statement)
        except NotUnderstood:
            owners = {""}
        else:
            names = access.reads | access.writes
            owners = {one.name for one in self._partition.ownerships if any(one.owns(name) for name in names)}
        with self._lock:
            self._of_nobody.update(owners)
            for owner in owners:
                self._first_of_nobody.setdefault(owner, place)

    def connected(self, target: str) -> None:
        """Record a connection that this thread opens: a finding while a handler runs.

        Connections to the component's own database and to files that are not databases of components are allowed.
        """
        component, name = handler()
        owners = self._owners.get(target, set[str]())
        if component is None or target in self._allowed or component in owners:
            return
        if not owners and ":" not in target.removeprefix(":memory:"):
            return
        server = f"the database of {' and '.join(sorted(owners))}" if owners else target
        message = f"{component} connects to {server} while {name} handles an event."
        what = "+".join(sorted(owners)) or target
        place = self._attribution.now().place
        self._add(Finding("waits-while-handling", component, what, name or "", message, place))

    def opened(self, component: str, url: str) -> None:
        """Record that a component's database was opened."""
        for target in targets_of(url):
            self._owners.setdefault(target, set()).add(component)

    def published(self, component: str, event: Event) -> None:
        """Record the values of a published event."""
        for field in event.__struct_fields__:
            value = getattr(event, field)
            kept = self._values.setdefault((component, type(event).__name__, field), {})
            if isinstance(value, (str, int)) and not isinstance(value, bool) and len(kept) < VALUES_MAX:
                kept[value] = None

    def _counted(self) -> list[Finding]:
        """A finding for each owner of tables that no component's code accessed, and one for what was not recorded."""
        with self._lock:
            counts, places = dict(self._of_nobody), dict(self._first_of_nobody)
        found: list[Finding] = []
        for owner, count in counts.items():
            what = f"on tables of {owner}" if owner else "that cannot be analysed"
            message = f"{_number(count)} {what} ran in the code of no component; the first one is at this place."
            found.append(Finding("statement-of-no-component", owner, "statements", "ran", message, places[owner]))
        for fault, count in dict(self.faults).items():
            message = f"{_number(count)} could not be recorded: the recorder raised {clause(fault)}."
            found.append(Finding("statement-not-recorded", "", fault, "ran", message, NOWHERE))
        return found

    def _add(self, finding: Finding) -> None:
        with self._lock:
            self._found.setdefault((finding.key, finding.place), finding)


def targets_of(url: str) -> list[str]:
    """What a connection to a database is recorded as: its file, or its server with and without the database."""
    if url.startswith("sqlite"):
        path = urlsplit(url).path
        return [str(Path(path.removeprefix("/")).absolute()), path]
    return [database_of(url), server_of(url).removeprefix("postgresql://")]


def _number(count: int) -> str:
    return "1 statement" if count == 1 else f"{count:,} statements"
