"""The partition as it is declared: whose module, whose contract, whose table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from preterite.checks.findings import Place
from preterite.checks.schema import Schema, declared
from preterite.checks.sql import Dialect, Name
from preterite.component import Component
from preterite.system import System

OWN_SCHEMAS = ("preterite", "preterite_log", "pg_catalog", "information_schema", "pg_temp", "temp")
OWN_PREFIXES = ("preterite_", "sqlite_", "pg_")


@dataclass(frozen=True)
class Territory:
    """What belongs to one component: its modules, those that others may import, its tables."""

    component: Component
    home: str | None
    """The package that holds its code; nothing where it cannot be told from another's."""
    contracts: frozenset[str]
    schema: Schema
    dialect: Dialect
    place: Place

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    def holds(self, module: str) -> bool:
        """Whether a module is part of its code."""
        return self.home is not None and (module == self.home or module.startswith(f"{self.home}."))

    def owns(self, name: Name) -> bool:
        """Whether a table, as a statement names it, is one of its own."""
        return any(
            own.table == name.table
            and (name.schema is None or own.schema == name.schema or (own.schema is None and name.schema == self.name))
            for own in self.schema.tables
        )


class Partition:
    """All territories of a system."""

    def __init__(self, system: System, urls: Mapping[str, str]) -> None:
        self.system = system
        self.urls = urls
        homes = homes_of(system.components)
        self.territories = [
            Territory(
                one,
                homes[one.name],
                frozenset(event.__module__ for event in one.publishes),
                declared(one.tables, dialect_of(urls.get(one.name, ""))),
                dialect_of(urls.get(one.name, "")),
                place_of(one),
            )
            for one in system.components
        ]

    def territory(self, component: str) -> Territory:
        """Of this component."""
        return next(one for one in self.territories if one.name == component)

    def of_module(self, module: str) -> Territory | None:
        """Whose code a module is."""
        return next((one for one in self.territories if one.holds(module)), None)

    def is_contract(self, module: str) -> bool:
        """Whether others may import it."""
        return any(module in one.contracts for one in self.territories)

    def owner(self, name: Name, by: Territory, path: Iterable[str] = ()) -> Territory | None:
        """Whose table it is, as `by` names it: the one's own comes first, then whoever has declared it."""
        if name.schema is None:
            for schema in path:
                found = self._owner(Name(name.table, schema), by)
                if found is not None:
                    return found
        return self._owner(name, by)

    def _owner(self, name: Name, by: Territory) -> Territory | None:
        if by.owns(name):
            return by
        return next((one for one in self.territories if one.owns(name)), None)


def is_nobodys(name: Name) -> bool:
    """Whether a table belongs to the database or to this package, not to a component."""
    return (name.schema or "") in OWN_SCHEMAS or name.table.startswith(OWN_PREFIXES)


def dialect_of(url: str) -> Dialect:
    """The words of a database."""
    return "postgres" if url.startswith("postgres") else "sqlite"


def homes_of(components: Iterable[Component]) -> dict[str, str | None]:
    """The package of each component: that of the module that declares it, or the module, where packages are shared."""
    modules = {one.name: one.module for one in components}
    packages = {name: _package(module) for name, module in modules.items()}

    def alone(place: str | None, name: str, places: Mapping[str, str | None]) -> bool:
        return place is not None and not any(
            other is not None and other_name != name and f"{other}.".startswith(f"{place}.")
            for other_name, other in places.items()
        )

    homes: dict[str, str | None] = {}
    for name, package in packages.items():
        if alone(package, name, {other: modules[other] for other in modules}):
            homes[name] = package
        else:
            homes[name] = modules[name] if alone(modules[name], name, modules) else None
    return homes


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
