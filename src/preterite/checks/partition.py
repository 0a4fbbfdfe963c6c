"""The partition as declared: which component owns which modules, contracts and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from preterite.checks.findings import Place
from preterite.checks.sql.schema import Schema, declared
from preterite.checks.sql.tables import Dialect, TableName
from preterite.component import Component
from preterite.system import System

OWN_SCHEMAS = ("preterite", "preterite_log", "pg_catalog", "information_schema", "pg_temp", "temp")
DEFAULT_SCHEMA = "public"
"""The schema of tables on PostgreSQL that are declared without one."""
SEQUENCE = "_seq"
"""How the name ends of a sequence that PostgreSQL has made for a column."""
OWN_PREFIXES = ("preterite_", "sqlite_", "pg_")


@dataclass(frozen=True)
class Ownership:
    """What one component owns: its package, the modules that others may import, its tables."""

    component: Component
    package: str | None
    """The package or module that contains its code; None if another component is declared in the same module."""
    contracts: frozenset[str]
    """The modules that define its events, which others may import."""
    schema: Schema
    dialect: Dialect
    place: Place

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    def contains(self, module: str) -> bool:
        """Whether a module is part of its code."""
        return self.package is not None and f"{module}.".startswith(f"{self.package}.")

    def owns(self, name: TableName) -> bool:
        """Whether a table, as a statement names it, is one of its tables."""
        # What was declared for SQLite is folded; the statement may be one of another database.
        table = name.table.casefold() if self.dialect == "sqlite" else name.table
        return any(
            own.table == table
            and (
                name.schema is None
                or (own.schema or DEFAULT_SCHEMA) == name.schema
                or (own.schema is None and name.schema == self.name)
            )
            for own in self.schema.tables
        )


class Partition:
    """What each component of a system owns."""

    def __init__(self, system: System, urls: Mapping[str, str]) -> None:
        self.system = system
        self.urls = urls
        packages = packages_of(system.components)
        self.ownerships = [
            Ownership(
                one,
                packages[one.name],
                frozenset(event.__module__ for event in one.publishes),
                declared(one.tables, dialect_of(urls.get(one.name, ""))),
                dialect_of(urls.get(one.name, "")),
                place_of(one),
            )
            for one in system.components
        ]

    def ownership(self, component: str) -> Ownership:
        """What a component owns."""
        return next(one for one in self.ownerships if one.name == component)

    def of_module(self, module: str) -> Ownership | None:
        """The component that a module belongs to; None for a shared module."""
        return next((one for one in self.ownerships if one.contains(module)), None)

    def is_contract(self, module: str) -> bool:
        """Whether other components may import a module."""
        return any(module in one.contracts for one in self.ownerships)

    def owner(self, name: TableName, by: Ownership, path: Iterable[str] = ()) -> Ownership | None:
        """The owner of a table as `by` names it: `by` if it declares the name, otherwise the first other that does."""
        if name.schema is None:
            for schema in path:
                found = self._owner(TableName(name.table, schema), by)
                if found is not None:
                    return found
        return self._owner(name, by) or self._owner_of_sequence(name, by)

    def _owner_of_sequence(self, name: TableName, by: Ownership) -> Ownership | None:
        """The owner of a sequence that PostgreSQL has made for a column, called `table_column_seq`."""
        if not name.table.endswith(SEQUENCE):
            return None
        words = name.table.removesuffix(SEQUENCE).split("_")
        for size in range(len(words) - 1, 0, -1):
            owner = self._owner(TableName("_".join(words[:size]), name.schema), by)
            if owner is not None:
                return owner
        return None

    def _owner(self, name: TableName, by: Ownership) -> Ownership | None:
        if by.owns(name):
            return by
        found = next((one for one in self.ownerships if one.owns(name)), None)
        if found is None and name.schema is not None and by.dialect == "sqlite":
            # Any name may stand before a table of an attached file; none stands before a component's own.
            attached = TableName(name.table)
            found = next((one for one in self.ownerships if one is not by and one.owns(attached)), None)
        return found


def is_infrastructure(name: TableName) -> bool:
    """Whether a table belongs to the database server or to Preterite, not to a component."""
    return (name.schema or "") in OWN_SCHEMAS or name.table.startswith(OWN_PREFIXES)


def is_preterites(name: TableName) -> bool:
    """Whether a table is one of Preterite's own, which only Preterite writes."""
    return (name.schema or "") in ("preterite", "preterite_log") or name.table.startswith("preterite_")


def dialect_of(url: str) -> Dialect:
    """The SQL dialect of a database."""
    return "postgres" if url.startswith("postgres") else "sqlite"


def packages_of(components: Iterable[Component]) -> dict[str, str | None]:
    """The package of each component: the one that declares it, or its module if the package has several components."""
    modules = {one.name: one.module for one in components}
    packages = {name: _package(module) for name, module in modules.items()}

    def alone(place: str | None, name: str, places: Mapping[str, str | None]) -> bool:
        return place is not None and not any(
            other is not None and other_name != name and f"{other}.".startswith(f"{place}.")
            for other_name, other in places.items()
        )

    found: dict[str, str | None] = {}
    for name, package in packages.items():
        if alone(package, name, {other: modules[other] for other in modules}):
            found[name] = package
        else:
            found[name] = modules[name] if alone(modules[name], name, modules) else None
    return found


def _package(module: str | None) -> str | None:
    if module is None:
        return None
    loaded = sys.modules.get(module)
    if loaded is not None and hasattr(loaded, "__path__"):
        return module
    return module.rpartition(".")[0] or module


def place_of(component: Component) -> Place:
    """The file that declares a component."""
    loaded = sys.modules.get(component.module or "")
    file = getattr(loaded, "__file__", None)
    return Place(None if file is None else Path(file), component.line)
