"""`contracts.lock`: every shape in which an event was ever published; a change is compared with all of them.

Each version of an event has its shapes in order; the last is the current one. A retired event was published once, and
no log contains it any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from preterite.component import Component
from preterite.errors import ConfigurationError
from preterite.evolution.compatibility import Problem, Verdict, compare
from preterite.evolution.shapes import Shape, read, require_field, shape_of, written
from preterite.printing.text import clause
from preterite.settings import read_file, write_file
from preterite.system import System

FILE = "contracts.lock"
NEW = "new"
"""What a change is of an event that the file does not contain yet."""
AT_LEAST_ONE = msgspec.Meta(min_length=1)
Versions = Mapping[int, tuple[Shape, ...]]


@dataclass(frozen=True)
class Lock:
    """The content of the file."""

    system: str = ""
    events: Mapping[str, Versions] = field(default_factory=dict[str, Versions])
    retired: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """How one event has changed since the file was written, with a verdict for each earlier shape."""

    name: str
    version: int
    what: str
    verdicts: tuple[Verdict, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the file does not contain the event in any shape."""
        return self.what == NEW

    @property
    def is_compatible(self) -> bool:
        """Whether all readers can read all events."""
        return not self.all_problems

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Those of the change itself, and those of all verdicts."""
        return (*self.problems, *(problem for one in self.verdicts for _, problem in one.problems))


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    key: str | None
    fields: dict[str, Any]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    system: str = ""
    events: dict[str, Annotated[dict[int, Annotated[list[_Shape], AT_LEAST_ONE]], AT_LEAST_ONE]] = {}
    retired: list[str] = []


def load(file: Path) -> Lock:
    """Read the file; without one the lock is empty. Raises `ConfigurationError` if the file is not valid."""
    text = read_file(file)
    if text is None:
        return Lock()
    try:
        found = msgspec.json.decode(text, type=_File)
        for shape in (shape for versions in found.events.values() for kept in versions.values() for shape in kept):
            for one in shape.fields.values():
                require_field(one)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ConfigurationError(
            f"{file} cannot be read: {clause(error)}. preterite contracts lock writes it."
        ) from None
    events = {
        name: {version: tuple(_shape(name, version, one) for one in shapes) for version, shapes in kept.items()}
        for name, kept in found.events.items()
    }
    return Lock(found.system, events, tuple(found.retired))


def save(file: Path, locked: Lock) -> None:
    """Write the file, sorted and indented for small differences under version control."""
    events = {
        name: {
            str(version): [{"key": one.key, "fields": _fields(one)} for one in shapes]
            for version, shapes in sorted(versions.items())
        }
        for name, versions in sorted(locked.events.items())
    }
    document = {"system": locked.system, "events": events, "retired": sorted(locked.retired)}
    write_file(file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def declared(system: System) -> dict[str, Shape]:
    """The current shape of every event of a system, by its wire name."""
    shapes = [shape_of(event, one.name) for one in system.components for event in one.publishes]
    return {one.name: one for one in shapes}


def changes(system: System, locked: Lock) -> list[Change]:
    """Compare the system with the file: every event that differs from its last shape."""
    current = declared(system)
    found = [_change(system, shape, locked.events.get(name, {})) for name, shape in sorted(current.items())]
    removed = [
        _removed(name, versions)
        for name, versions in sorted(locked.events.items())
        if name not in current and name not in locked.retired
    ]
    return [one for one in [*found, *removed] if one.what != "unchanged"]


def extended(system: System, locked: Lock, retire: Sequence[str] = ()) -> Lock:
    """The lock with the current shapes added; the caller has verified that all changes are compatible."""
    events = {name: dict(versions) for name, versions in locked.events.items() if name not in retire}
    for name, shape in declared(system).items():
        versions = events.setdefault(name, {})
        before = versions.get(shape.version, ())
        if shape not in before[-1:]:
            versions[shape.version] = (*before, shape)
    return replace(locked, system=system.name, events=events, retired=tuple(sorted({*locked.retired, *retire})))


def _change(system: System, shape: Shape, versions: Versions) -> Change:
    if not versions:
        return Change(shape.name, shape.version, NEW)
    newest = max(versions)
    if shape.version < newest:
        message = f"{shape.name} was published in version {newest} and is declared in version {shape.version}."
        return Change(shape.name, shape.version, "lower version", problems=(Problem("contract-removed", "", message),))
    if shape.version > newest:
        return Change(shape.name, shape.version, "new version", problems=tuple(_not_upcast(system, shape, versions)))
    shapes = versions[newest]
    missing = tuple(_not_upcast(system, shape, {one: kept for one, kept in versions.items() if one != newest}))
    if shape == shapes[-1]:
        return Change(shape.name, shape.version, "changed" if missing else "unchanged", problems=missing)
    return Change(shape.name, shape.version, "changed", tuple(compare(one, shape) for one in shapes), missing)


def _not_upcast(system: System, shape: Shape, versions: Versions) -> Iterator[Problem]:
    """A problem for each component that subscribes to an event and cannot read one of its older versions."""
    for component in system.components:
        handled = _handled(component, shape.name, system)
        for version in sorted(versions) if handled is not None else ():
            if (handled, version) not in component.upcasters:
                message = (
                    f"{component.name} subscribes to {shape.name} and has no upcast from version {version}: "
                    f"@{component.name}.upcasts(…, to={handled.__name__ if handled else ''})."
                )
                yield Problem("contract-upcast", "", message)


def _handled(component: Component, name: str, system: System) -> Any:
    """The class of an event that a component handles; None if it does not."""
    types = {handler.message_type for handler in component.handlers}
    for owner in system.components:
        for event, published in owner.published.items():
            if published.wire_name == name and event in types:
                return event
    return None


def _removed(name: str, versions: Versions) -> Change:
    newest = max(versions)
    return Change(name, newest, "removed", (compare(versions[newest][-1], None),))


def _shape(name: str, version: int, kept: _Shape) -> Shape:
    return Shape(name, version, kept.key, {field: read(one) for field, one in kept.fields.items()})


def _fields(shape: Shape) -> dict[str, Any]:
    return {name: written(one) for name, one in shape.fields.items()}
